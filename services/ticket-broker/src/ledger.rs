//! What one provider has promised, and the rules for adding and removing its tickets.
//!
//! The ledger of a provider is one entry of the shared state, which is replaced as a whole by
//! compare-and-set. So two brokers can never grant the same capacity twice.

mod compact;
mod entry;
pub(crate) mod heartbeat;

use crate::error::Error;
use astral_proto::limits::{LEASE, UNKNOWN_KBPS};
use astral_proto::model::Node;
use astral_proto::{Kbps, NodeId, Slug, TicketId, UnixMillis};
pub use entry::Entry;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A standby that comes into use may take its provider over the limit by this share of
/// the limit.
const OVER_LIMIT_SHARE: f64 = 0.25;
/// How long it may stay over the limit.
const OVER_LIMIT_FOR: Duration = Duration::from_secs(10);
/// The standbys of a provider may add up to this many times its limit. More could never come into
/// use together. Without this limit, a crowd below a few relays could have all its standbys in one
/// ledger, and every change writes a whole ledger.
const STANDBYS_TIMES_LIMIT: u32 = 4;

/// How long the ledger remembers a ticket that has ended. Its link is closed by then.
const ENDED_KEPT: Duration = Duration::from_secs(30);
/// Most ended tickets that a ledger remembers.
const ENDED_MAX: usize = 4_096;

/// The promises of one provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// host:port to pull from.
    pub advertise: String,
    /// What the provider may send.
    pub limit_kbps: Kbps,
    /// What its viewers use.
    pub viewer_kbps: Kbps,
    /// Whether it is draining, so that it gives no new tickets.
    pub draining: bool,
    /// When its last heartbeat came. 0 if none has.
    pub heard_at: UnixMillis,
    /// The generation that the provider named in its last heartbeat: the last one that a broker
    /// told it. While this differs from `current`, the provider may serve tickets that this ledger
    /// lacks, so it gives no new ones.
    pub generation: u32,
    /// The generation that was in force when the broker received that heartbeat.
    pub current: u32,
    /// Its tickets.
    #[serde(with = "compact")]
    pub tickets: BTreeMap<TicketId, Entry>,
    /// Tickets that have ended. Each is remembered until the given time, so that a late message
    /// does not restore it.
    #[serde(with = "compact::ended")]
    pub ended: BTreeMap<TicketId, UnixMillis>,
    /// True if the provider is certainly within its limit: it was when its tickets were last added
    /// up, and nothing that could change that has happened since. A new ticket cannot change it.
    /// With this flag, most heartbeats need not add up the tickets.
    #[serde(skip)]
    within_limit: bool,
}

/// The time and the circumstances in which a rule is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time.
    pub now: UnixMillis,
    /// Whether a truce holds: heartbeats may be missing because this broker did not receive them.
    pub truce: bool,
    /// The generation of all ledgers. A provider that last reported in an older one may serve
    /// tickets that this ledger lacks.
    pub generation: u32,
}

/// Why a provider gives no ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its lease has ended, or it has not reported its capacity in this generation of the ledgers.
    Lost,
    /// It is draining.
    Draining,
    /// Promised tickets and viewers leave no room.
    Full,
}

impl Refusal {
    /// The reason in words.
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::Lost => "it has not reported its capacity, or is lost",
            Refusal::Draining => "it is draining",
            Refusal::Full => "it is full",
        }
    }
}

impl Ledger {
    /// The ledger of a provider that is new here. It grants nothing before its first heartbeat.
    pub fn new(node: &Node) -> Self {
        Self {
            advertise: node.advertise.clone(),
            limit_kbps: Kbps::ZERO,
            viewer_kbps: Kbps::ZERO,
            draining: false,
            heard_at: UnixMillis::ZERO,
            generation: 0,
            current: 0,
            tickets: BTreeMap::new(),
            ended: BTreeMap::new(),
            within_limit: false,
        }
    }

    /// What tickets in use and offers reserve.
    pub fn promised_kbps(&self) -> Kbps {
        self.sum_kbps(|entry| !entry.standby)
    }

