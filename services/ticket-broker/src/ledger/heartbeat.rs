//! What the heartbeats of a provider and of its subscribers make of its ledger.

use super::{Entry, Ledger, millis};
use crate::reparent::{REVIEW_INTERVAL, SETTLED_AFTER};
use astral_proto::limits::{
    HEARTBEAT_INTERVAL, LEASE, TICKET_RESIGN, TICKET_VALIDITY, UNKNOWN_KBPS,
};
use astral_proto::message::{Carried, Heartbeat, ServedTicket};
use astral_proto::model::{Node, TicketState};
use astral_proto::{NodeId, Slug, TicketId};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Between two looks at whether there is a better standby than one that shares relays.
const STANDBY_CHECKED_EVERY: Duration = Duration::from_secs(10);

/// A lease with less left than this is renewed; one heartbeat less than all of it.
const RENEWED_WITH: Duration = LEASE.saturating_sub(HEARTBEAT_INTERVAL);

/// A ticket as its subscriber states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatedTicket {
    /// The ticket.
    pub id: TicketId,
    /// Whether its link is open and its provider sends now.
    pub flows: bool,
}

/// What became of the tickets that a subscriber holds of one provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenewalResult {
    /// Those that are no longer good. A link that flows is not among them, unless its ticket was taken back: its provider
    /// has not been heard, and will state it.
    pub lost: Vec<TicketId>,
    /// Those to be signed anew, with their new validity in place.
    pub resign: Vec<TicketId>,
    /// Those that the provider can serve no longer, to be replaced.
    pub moves: Vec<TicketId>,
    /// Standbys for which it is time to look for a better one.
    pub standbys_due: Vec<TicketId>,
    /// Tickets in use for which it is time to look for a better place.
    pub settled_due: Vec<TicketId>,
    /// Whether the ledger is not as it was before.
    pub changed: bool,
}

/// What of the links that a provider serves the ledger did not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkChanges {
    /// Those it has taken in.
    pub adopted: Vec<TicketId>,
    /// Those whose tickets have ended, to be closed.
    pub ended: Vec<TicketId>,
}

impl Ledger {
    /// Takes in the provider's own heartbeat: its capacity, and the links that it serves. A link that the ledger does
    /// not know is charged too, as after a wipe; unless its ticket has ended.
    pub fn apply_heartbeat(&mut self, node: &Node, said: &Heartbeat, now: u64) -> LinkChanges {
        self.advertise.clone_from(&node.advertise);
        self.limit_kbps = said.limit_kbps;
        self.viewer_kbps = said.viewer_kbps;
        self.draining = said.draining;
        self.generation = said.generation;
        self.heard_at = now;
        self.fits = false;
        let carried: HashMap<&Slug, &Carried> = said.streams.iter().map(|c| (&c.slug, c)).collect();
        let mut links = LinkChanges::default();
        for link in &said.serves {
            if let Some(entry) = self.tickets.get_mut(&link.id) {
                entry.renew(now);
                // Its link is open, whether or not the subscriber could tell us that it switched.
                self.charge(link.id, now);
            } else if self.has_ended(link.id, now) {
                links.ended.push(link.id);
            } else {
                self.tickets.insert(
                    link.id,
                    adopted(link, carried.get(&link.slug).copied(), now),
                );
                links.adopted.push(link.id);
            }
        }
        for entry in self.tickets.values_mut() {
            let Some(carried) = carried.get(&entry.slug) else {
                continue;
            };
            entry.hops = hops(carried);
            if carried.kbps > 0 {
                entry.kbps = carried.kbps;
            }
        }
        links
    }

