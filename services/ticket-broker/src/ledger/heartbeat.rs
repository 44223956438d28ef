//! What the heartbeats of a provider and of its subscribers change in the provider's ledger.

use super::{Entry, Ledger};
use crate::reparent::{REVIEW_INTERVAL, SETTLED_AFTER};
use astral_proto::limits::{
    HEARTBEAT_INTERVAL, LEASE, TICKET_RESIGN, TICKET_VALIDITY, UNKNOWN_KBPS,
};
use astral_proto::message::{Carried, Heartbeat, ServedTicket};
use astral_proto::model::Node;
use astral_proto::{Kbps, NodeId, Slug, TicketId, UnixMillis};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often the broker looks for a better standby than one that shares relays with the path in
/// use.
const STANDBY_REVIEW_INTERVAL: Duration = Duration::from_secs(10);

/// The heartbeat of a subscriber renews a lease only if less than this is left. Usually the
/// heartbeat of the provider has just renewed the lease. Then that of the subscriber changes
/// nothing and needs no write.
const RENEWED_BELOW: Duration = LEASE.saturating_sub(HEARTBEAT_INTERVAL);

/// A ticket as its subscriber reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatedTicket {
    /// The ticket.
    pub id: TicketId,
    /// Whether its link is open and its provider is sending.
    pub flows: bool,
}

/// What became of the tickets of one provider that a subscriber holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenewalResult {
    /// Tickets that are no longer valid. A ticket that the ledger does not know, but whose link
    /// flows, is among them only if the ledger remembers that it has ended. Otherwise the next
    /// heartbeat of the provider will report the link.
    pub lost: Vec<TicketId>,
    /// Tickets whose tokens are to be signed again. Their entries have the new validity already.
    pub resign: Vec<TicketId>,
    /// Tickets that the provider can no longer serve. They are to be replaced.
    pub moves: Vec<TicketId>,
    /// Standbys that are due for review: there may be a better one.
    pub standbys_due: Vec<TicketId>,
    /// Tickets in use that are due for review: there may be a better provider.
    pub settled_due: Vec<TicketId>,
    /// Whether the ledger has changed.
    pub changed: bool,
}

/// Links that a provider reports and that its ledger did not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkChanges {
    /// Their tickets are in the ledger now.
    pub adopted: Vec<TicketId>,
    /// Their tickets have ended, so these links must be closed.
    pub ended: Vec<TicketId>,
}

/// Applies the provider's own heartbeat: its capacity and the links that it serves.
///
/// The ledger may not know a link, for example after a loss of state. Then the link is added and
/// charged, unless its ticket is remembered as ended.
pub fn apply_provider(
    ledger: &mut Ledger,
    node: &Node,
    heartbeat: &Heartbeat,
    now: UnixMillis,
) -> LinkChanges {
    ledger.advertise.clone_from(&node.advertise);
    ledger.limit_kbps = heartbeat.limit_kbps;
    ledger.viewer_kbps = heartbeat.viewer_kbps;
    ledger.draining = heartbeat.draining;
    ledger.generation = heartbeat.generation;
    ledger.heard_at = now;
    ledger.within_limit = false;
    let carried: BTreeMap<&Slug, &Carried> = heartbeat
        .streams
        .iter()
        .map(|carried| (&carried.slug, carried))
        .collect();
    let mut changes = LinkChanges::default();
    for link in &heartbeat.serves {
        if let Some(entry) = ledger.tickets.get_mut(&link.id) {
            entry.renew(now);
            // An open link uses capacity, even if the switch of its subscriber has not reached the
            // broker yet.
            ledger.start_charging(link.id, now);
        } else if ledger.has_ended(link.id, now) {
            changes.ended.push(link.id);
        } else {
            let entry = entry_of_link(link, carried.get(&link.slug).copied(), now);
            ledger.tickets.insert(link.id, entry);
            changes.adopted.push(link.id);
        }
    }
    for entry in ledger.tickets.values_mut() {
        let Some(carried) = carried.get(&entry.slug) else {
            continue;
        };
        entry.hops = subscriber_hops(carried);
        if !carried.kbps.is_zero() {
            entry.kbps = carried.kbps;
        }
    }
    changes
}

