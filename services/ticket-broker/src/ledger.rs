//! What one provider has promised. All of it is one entry of the state, so that no two grants can meet.

mod compact;
mod heartbeat;

use astral_proto::limits::{LEASE, OFFER, TICKET_VALIDITY, UNKNOWN_KBPS};
use astral_proto::model::{Node, TicketState};
use astral_proto::{Code, NodeId, Problem, Slug, TicketId};
pub use heartbeat::{LinkChanges, RenewalResult, StatedTicket};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A standby put to use may take its provider over the limit by one part in this many.
const OVER_LIMIT_DIVISOR: u64 = 4;
/// For how long it may.
const OVER_LIMIT_FOR: Duration = Duration::from_secs(10);
/// Standbys of a provider may come to so many times its limit. More could never be put to use together, and when a crowd
/// hangs below a few they would all stand by there, in one ledger that is written whole.
const STANDBYS_TIMES_LIMIT: u64 = 4;

/// A link whose ticket has ended is closed, and known to be, within this time.
const ENDED_KEPT: Duration = Duration::from_secs(30);
/// Most ended tickets remembered.
const ENDED_MAX: usize = 4_096;

/// The promises of one provider. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// host:port to pull from.
    pub advertise: String,
    /// What it may spend upstream, kbit/s.
    pub limit_kbps: u32,
    /// What its viewers use, kbit/s.
    pub viewer_kbps: u32,
    /// Whether it takes no new work.
    pub draining: bool,
    /// When it was last heard of.
    pub heard_at: u64,
    /// The generation that its last heartbeat was said in.
    pub generation: u32,
    /// The generation of all ledgers when that heartbeat came.
    pub current: u32,
    /// Its tickets.
    #[serde(with = "compact")]
    pub tickets: BTreeMap<TicketId, Entry>,
    /// Tickets that have ended, each with until when its link may still be on its way to close.
    #[serde(with = "compact::ended")]
    pub ended: BTreeMap<TicketId, u64>,
    /// Whether it was within its limit when last summed up, and nothing since can have taken it over: an offer cannot, so
    /// most renewals need not sum up anything.
    #[serde(skip)]
    fits: bool,
}

/// When a rule is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time.
    pub now: u64,
    /// Whether silence is not death now.
    pub truce: bool,
    /// The generation of all ledgers: what a provider said in an older one may lack what was granted since.
    pub generation: u32,
}

/// One ticket in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The stream.
    pub slug: Slug,
    /// Who pulls.
    pub subscriber: NodeId,
    /// Where it is in its life.
    pub state: TicketState,
    /// Whether it waits for a failover and reserves nothing.
    pub standby: bool,
    /// What it reserves, or would, kbit/s.
    pub kbps: u32,
    /// Relay links from the origin to the subscriber.
    pub hops: u32,
    /// When it ends unless renewed.
    pub lease_until: u64,
    /// Until when its token opens a link.
    pub valid_until: u64,
    /// Until when it may stay although the provider is over its limit by it.
    pub over_until: Option<u64>,
    /// Since when it is charged.
    pub granted_at: u64,
    /// When it was last looked whether there is a better standby.
    pub checked_at: u64,
}

/// Why a provider gives no ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has not told its capacity since the ledger began, or its lease has ended.
    Lost,
    /// It takes no new work.
    Draining,
    /// Promised tickets and viewers leave no room.
    Full,
}

impl Refusal {
    /// In words.
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::Lost => "it has not told its capacity, or is lost",
            Refusal::Draining => "it is draining",
            Refusal::Full => "it is full",
        }
    }
}

impl Entry {
    /// A ticket about to be offered. A standby waits for a heartbeat, any other for its confirmation.
    pub fn offered(
        slug: Slug,
        subscriber: NodeId,
        standby: bool,
        kbps: u32,
        hops: u32,
        now: u64,
    ) -> Self {
        let waits = if standby { LEASE } else { OFFER };
        Self {
            slug,
            subscriber,
            state: TicketState::Offered,
            standby,
            kbps,
            hops,
            lease_until: now + millis(waits),
            valid_until: now + millis(TICKET_VALIDITY),
            over_until: None,
            granted_at: now,
            checked_at: now,
        }
    }