    /// Renews what `subscriber` says that it holds here. An offer not confirmed is not renewed by being held, nor is a
    /// ticket in use by which nothing comes.
    pub fn renew_held(
        &mut self,
        holds: &[StatedTicket],
        subscriber: NodeId,
        now: u64,
    ) -> RenewalResult {
        let to_move = if self.fits {
            HashSet::new()
        } else {
            self.pick_moves()
        };
        let mut held = RenewalResult::default();
        for StatedTicket { id, flows } in holds {
            let is_unheard = *flows && !self.tickets.contains_key(id) && !self.has_ended(*id, now);
            if is_unheard {
                continue;
            }
            let Ok(entry) = self.owned(*id, subscriber) else {
                held.lost.push(*id);
                continue;
            };
            let renewed = entry.standby || (*flows && entry.state == TicketState::Confirmed);
            // A link that its provider serves has been renewed by that.
            if renewed && entry.lease_until < now + millis(RENEWED_WITH) {
                entry.renew(now);
                held.changed = true;
            }
            if entry.valid_until < now + millis(TICKET_RESIGN) {
                entry.valid_until = now + millis(TICKET_VALIDITY);
                held.changed = true;
                held.resign.push(*id);
            }
            if entry.standby
                && now.saturating_sub(entry.checked_at) >= millis(STANDBY_CHECKED_EVERY)
            {
                entry.checked_at = now;
                held.changed = true;
                held.standbys_due.push(*id);
            }
            if entry.is_settled(now)
                && now.saturating_sub(entry.checked_at) >= millis(REVIEW_INTERVAL)
            {
                entry.checked_at = now;
                held.changed = true;
                held.settled_due.push(*id);
            }
            if to_move.contains(id) {
                held.moves.push(*id);
            }
        }
        held
    }

    /// Takes in a standby that its subscriber holds and the ledger lost; whether it is news.
    pub fn restore_standby(
        &mut self,
        id: TicketId,
        slug: &Slug,
        subscriber: NodeId,
        now: u64,
    ) -> bool {
        let news = !self.tickets.contains_key(&id) && !self.has_ended(id, now);
        if news {
            let offered = Entry::offered(slug.clone(), subscriber, true, UNKNOWN_KBPS, 0, now);
            let entry = Entry {
                state: TicketState::Confirmed,
                valid_until: now,
                ..offered
            };
            self.tickets.insert(id, entry);
        }
        news
    }

    /// The tickets in use that must go elsewhere: every one while the provider drains, else the newest, as many as
    /// are over its limit.
    fn pick_moves(&mut self) -> HashSet<TicketId> {
        let mut over = match self.draining {
            true => u64::MAX,
            false => self.used_kbps().saturating_sub(u64::from(self.limit_kbps)),
        };
        self.fits = over == 0;
        if self.fits {
            return HashSet::new();
        }
        let mut newest: Vec<_> = self
            .tickets
            .iter()
            .filter(|(_, entry)| entry.is_in_use())
            .collect();
        newest.sort_by_key(|(id, entry)| (Reverse(entry.granted_at), **id));
        let moved = newest.into_iter().take_while(|(_, entry)| {
            let needed = over > 0;
            over = over.saturating_sub(u64::from(entry.kbps));
            needed
        });
        moved.map(|(id, _)| *id).collect()
    }

    /// Whether a link by which it sends is open, by what a subscriber has said since it was last heard itself.
    pub fn is_received_from(&self, now: u64) -> bool {
        let last_own = self.heard_at + millis(LEASE);
        self.tickets
            .values()
            .any(|entry| entry.is_in_use() && entry.lease_until > last_own.max(now))
    }

    /// Whether it said last that it serves the ticket `id`, and has been heard within a lease.
    pub fn serves(&self, id: TicketId, now: u64) -> bool {
        let last_own = self.heard_at + millis(LEASE);
        let entry = self.tickets.get(&id).filter(|entry| entry.is_in_use());
        last_own > now && entry.is_some_and(|entry| entry.lease_until >= last_own)
    }

    fn has_ended(&self, id: TicketId, now: u64) -> bool {
        self.ended.get(&id).is_some_and(|until| *until > now)
    }
}

impl Entry {
    /// Whether its link has been opened.
    fn is_in_use(&self) -> bool {
        !self.standby && self.state == TicketState::Confirmed
    }

    /// Whether it has been in use for so long that it may give way to a better one.
    fn is_settled(&self, now: u64) -> bool {
        self.is_in_use() && now.saturating_sub(self.granted_at) >= millis(SETTLED_AFTER)
    }
}

/// The entry of an open link that the ledger did not know. Its subscriber gets it signed anew.
fn adopted(link: &ServedTicket, carried: Option<&Carried>, now: u64) -> Entry {
    let hops = carried.map_or(0, hops);
    let ServedTicket {
        slug,
        subscriber,
        kbps,
        ..
    } = link;
    let offered = Entry::offered(slug.clone(), *subscriber, false, *kbps, hops, now);
    let lease_until = now + millis(LEASE);
    Entry {
        state: TicketState::Confirmed,
        lease_until,
        valid_until: now,
        ..offered
    }
}

/// Relay links from the origin to a subscriber of who carries a stream so.
fn hops(carried: &Carried) -> u32 {
    u32::try_from(carried.path.len()).unwrap_or(u32::MAX)
}
