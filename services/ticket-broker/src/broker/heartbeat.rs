//! What a heartbeat, a death and the clock do to tickets.

use super::Broker;
use crate::ledger::{Entry, Held};
use crate::store::Place;
use astral_backend::unix_millis;
use astral_proto::message::{NodeGone, Offer, RenewTickets, Renewed};
use astral_proto::{NodeId, Problem, TicketId};
use std::collections::{BTreeMap, HashSet};

impl Broker {
    /// Takes in a heartbeat: the node's capacity, what it carries, the tickets it serves and holds.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn renew(self, ask: RenewTickets) -> Result<Renewed, Problem> {
        let node = ask.heartbeat.node;
        let ticket_keys = self.keys.public();
        let Some(dropped) = self.store.hear_relay(&ask).await? else {
            let promised_kbps = self.store.promised(node).await?;
            return Ok(Renewed { ticket_keys, promised_kbps, ..Renewed::default() });
        };
        let now = unix_millis();
        let promised_kbps = self.store.hear_provider(&ask, now).await?;
        let mut shown = ask.node.clone();
        shown.promised_kbps = promised_kbps;
        for carried in &ask.heartbeat.streams {
            self.store.hear_carrier(&shown, carried, now).await?;
        }
        for slug in &dropped {
            self.store.forget_carrier(slug, node).await?;
        }
        let (resigned, lost) = self.renew_held(node, &ask.heartbeat.holds, now).await?;
        // Within the truce a ticket not found may be one whose ledger is not whole again.
        let lost = if self.truce.holds(now) { vec![] } else { lost };
        Ok(Renewed { resigned, lost, ticket_keys, promised_kbps })
    }

    /// Drops the tickets of a node that has gone, those it served and those it held.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn node_gone(&self, gone: &NodeGone) -> Result<(), Problem> {
        let Some(relay) = self.store.forget_relay(gone.node).await? else { return Ok(()) };
        for (provider, _) in self.by_provider(&relay.holds).await? {
            let dropped = self.store.in_ledger(provider, |ledger| ledger.drop_held_by(gone.node)).await?;
            self.dropped(provider, dropped.unwrap_or_default()).await?;
        }
        Ok(())
    }

    /// Takes out the tickets that have ended.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn sweep(&self) -> Result<(), Problem> {
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
            self.revoke(provider, id, &entry);
        }
        Ok(())
    }

    /// Renews what `subscriber` holds; the tickets signed anew, and those that are no longer good.
    async fn renew_held(
        &self,
        subscriber: NodeId,
        holds: &[TicketId],
        now: u64,
    ) -> Result<(Vec<Offer>, Vec<TicketId>), Problem> {
        let by_provider = self.by_provider(holds).await?;
        let found: HashSet<TicketId> = by_provider.values().flat_map(BTreeMap::keys).copied().collect();
        let mut lost: Vec<TicketId> = holds.iter().filter(|id| !found.contains(id)).copied().collect();
        let mut resigned = Vec::new();
        for (provider, tickets) in by_provider {
            let ids: Vec<TicketId> = tickets.keys().copied().collect();
            let renewed = self.store.in_ledger(provider, |ledger| {
                let held = ledger.renew_held(&ids, subscriber, now);
                let entries =
                    held.resign.iter().filter_map(|id| Some((*id, ledger.tickets.get(id)?.clone())));
                (entries.collect::<Vec<_>>(), ledger.advertise.clone(), held)
            });
            let Some((entries, advertise, Held { lost: lost_here, .. })) = renewed.await? else {
                lost.extend(ids);
                continue;
            };
            lost.extend(lost_here);
            for (id, entry) in entries {
                self.store.put_place(id, &tickets[&id]).await?;
                resigned.push(self.keys.offer(&Self::claims(id, provider, &entry), advertise.clone()));
            }
        }
        Ok((resigned, lost))
    }

    /// Where tickets are, by provider; those that are nowhere are left out.
    async fn by_provider(
        &self,
        ids: &[TicketId],
    ) -> Result<BTreeMap<NodeId, BTreeMap<TicketId, Place>>, Problem> {
        let mut by_provider: BTreeMap<NodeId, BTreeMap<TicketId, Place>> = BTreeMap::new();
        for id in ids {
            if let Some(place) = self.store.place(*id).await? {
                by_provider.entry(place.provider).or_default().insert(*id, place);
            }
        }
        Ok(by_provider)
    }
}
