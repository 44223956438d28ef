//! What a heartbeat, a death and the clock do to tickets.

use super::replace::DueReviews;
use super::{Broker, told};
use crate::carrier::Carrier;
use crate::judge::why::Why;
use crate::ledger::{Entry, Ledger, LinkChanges, Moment, StatedTicket};
use crate::store::{Outcome, Relay, RelayChanges, TicketLocation};
use astral_proto::message::{Heartbeat, HeldTicket, NodeGone, Offer, RenewTickets, Renewed, event};
use astral_proto::model::Node;
use astral_proto::{NodeId, Problem, Slug, TicketId};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

impl Broker {
    /// Takes in a heartbeat: the node's capacity, what it carries, the tickets it serves and holds.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn renew(self, ask: RenewTickets) -> Result<Renewed, Problem> {
        let node = ask.heartbeat.node;
        let now = self.store.state.now();
        let ask = Arc::new(ask);
        let ticket_keys = self.keys.public();
        let generation = self.generation().await?;
        let Some(news) = self.store.hear_relay(&ask, now).await? else {
            let promised_kbps = self.store.promised(node).await?;
            return Ok(Renewed {
                ticket_keys,
                promised_kbps,
                generation,
                ..Renewed::default()
            });
        };
        let truce = self.truce.holds();
        let promised_kbps = self
            .hear_provider(
                &ask,
                Moment {
                    now,
                    truce,
                    generation,
                },
            )
            .await?;
        self.hear_streams(&ask, &news, promised_kbps, now).await?;
        let Renewal {
            resigned,
            mut lost,
            moves,
            reviews,
        } = self.renew_held(&ask.heartbeat, now).await?;
        let relay = Relay {
            node: ask.node.clone(),
            rtts: ask.rtts.clone(),
            streams: news.streams,
            holds: ask.heartbeat.holds.clone(),
            failed: news.failed,
            sent_at: ask.heartbeat.sent_at,
            heard_at: now,
        };
        if news.drains {
            self.push_moves(node);
        }
        // Who carries what is not known again either, so that no standby is judged by it.
        let replaced = self
            .replace(&relay, &moves, (!truce).then_some(&reviews))
            .await?;
        if truce {
            // A ticket not found may be one whose ledger is not whole again.
            self.restore(node, &ask.heartbeat.holds, &lost, now).await?;
            lost.clear();
        }
        Ok(Renewed {
            resigned,
            lost,
            ticket_keys,
            replaced,
            promised_kbps,
            generation,
        })
    }

    /// Drops the tickets of a node that has gone: those it served, and those it held if it has left. What a lost node
    /// held ends with its leases, so that its link goes on if it and its provider live where nobody here hears them.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn node_gone(&self, gone: &NodeGone) -> Result<(), Problem> {
        let Some((relay, ledger)) = self.store.forget_relay(gone.node).await? else {
            return Ok(());
        };
        ledger
            .into_iter()
            .for_each(|ledger| self.push_standbys(gone.node, &ledger));
        if gone.lost {
            return Ok(());
        }
        let subscriber = gone.node;
        let now = self.store.state.now();
        for provider in by_provider(&relay.holds).into_keys() {
            let drop =
                move |ledger: &mut Ledger| Outcome::Changed(ledger.drop_held_by(subscriber, now));
            let dropped = self.store.in_ledger(provider, drop).await?;
            self.dropped(provider, dropped.unwrap_or_default()).await?;
        }
        Ok(())
    }

    /// Sees whether the state has lost its memory, and puts back what all brokers share.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn look(&self) -> Result<(), Problem> {
        self.generation().await?;
        self.keys.share(&self.store.state).await
    }

    /// Takes in how a relay carries streams.
    async fn hear_streams(
        &self,
        ask: &RenewTickets,
        news: &RelayChanges,
        promised_kbps: u32,
        now: u64,
    ) -> Result<(), Problem> {
        let node = Node {
            promised_kbps,
            ..ask.node.clone()
        };
        for carried in &ask.heartbeat.streams {
            let Some(standing) = news.streams.get(&carried.slug) else {
                continue;
            };
            let said = Carrier::said(node.clone(), carried.clone(), None, now);
            let carrier = Carrier {
                since: standing.since,
                ..said
            };
            self.store
                .hear_carrier(&carrier, standing.candidate.as_deref())
                .await?;
        }
        for slug in &news.dropped {
            self.store.forget_carrier(slug, node.uuid).await?;
        }
        for candidate in &news.unlisted {
            self.store.unlist(candidate).await?;
        }
        Ok(())
    }

    async fn dropped(
        &self,
        provider: NodeId,
        dropped: Vec<(TicketId, Entry)>,
    ) -> Result<(), Problem> {
        let ids: Vec<TicketId> = dropped.iter().map(|(id, _)| *id).collect();
        self.store.forget_places(&ids).await?;
        for (id, entry) in dropped {
            self.tell(event::TICKET_GONE, told(id, provider, &entry))
                .await;
            if !entry.standby {
                self.revoke(provider, id);
            }
        }
        Ok(())
    }

    /// Takes in what a provider says of itself; what it has promised now.
    async fn hear_provider(&self, ask: &Arc<RenewTickets>, at: Moment) -> Result<u32, Problem> {
        let provider = ask.heartbeat.node;
        let (promised_kbps, LinkChanges { adopted, ended }, dropped) =
            self.store.hear_provider(ask, at).await?;
        self.dropped(provider, dropped).await?;
        let adopted: HashSet<TicketId> = adopted.into_iter().collect();
        for link in ask
            .heartbeat
            .serves
            .iter()
            .filter(|link| adopted.contains(&link.id))
        {
            self.put_place(link.id, provider, &link.slug, "its provider serves it")
                .await?;
        }
        // The revocation may not have arrived.
        ended.into_iter().for_each(|id| self.revoke(provider, id));
        Ok(promised_kbps)
    }

    /// Renews what a subscriber holds.
    async fn renew_held(&self, said: &Heartbeat, now: u64) -> Result<Renewal, Problem> {
        let mut renewal = Renewal::default();
        for (provider, tickets) in by_provider(&said.holds) {
            let subscriber = said.node;
            let hold = |ticket: &&HeldTicket| StatedTicket {
                id: ticket.id,
                flows: ticket.flows,
            };
            let holds: Vec<StatedTicket> = tickets.iter().map(hold).collect();
            let renewed = self.store.in_ledger(provider, move |ledger| {
                let held = ledger.renew_held(&holds, subscriber, now);
                let entries = held
                    .resign
                    .iter()
                    .filter_map(|id| Some((*id, ledger.tickets.get(id)?.clone())));
                let changed = held.changed;
                let answer = (entries.collect::<Vec<_>>(), ledger.advertise.clone(), held);
                if changed {
                    Outcome::Changed(answer)
                } else {
                    Outcome::Same(answer)
                }
            });
            let Some((entries, advertise, held)) = renewed.await? else {
                // A provider whose link flows states it when it is heard again.
                let still = tickets.iter().filter(|ticket| !ticket.flows);
                renewal.lost.extend(still.map(|ticket| ticket.id));
                continue;
            };
            renewal.lost.extend(held.lost);
            renewal.moves.extend(held.moves);
            renewal.reviews.standbys.extend(held.standbys_due);
            renewal.reviews.settled.extend(held.settled_due);
            for (id, entry) in entries {
                self.keep_place(id, provider, &entry.slug).await?;
                let claims = Self::claims(id, provider, &entry);
                renewal
                    .resigned
                    .push(self.keys.offer(&claims, advertise.clone()));
            }
        }
        Ok(renewal)
    }

    /// Takes in the standbys that a subscriber holds and their ledgers have lost. Tickets in use are for their
    /// providers to state.
    async fn restore(
        &self,
        subscriber: NodeId,
        holds: &[HeldTicket],
        lost: &[TicketId],
        now: u64,
    ) -> Result<(), Problem> {
        let lost: HashSet<&TicketId> = lost.iter().collect();
        for held in holds
            .iter()
            .filter(|held| held.standby && lost.contains(&held.id))
        {
            let id = held.id;
            let slug = held.slug.clone();
            let restored = self.store.in_ledger(held.provider, move |ledger| {
                Outcome::Changed(ledger.restore_standby(id, &slug, subscriber, now))
            });
            if restored.await?.unwrap_or(false) {
                self.put_place(
                    held.id,
                    held.provider,
                    &held.slug,
                    "its subscriber stands by",
                )
                .await?;
            }
        }
        Ok(())
    }

    /// Keeps the place of a ticket that was signed again for as long as that is good.
    async fn keep_place(&self, id: TicketId, provider: NodeId, slug: &Slug) -> Result<(), Problem> {
        match self.store.reasons(id).await? {
            Some(place) => self.store.put_place(id, &place).await,
            None => self.put_place(id, provider, slug, "it was in use").await,
        }
    }

    /// Keeps the place of a ticket that the ledger had lost.
    async fn put_place(
        &self,
        id: TicketId,
        provider: NodeId,
        slug: &Slug,
        why: &str,
    ) -> Result<(), Problem> {
        let why = vec![Why::Said(format!(
            "{provider}: {why}, as stated after the ledger had lost it"
        ))];
        self.store
            .put_place(
                id,
                &TicketLocation {
                    provider,
                    slug: slug.clone(),
                    why,
                },
            )
            .await
    }
}

/// What became of the tickets that a subscriber holds, of whatever provider.
#[derive(Debug, Default)]
struct Renewal {
    resigned: Vec<Offer>,
    lost: Vec<TicketId>,
    moves: Vec<TicketId>,
    reviews: DueReviews,
}

fn by_provider(holds: &[HeldTicket]) -> BTreeMap<NodeId, Vec<&HeldTicket>> {
    let mut by_provider: BTreeMap<NodeId, Vec<&HeldTicket>> = BTreeMap::new();
    for held in holds {
        by_provider.entry(held.provider).or_default().push(held);
    }
    by_provider
}