    /// Adds a ticket if the provider is alive and has room for it.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub fn offer(&mut self, id: TicketId, entry: Entry, at: Moment) -> Result<(), Refusal> {
        self.drop_stale_offers(at.now);
        let is_silent = at.now.since(self.heard_at) >= LEASE;
        if self.heard_at.is_zero() || self.generation != at.generation || (is_silent && !at.truce) {
            return Err(Refusal::Lost);
        }
        if self.draining {
            return Err(Refusal::Draining);
        }
        self.correct_guesses(&entry.slug, entry.kbps);
        if !self.has_room(&entry) {
            return Err(Refusal::Full);
        }
        self.tickets.insert(id, entry);
        Ok(())
    }

    /// Confirms a ticket: its link is open.
    ///
    /// # Errors
    /// [`Error::NoTicket`] and [`Error::NotSubscriber`].
    pub fn confirm(
        &mut self,
        id: TicketId,
        subscriber: NodeId,
        now: UnixMillis,
    ) -> Result<(), Error> {
        self.drop_stale_offers(now);
        self.ticket_of(id, subscriber)?.renew(now);
        Ok(())
    }

    /// Makes a standby the ticket in use. This may take the provider over its limit by a quarter
    /// for 10 s.
    ///
    /// # Errors
    /// [`Error::NoTicket`], [`Error::NotSubscriber`], and [`Error::FarOverLimit`] past that
    /// quarter.
    pub fn activate(
        &mut self,
        id: TicketId,
        subscriber: NodeId,
        now: UnixMillis,
    ) -> Result<(), Error> {
        self.drop_stale_offers(now);
        let entry = self.ticket_of(id, subscriber)?;
        let kbps = entry.kbps;
        if entry.standby {
            let used_kbps = self.used_kbps() + kbps;
            let limit_kbps = self.limit_kbps;
            if used_kbps > limit_kbps + limit_kbps.mul_f64(OVER_LIMIT_SHARE) {
                return Err(Error::FarOverLimit {
                    used_kbps,
                    limit_kbps,
                });
            }
        }
        self.start_charging(id, now);
        self.ticket_of(id, subscriber)?.renew(now);
        Ok(())
    }

    /// Removes a ticket at the request of its subscriber or its provider.
    ///
    /// # Errors
    /// [`Error::NoTicket`], and [`Error::NotSubscriber`] for any other node.
    pub fn cancel(
        &mut self,
        id: TicketId,
        provider: NodeId,
        node: NodeId,
        now: UnixMillis,
    ) -> Result<Entry, Error> {
        if node != provider {
            self.ticket_of(id, node)?;
        }
        let entry = self.tickets.remove(&id).ok_or(Error::NoTicket(id))?;
        self.remember_ended([id], now);
        Ok(entry)
    }

    /// Removes the tickets that have expired, and those that took their provider over its limit for
    /// too long. Returns both.
    ///
    /// Only the second kind is remembered as ended. A ticket expires because nobody reported it,
    /// which does not prove that its link is closed. If a later heartbeat reports the link, the
    /// ticket must be accepted again.
    pub fn remove_expired(&mut self, now: UnixMillis, truce: bool) -> Vec<(TicketId, Entry)> {
        let mut removed: Vec<_> = self
            .tickets
            .extract_if(.., |_, entry| entry.has_expired(now, truce))
            .collect();
        let over_limit: Vec<TicketId> = self
            .tickets
            .iter()
            .filter(|(_, entry)| entry.over_until.is_some())
            .map(|(id, _)| *id)
            .collect();
        let mut taken_back = Vec::new();
        for id in over_limit {
            // Checked for each ticket, because the removal before it may have brought the provider
            // back under its limit.
            let fits = self.used_kbps() <= self.limit_kbps;
            let Some(entry) = self.tickets.get_mut(&id) else {
                continue;
            };
            if fits {
                entry.over_until = None;
            } else if entry.over_until.is_some_and(|until| until <= now) {
                removed.extend(self.tickets.remove(&id).map(|entry| (id, entry)));
                taken_back.push(id);
            }
        }
        self.ended.retain(|_, until| *until > now);
        self.remember_ended(taken_back, now);
        removed
    }

    /// Removes and returns the tickets of `subscriber`.
    pub fn drop_held_by(&mut self, subscriber: NodeId, now: UnixMillis) -> Vec<(TicketId, Entry)> {
        let removed: Vec<_> = self
            .tickets
            .extract_if(.., |_, entry| entry.subscriber == subscriber)
            .collect();
        self.remember_ended(removed.iter().map(|(id, _)| *id), now);
        removed
    }

    /// Whether a subscriber has reported that it receives from this provider, after the last
    /// heartbeat of the provider itself.
    pub fn is_received_from(&self, now: UnixMillis) -> bool {
        // The provider's own last heartbeat renewed leases up to this time. A lease that ends later
        // was renewed by a subscriber.
        let renewed_by_itself = self.heard_at + LEASE;
        self.tickets
            .values()
            .any(|entry| entry.is_in_use() && entry.lease_until > renewed_by_itself.max(now))
    }

    /// Whether the provider reported in its last heartbeat that it serves ticket `id`, and its
    /// lease has not ended.
    pub fn serves(&self, id: TicketId, now: UnixMillis) -> bool {
        let renewed_by_itself = self.heard_at + LEASE;
        let entry = self.tickets.get(&id).filter(|entry| entry.is_in_use());
        renewed_by_itself > now && entry.is_some_and(|entry| entry.lease_until >= renewed_by_itself)
    }

    /// Remembers that tickets have ended, so that no late message restores them.
    fn remember_ended(&mut self, ids: impl IntoIterator<Item = TicketId>, now: UnixMillis) {
        self.ended
            .extend(ids.into_iter().map(|id| (id, now + ENDED_KEPT)));
        let surplus = self.ended.len().saturating_sub(ENDED_MAX);
        if surplus > 0 {
            self.forget_oldest_ended(surplus);
        }
    }

    fn forget_oldest_ended(&mut self, count: usize) {
        let by_age: BTreeSet<_> = self.ended.iter().map(|(id, until)| (*until, *id)).collect();
        for (_, id) in by_age.into_iter().take(count) {
            self.ended.remove(&id);
        }
    }

    fn has_ended(&self, id: TicketId, now: UnixMillis) -> bool {
        self.ended.get(&id).is_some_and(|until| *until > now)
    }

    /// Drops offers that were not confirmed in time. Nobody is notified: the relay that received an
    /// offer knows how long it lasts.
    fn drop_stale_offers(&mut self, now: UnixMillis) {
        // `retain` is expensive even when it removes nothing.
        if self.tickets.values().any(|entry| entry.is_stale_offer(now)) {
            self.tickets.retain(|_, entry| !entry.is_stale_offer(now));
        }
    }

    /// Lowers the charge of tickets that were granted before the bitrate of their stream was known.
    fn correct_guesses(&mut self, slug: &Slug, kbps: Kbps) {
        for entry in self.tickets.values_mut() {
            if entry.slug == *slug && entry.kbps == UNKNOWN_KBPS {
                entry.kbps = entry.kbps.min(kbps);
            }
        }
    }

    fn has_room(&self, entry: &Entry) -> bool {
        if entry.standby {
            let standbys = self.sum_kbps(|entry| entry.standby);
            standbys + entry.kbps <= self.limit_kbps.times(STANDBYS_TIMES_LIMIT)
        } else {
            self.used_kbps() + entry.kbps <= self.limit_kbps
        }
    }

    fn used_kbps(&self) -> Kbps {
        self.promised_kbps() + self.viewer_kbps
    }

    fn sum_kbps(&self, counts: impl Fn(&Entry) -> bool) -> Kbps {
        self.tickets
            .values()
            .filter(|entry| counts(entry))
            .map(|entry| entry.kbps)
            .sum()
    }

    /// Charges a standby that has come into use. Does nothing for a ticket that is charged already.
    fn start_charging(&mut self, id: TicketId, now: UnixMillis) {
        // Checked before the tickets are added up, because a heartbeat calls this for each of its
        // links.
        if !self.tickets.get(&id).is_some_and(|entry| entry.standby) {
            return;
        }
        let used = self.used_kbps();
        let Some(entry) = self.tickets.get_mut(&id) else {
            return;
        };
        let is_over = used + entry.kbps > self.limit_kbps;
        entry.standby = false;
        entry.granted_at = now;
        entry.over_until = is_over.then_some(now + OVER_LIMIT_FOR);
        self.within_limit = false;
    }

    /// The ticket `id`, if it belongs to `subscriber`.
    fn ticket_of(&mut self, id: TicketId, subscriber: NodeId) -> Result<&mut Entry, Error> {
        let entry = self.tickets.get_mut(&id).ok_or(Error::NoTicket(id))?;
        if entry.subscriber == subscriber {
            Ok(entry)
        } else {
            let node = subscriber;
            Err(Error::NotSubscriber { id, node })
        }
    }
}

#[cfg(test)]
mod tests;
