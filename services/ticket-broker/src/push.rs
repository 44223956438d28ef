//! Replacements that are sent at once instead of with the answer to the next heartbeat: for tickets
//! of a relay that has begun to drain, and for standbys at a relay that has gone.

use crate::broker::Broker;
use crate::error::Error;
use crate::ledger::Ledger;
use crate::replace::{DueReviews, replacements};
use astral_proto::limits::LINK_SILENCE;
use astral_proto::message::Move;
use astral_proto::{NodeId, TicketId};
use std::collections::BTreeMap;

/// Most subscribers of one relay that a broker notifies in this way. The others learn of it from
/// the answers to their next heartbeats.
const NOTIFIED_MAX: usize = 1_000;

/// The tickets of one relay that one subscriber holds.
#[derive(Default)]
struct TicketsOfSubscriber {
    in_use: Vec<TicketId>,
    standbys: Vec<TicketId>,
}

/// Moves the subscribers of a relay that has begun to drain, in the background.
pub fn push_moves(broker: &Broker, provider: NodeId) {
    let broker_of_task = broker.clone();
    broker.tasks.spawn(async move {
        match broker_of_task.store.ledgers.get(provider).await {
            Ok(Some(ledger)) => push_all(&broker_of_task, provider, by_subscriber(&ledger)).await,
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(
                    provider.id = %provider,
                    %error,
                    "subscribers not moved before their heartbeats"
                );
            }
        }
    });
}

/// Sends a new standby to each relay that had its standby at the relay `dead`, in the background.
/// Relays that pulled from `dead` have failed over by themselves.
pub fn push_standbys(broker: &Broker, dead: NodeId, ledger: &Ledger) {
    let mut subscribers = by_subscriber(ledger);
    for tickets in subscribers.values_mut() {
        tickets.in_use.clear();
    }
    subscribers.retain(|_, tickets| !tickets.standbys.is_empty());
    let broker_of_task = broker.clone();
    broker
        .tasks
        .spawn(async move { push_all(&broker_of_task, dead, subscribers).await });
}

async fn push_all(
    broker: &Broker,
    provider: NodeId,
    subscribers: BTreeMap<NodeId, TicketsOfSubscriber>,
) {
    for (subscriber, tickets) in subscribers.into_iter().take(NOTIFIED_MAX) {
        if let Err(error) = push_to(broker, subscriber, tickets).await {
            tracing::debug!(
                subscriber.id = %subscriber,
                provider.id = %provider,
                %error,
                "subscriber not moved before its heartbeat"
            );
        }
    }
}

async fn push_to(
    broker: &Broker,
    subscriber: NodeId,
    tickets: TicketsOfSubscriber,
) -> Result<(), Error> {
    let Some(relay) = broker.store.relays.get(subscriber).await? else {
        return Ok(());
    };
    let due = DueReviews {
        standbys: tickets.standbys,
        settled: vec![],
    };
    let replaced = replacements(broker, &relay, &tickets.in_use, Some(&due)).await?;
    if replaced.is_empty() {
        return Ok(());
    }
    let order = Move { replaced };
    broker
        .bus
        .request_node(subscriber, &order, LINK_SILENCE)
        .await?;
    Ok(())
}

fn by_subscriber(ledger: &Ledger) -> BTreeMap<NodeId, TicketsOfSubscriber> {
    let mut subscribers = BTreeMap::<NodeId, TicketsOfSubscriber>::new();
    for (id, entry) in &ledger.tickets {
        let tickets = subscribers.entry(entry.subscriber).or_default();
        if entry.standby {
            tickets.standbys.push(*id);
        } else {
            tickets.in_use.push(*id);
        }
    }
    subscribers
}
