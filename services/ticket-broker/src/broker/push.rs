//! Moves that do not wait for a heartbeat: away from a relay that drains, and from standbys that have died.

use super::Broker;
use super::replace::DueReviews;
use crate::ledger::Ledger;
use astral_proto::limits::LINK_SILENCE;
use astral_proto::message::{Move, Replacement};
use astral_proto::{NodeId, Problem, TicketId};
use std::collections::BTreeMap;

/// Most subscribers told at once by one broker of one relay; the others are by their next heartbeats.
const PUSHED_MAX: usize = 1_000;

/// The tickets that one subscriber holds of a relay: those in use, and standbys.
type TicketsOfSubscriber = (Vec<TicketId>, Vec<TicketId>);

impl Broker {
    /// Has the subscribers of a relay that has begun to drain go elsewhere at once.
    pub(super) fn push_moves(&self, provider: NodeId) {
        let broker = self.clone();
        self.tasks.spawn(async move {
            match broker.store.ledger(provider).await {
                Ok(Some(ledger)) => broker.push(provider, by_subscriber(&ledger)).await,
                Ok(None) => {}
                Err(problem) => {
                    tracing::debug!(provider.id = %provider, %problem, "moves are left to heartbeats")
                }
            }
        });
    }

    /// Gives those who stood by at a relay that has died another standby. Who pulled from it has left by itself.
    pub(super) fn push_standbys(&self, dead: NodeId, ledger: &Ledger) {
        let standing_by = by_subscriber(ledger)
            .into_iter()
            .map(|(node, (_, standbys))| (node, (vec![], standbys)));
        let standing_by = standing_by
            .filter(|(_, (_, standbys))| !standbys.is_empty())
            .collect();
        let broker = self.clone();
        self.tasks
            .spawn(async move { broker.push(dead, standing_by).await });
    }

    async fn push(&self, provider: NodeId, held: BTreeMap<NodeId, TicketsOfSubscriber>) {
        for (subscriber, (moves, standbys)) in held.into_iter().take(PUSHED_MAX) {
            if let Err(problem) = self.push_to(subscriber, &moves, standbys).await {
                tracing::debug!(subscriber.id = %subscriber, provider.id = %provider, %problem, "a move is left to its heartbeat");
            }
        }
    }

    async fn push_to(
        &self,
        subscriber: NodeId,
        moves: &[TicketId],
        standbys: Vec<TicketId>,
    ) -> Result<(), Problem> {
        let Some(relay) = self.store.relay(subscriber).await? else {
            return Ok(());
        };
        let due = DueReviews {
            standbys,
            settled: vec![],
        };
        let replaced: Vec<Replacement> = self.replace(&relay, moves, Some(&due)).await?;
        if replaced.is_empty() {
            return Ok(());
        }
        self.bus
            .request_node(subscriber, &Move { replaced }, LINK_SILENCE)
            .await
    }
}

fn by_subscriber(ledger: &Ledger) -> BTreeMap<NodeId, TicketsOfSubscriber> {
    let mut held = BTreeMap::<NodeId, TicketsOfSubscriber>::new();
    for (id, entry) in &ledger.tickets {
        let (moves, standbys) = held.entry(entry.subscriber).or_default();
        if entry.standby { standbys } else { moves }.push(*id);
    }
    held
}