/// Renews the tickets of this provider that `subscriber` reports.
///
/// Two kinds of ticket are not renewed: an offer that was never confirmed, and a ticket in use
/// whose link brings no records.
pub fn renew_held(
    ledger: &mut Ledger,
    stated: &[StatedTicket],
    subscriber: NodeId,
    now: UnixMillis,
) -> RenewalResult {
    let to_move = if ledger.within_limit {
        BTreeSet::new()
    } else {
        tickets_to_move(ledger)
    };
    let mut result = RenewalResult::default();
    for StatedTicket { id, flows } in stated {
        // The provider will report the link in its own heartbeat, and the ledger adopts it then.
        let is_unreported =
            *flows && !ledger.tickets.contains_key(id) && !ledger.has_ended(*id, now);
        if is_unreported {
            continue;
        }
        match ledger.ticket_of(*id, subscriber) {
            Ok(entry) => {
                renew_one(entry, *id, *flows, now, &mut result);
                if to_move.contains(id) {
                    result.moves.push(*id);
                }
            }
            Err(_) => result.lost.push(*id),
        }
    }
    result
}

fn renew_one(
    entry: &mut Entry,
    id: TicketId,
    flows: bool,
    now: UnixMillis,
    result: &mut RenewalResult,
) {
    let is_alive = entry.standby || (flows && entry.is_in_use());
    if is_alive && entry.lease_until < now + RENEWED_BELOW {
        entry.renew(now);
        result.changed = true;
    }
    if entry.valid_until < now + TICKET_RESIGN {
        entry.valid_until = now + TICKET_VALIDITY;
        result.changed = true;
        result.resign.push(id);
    }
    let unchecked_for = now.since(entry.checked_at);
    if entry.standby && unchecked_for >= STANDBY_REVIEW_INTERVAL {
        entry.checked_at = now;
        result.changed = true;
        result.standbys_due.push(id);
    }
    if is_settled(entry, now) && unchecked_for >= REVIEW_INTERVAL {
        entry.checked_at = now;
        result.changed = true;
        result.settled_due.push(id);
    }
}

/// Restores a standby that its subscriber holds and the ledger has lost. Returns whether it was
/// missing.
pub fn restore_standby(
    ledger: &mut Ledger,
    id: TicketId,
    slug: &Slug,
    subscriber: NodeId,
    now: UnixMillis,
) -> bool {
    let is_missing = !ledger.tickets.contains_key(&id) && !ledger.has_ended(id, now);
    if is_missing {
        let entry = Entry::restored(slug.clone(), subscriber, true, UNKNOWN_KBPS, 0, now);
        ledger.tickets.insert(id, entry);
    }
    is_missing
}

/// The tickets in use that must go to another provider: all of them while this one drains;
/// otherwise the newest ones, as many as it takes to return to the limit.
fn tickets_to_move(ledger: &mut Ledger) -> BTreeSet<TicketId> {
    let mut excess_kbps = if ledger.draining {
        Kbps::MAX
    } else {
        ledger.used_kbps() - ledger.limit_kbps
    };
    ledger.within_limit = excess_kbps.is_zero();
    if ledger.within_limit {
        return BTreeSet::new();
    }
    let mut newest: Vec<(&TicketId, &Entry)> = ledger
        .tickets
        .iter()
        .filter(|(_, entry)| entry.is_in_use())
        .collect();
    newest.sort_by_key(|(id, entry)| (Reverse(entry.granted_at), **id));
    let mut to_move = BTreeSet::new();
    for (id, entry) in newest {
        if excess_kbps.is_zero() {
            break;
        }
        to_move.insert(*id);
        excess_kbps -= entry.kbps;
    }
    to_move
}

/// Whether a ticket has been in use for so long ([`SETTLED_AFTER`]) that a better one may replace
/// it.
fn is_settled(entry: &Entry, now: UnixMillis) -> bool {
    entry.is_in_use() && now.since(entry.granted_at) >= SETTLED_AFTER
}

fn entry_of_link(link: &ServedTicket, carried: Option<&Carried>, now: UnixMillis) -> Entry {
    let hops = carried.map_or(0, subscriber_hops);
    Entry::restored(
        link.slug.clone(),
        link.subscriber,
        false,
        link.kbps,
        hops,
        now,
    )
}

/// Relay links from the origin to a subscriber of the relay that reports `carried`.
fn subscriber_hops(carried: &Carried) -> u32 {
    u32::try_from(carried.path.len()).unwrap_or(u32::MAX)
}
