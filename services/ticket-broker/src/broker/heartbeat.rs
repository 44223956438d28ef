//! What a heartbeat, a death and the clock do to tickets.

use super::{Broker, told};
use crate::ledger::{Entry, Links};
use crate::store::Place;
use astral_backend::unix_millis;
use astral_proto::message::{Heartbeat, HeldTicket, NodeGone, Offer, RenewTickets, Renewed, event};
use astral_proto::{NodeId, Problem, Slug, TicketId};
use std::collections::{BTreeMap, HashSet};

impl Broker {
    /// Takes in a heartbeat: the node's capacity, what it carries, the tickets it serves and holds.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn renew(self, ask: RenewTickets) -> Result<Renewed, Problem> {
        let node = ask.heartbeat.node;
        let (ticket_keys, generation) = (self.keys.public(), self.generation().await?);
        let Some(dropped) = self.store.hear_relay(&ask).await? else {
            let promised_kbps = self.store.promised(node).await?;
            return Ok(Renewed { ticket_keys, promised_kbps, generation, ..Renewed::default() });
        };
        let now = unix_millis();
        let promised_kbps = self.hear_provider(&ask, now).await?;
        let mut shown = ask.node.clone();
        shown.promised_kbps = promised_kbps;
        for carried in &ask.heartbeat.streams {
            self.store.hear_carrier(&shown, carried, now).await?;
        }
        for slug in &dropped {
            self.store.forget_carrier(slug, node).await?;
        }
        let Renewal { resigned, mut lost, moves, due } = self.renew_held(&ask.heartbeat, now).await?;
        let truce = self.truce.holds(now);
        // Who carries what is not known again either, so that no standby is judged by it.
        let replaced = self.replace(&ask, &moves, (!truce).then_some(&due)).await?;
        if truce {
            // A ticket not found may be one whose ledger is not whole again.
            self.restore(node, &ask.heartbeat.holds, &lost, now).await?;
            lost.clear();
        }
        Ok(Renewed { resigned, lost, ticket_keys, replaced, promised_kbps, generation })
    }

    /// Drops the tickets of a node that has gone, those it served and those it held.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn node_gone(&self, gone: &NodeGone) -> Result<(), Problem> {
        let Some(relay) = self.store.forget_relay(gone.node).await? else { return Ok(()) };
        let now = unix_millis();
        for provider in by_provider(&relay.holds).into_keys() {
            let dropped =
                self.store.in_ledger(provider, |ledger| ledger.drop_held_by(gone.node, now)).await?;
            self.dropped(provider, dropped.unwrap_or_default()).await?;
        }
        Ok(())
    }

    /// Takes out the tickets that have ended.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn sweep(&self) -> Result<(), Problem> {
        self.generation().await?;
        self.keys.share(&self.store.0).await?;
        let mut cursor = None;
        loop {
            let (providers, next) = self.store.ledgers(cursor.as_deref()).await?;
            for provider in providers {
                let now = unix_millis();
                let dropped = self.store.sweep(provider, now, self.truce.holds(now)).await?;
                self.dropped(provider, dropped).await?;
            }
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn dropped(&self, provider: NodeId, dropped: Vec<(TicketId, Entry)>) -> Result<(), Problem> {
        for (id, entry) in dropped {
            self.store.forget_place(id).await?;
            let place = Place { provider, slug: entry.slug.clone(), why: vec![] };
            self.tell(event::TICKET_GONE, told(id, &place, entry.subscriber, entry.standby)).await;
            if !entry.standby {
                self.revoke(provider, id);
            }
        }
        Ok(())
    }

    /// Takes in what a provider says of itself; what it has promised now.
    async fn hear_provider(&self, ask: &RenewTickets, now: u64) -> Result<u32, Problem> {
        let provider = ask.heartbeat.node;
        let (promised_kbps, Links { adopted, ended }) = self.store.hear_provider(ask, now).await?;
        let adopted: HashSet<TicketId> = adopted.into_iter().collect();
        for link in ask.heartbeat.serves.iter().filter(|link| adopted.contains(&link.id)) {
            self.put_place(link.id, provider, &link.slug, "its provider serves it").await?;
        }
        // The revocation may not have arrived.
        ended.into_iter().for_each(|id| self.revoke(provider, id));
        Ok(promised_kbps)
    }

    /// Renews what a subscriber holds.
    async fn renew_held(&self, said: &Heartbeat, now: u64) -> Result<Renewal, Problem> {
        let mut renewal = Renewal::default();
        for (provider, tickets) in by_provider(&said.holds) {
            let ids: Vec<TicketId> = tickets.iter().map(|ticket| ticket.id).collect();
            let renewed = self.store.in_ledger(provider, |ledger| {
                let held = ledger.renew_held(&ids, said.node, now);
                let entries =
                    held.resign.iter().filter_map(|id| Some((*id, ledger.tickets.get(id)?.clone())));
                (entries.collect::<Vec<_>>(), ledger.advertise.clone(), held)
            });
            let Some((entries, advertise, held)) = renewed.await? else {
                renewal.lost.extend(ids);
                continue;
            };
            renewal.lost.extend(held.lost);
            renewal.moves.extend(held.moves);
            renewal.due.extend(held.due);
            for (id, entry) in entries {
                self.keep_place(id, provider, &entry.slug).await?;
                let claims = Self::claims(id, provider, &entry);
                renewal.resigned.push(self.keys.offer(&claims, advertise.clone()));
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
        for held in holds.iter().filter(|held| held.standby && lost.contains(&held.id)) {
            let restored = self.store.in_ledger(held.provider, |ledger| {
                ledger.restore_standby(held.id, &held.slug, subscriber, now)
            });
            if restored.await?.unwrap_or(false) {
                self.put_place(held.id, held.provider, &held.slug, "its subscriber stands by").await?;
            }
        }
        Ok(())
    }

    /// Keeps the place of a ticket that was signed again for as long as that is good.
    async fn keep_place(&self, id: TicketId, provider: NodeId, slug: &Slug) -> Result<(), Problem> {
        match self.store.place(id).await? {
            Some(place) => self.store.put_place(id, &place).await,
            None => self.put_place(id, provider, slug, "it was in use").await,
        }
    }

    /// Keeps the place of a ticket that the ledger had lost.
    async fn put_place(&self, id: TicketId, provider: NodeId, slug: &Slug, why: &str) -> Result<(), Problem> {
        let why = vec![format!("{provider}: {why}, as stated after the ledger had lost it")];
        self.store.put_place(id, &Place { provider, slug: slug.clone(), why }).await
    }
}

/// What became of the tickets that a subscriber holds, of whatever provider.
#[derive(Debug, Default)]
struct Renewal {
    resigned: Vec<Offer>,
    lost: Vec<TicketId>,
    moves: Vec<TicketId>,
    due: Vec<TicketId>,
}

fn by_provider(holds: &[HeldTicket]) -> BTreeMap<NodeId, Vec<&HeldTicket>> {
    let mut by_provider: BTreeMap<NodeId, Vec<&HeldTicket>> = BTreeMap::new();
    for held in holds {
        by_provider.entry(held.provider).or_default().push(held);
    }
    by_provider
}
