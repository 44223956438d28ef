//! One ticket in a ledger.

use super::millis;
use astral_proto::limits::{LEASE, OFFER, TICKET_VALIDITY};
use astral_proto::model::TicketState;
use astral_proto::{NodeId, Slug};

/// One ticket. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The stream.
    pub slug: Slug,
    /// The relay that pulls.
    pub subscriber: NodeId,
    /// `Offered` until a confirmation or a heartbeat says that the ticket is used.
    pub state: TicketState,
    /// Whether it waits for a failover. A standby reserves no capacity.
    pub standby: bool,
    /// What it reserves, kbit/s. For a standby, what it would reserve in use.
    pub kbps: u32,
    /// Relay links from the origin to the subscriber.
    pub hops: u32,
    /// When the ticket ends unless it is renewed.
    pub lease_until: u64,
    /// Until when the signed token can open a link.
    pub valid_until: u64,
    /// Until when the ticket may keep its provider over the limit. None if it does not.
    pub over_until: Option<u64>,
    /// Since when its capacity is charged.
    pub granted_at: u64,
    /// When the broker last looked for a better provider.
    pub checked_at: u64,
}

impl Entry {
    /// A ticket that is about to be offered. A standby has a whole lease until its first heartbeat;
    /// a ticket for use must be confirmed within [`OFFER`].
    pub fn offered(
        slug: Slug,
        subscriber: NodeId,
        standby: bool,
        kbps: u32,
        hops: u32,
        now: u64,
    ) -> Self {
        let first_lease = if standby { LEASE } else { OFFER };
        Self {
            slug,
            subscriber,
            state: TicketState::Offered,
            standby,
            kbps,
            hops,
            lease_until: now + millis(first_lease),
            valid_until: now + millis(TICKET_VALIDITY),
            over_until: None,
            granted_at: now,
            checked_at: now,
        }
    }

    /// A ticket that a relay uses although the ledger does not know it, as after a loss of state.
    /// Its token counts as expired, so that the subscriber soon receives a new one.
    pub(super) fn restored(
        slug: Slug,
        subscriber: NodeId,
        standby: bool,
        kbps: u32,
        hops: u32,
        now: u64,
    ) -> Self {
        Self {
            state: TicketState::Confirmed,
            lease_until: now + millis(LEASE),
            valid_until: now,
            ..Self::offered(slug, subscriber, standby, kbps, hops, now)
        }
    }

    /// Confirms the ticket and starts its lease again.
    pub(super) fn renew(&mut self, now: u64) {
        self.state = TicketState::Confirmed;
        self.lease_until = now + millis(LEASE);
    }

    /// Whether the link is open, as far as the ledger knows.
    pub(super) fn is_in_use(&self) -> bool {
        !self.standby && self.state == TicketState::Confirmed
    }

    /// Whether the lease has run out. During a truce a confirmed ticket stays, because its renewal
    /// may have been lost.
    pub(super) fn has_expired(&self, now: u64, truce: bool) -> bool {
        self.lease_until <= now && !(truce && self.state == TicketState::Confirmed)
    }

    /// Whether this is an offer that was not confirmed in time.
    pub(super) fn is_stale_offer(&self, now: u64) -> bool {
        self.state == TicketState::Offered && self.lease_until <= now
    }
}