    fn renew(&mut self, now: u64) {
        self.state = TicketState::Confirmed;
        self.lease_until = now + millis(LEASE);
    }

    /// A lease ends by itself; a confirmed one not under `truce`, when its renewal may have gone unheard.
    fn has_ended(&self, now: u64, truce: bool) -> bool {
        self.lease_until <= now && !(truce && self.state == TicketState::Confirmed)
    }
}

impl Ledger {
    /// The ledger of a provider not heard of before.
    pub fn new(node: &Node) -> Self {
        Self {
            advertise: node.advertise.clone(),
            limit_kbps: 0,
            viewer_kbps: 0,
            draining: false,
            heard_at: 0,
            generation: 0,
            current: 0,
            tickets: BTreeMap::new(),
            ended: BTreeMap::new(),
            fits: false,
        }
    }

    /// What is promised by tickets, kbit/s.
    pub fn promised_kbps(&self) -> u64 {
        self.tickets
            .values()
            .filter(|entry| !entry.standby)
            .map(|entry| u64::from(entry.kbps))
            .sum()
    }

    /// Adds a ticket if the provider lives and has room for it.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub fn offer(&mut self, id: TicketId, entry: Entry, at: Moment) -> Result<(), Refusal> {
        let Moment {
            now,
            truce,
            generation,
        } = at;
        self.release_offers(now);
        if self.heard_at == 0
            || self.generation != generation
            || (!truce && now.saturating_sub(self.heard_at) >= millis(LEASE))
        {
            return Err(Refusal::Lost);
        }
        if self.draining {
            return Err(Refusal::Draining);
        }
        self.correct_guesses(&entry.slug, entry.kbps);
        let (used, limit) = match entry.standby {
            true => (
                self.standby_kbps(),
                u64::from(self.limit_kbps) * STANDBYS_TIMES_LIMIT,
            ),
            false => (self.used_kbps(), u64::from(self.limit_kbps)),
        };
        if used + u64::from(entry.kbps) > limit {
            return Err(Refusal::Full);
        }
        self.tickets.insert(id, entry);
        Ok(())
    }

    /// Notes that the link by a ticket is open.
    ///
    /// # Errors
    /// `not_found` if it has ended; `forbidden` if it is another's.
    pub fn confirm(&mut self, id: TicketId, subscriber: NodeId, now: u64) -> Result<(), Problem> {
        self.release_offers(now);
        self.owned(id, subscriber)?.renew(now);
        Ok(())
    }

    /// Makes a standby the ticket in use. It may go over the limit by a quarter for 10 s.
    ///
    /// # Errors
    /// `not_found` if it has ended; `forbidden` if it is another's; `full` past a quarter over the limit.
    pub fn activate(&mut self, id: TicketId, subscriber: NodeId, now: u64) -> Result<(), Problem> {
        self.release_offers(now);
        let kbps = u64::from(self.owned(id, subscriber)?.kbps);
        if self.owned(id, subscriber)?.standby {
            let used = self.used_kbps() + kbps;
            let limit = u64::from(self.limit_kbps);
            if used > limit + limit / OVER_LIMIT_DIVISOR {
                let detail = format!(
                    "{used} kbit/s would be over the limit of {limit} by more than a quarter"
                );
                return Err(Problem::new(Code::Full, detail));
            }
        }
        self.charge(id, now);
        self.owned(id, subscriber)?.renew(now);
        Ok(())
    }

    /// Takes a ticket out, for its subscriber or for the provider itself.
    ///
    /// # Errors
    /// `not_found`; `forbidden` for anybody else.
    pub fn cancel(
        &mut self,
        id: TicketId,
        provider: NodeId,
        node: NodeId,
        now: u64,
    ) -> Result<Entry, Problem> {
        if node != provider {
            self.owned(id, node)?;
        }
        let entry = self.tickets.remove(&id).ok_or_else(|| gone(id))?;
        self.bury([id], now);
        Ok(entry)
    }

    /// Takes out the tickets that have ended, and those that have been over the limit for too long. Of the first only
    /// silence is known, so a link by one of them that turns out to flow is taken in again; the others are over.
    pub fn remove_expired(&mut self, now: u64, truce: bool) -> Vec<(TicketId, Entry)> {
        let mut dropped: Vec<_> = self
            .tickets
            .extract_if(.., |_, entry| entry.has_ended(now, truce))
            .collect();
        let over: Vec<TicketId> = self
            .tickets
            .iter()
            .filter(|(_, entry)| entry.over_until.is_some())
            .map(|(id, _)| *id)
            .collect();
        let mut taken_back = Vec::new();
        for id in over {
            let fits = self.used_kbps() <= u64::from(self.limit_kbps);
            let Some(entry) = self.tickets.get_mut(&id) else {
                continue;
            };
            if fits {
                entry.over_until = None;
            } else if entry.over_until.is_some_and(|until| until <= now) {
                dropped.extend(self.tickets.remove(&id).map(|entry| (id, entry)));
                taken_back.push(id);
            }
        }
        self.ended.retain(|_, until| *until > now);
        self.bury(taken_back, now);
        dropped
    }

    /// Takes out the tickets that `subscriber` holds.
    pub fn drop_held_by(&mut self, subscriber: NodeId, now: u64) -> Vec<(TicketId, Entry)> {
        let dropped: Vec<_> = self
            .tickets
            .extract_if(.., |_, entry| entry.subscriber == subscriber)
            .collect();
        self.bury(dropped.iter().map(|(id, _)| *id), now);
        dropped
    }

    /// Remembers that tickets have ended, so that no late word of their links brings them back.
    fn bury(&mut self, ids: impl IntoIterator<Item = TicketId>, now: u64) {
        self.ended
            .extend(ids.into_iter().map(|id| (id, now + millis(ENDED_KEPT))));
        while self.ended.len() > ENDED_MAX {
            self.ended.pop_first();
        }
    }

    /// Offers end without anybody being told; whoever was offered them knows how long they last.
    fn release_offers(&mut self, now: u64) {
        let has_ended =
            |entry: &Entry| entry.state == TicketState::Offered && entry.lease_until <= now;
        // Taking out is dear even where nothing is.
        if self.tickets.values().any(has_ended) {
            self.tickets.retain(|_, entry| !has_ended(entry));
        }
    }

    /// Charges tickets for a stream that were granted before its bitrate was known no more than the next one.
    fn correct_guesses(&mut self, slug: &Slug, kbps: u32) {
        for entry in self.tickets.values_mut() {
            if entry.slug == *slug && entry.kbps == UNKNOWN_KBPS {
                entry.kbps = entry.kbps.min(kbps);
            }
        }
    }

    fn standby_kbps(&self) -> u64 {
        self.tickets
            .values()
            .filter(|entry| entry.standby)
            .map(|entry| u64::from(entry.kbps))
            .sum()
    }

    fn used_kbps(&self) -> u64 {
        self.promised_kbps() + u64::from(self.viewer_kbps)
    }

    /// Charges a standby that is in use.
    fn charge(&mut self, id: TicketId, now: u64) {
        if !self.tickets.get(&id).is_some_and(|entry| entry.standby) {
            return;
        }
        let used = self.used_kbps();
        let limit = u64::from(self.limit_kbps);
        self.fits = false;
        let Some(entry) = self.tickets.get_mut(&id) else {
            return;
        };
        entry.standby = false;
        entry.granted_at = now;
        entry.over_until =
            (used + u64::from(entry.kbps) > limit).then_some(now + millis(OVER_LIMIT_FOR));
    }

    fn owned(&mut self, id: TicketId, subscriber: NodeId) -> Result<&mut Entry, Problem> {
        let entry = self.tickets.get_mut(&id).ok_or_else(|| gone(id))?;
        if entry.subscriber != subscriber {
            return Err(Problem::new(
                Code::Forbidden,
                format!("ticket {id} is not that of node {subscriber}"),
            ));
        }
        Ok(entry)
    }
}

/// There is no such ticket, or no longer.
pub fn gone(id: TicketId) -> Problem {
    Problem::new(
        Code::NotFound,
        format!("there is no ticket {id}, or it has ended"),
    )
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

#[cfg(test)]
mod tests;
