//! One ticket in a ledger.

use astral_proto::limits::{LEASE, OFFER, TICKET_VALIDITY};
use astral_proto::model::TicketState;
use astral_proto::{Kbps, NodeId, Slug, UnixMillis};

/// One ticket.
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
    /// What it reserves. For a standby, what it would reserve in use.
    pub kbps: Kbps,
    /// Relay links from the origin to the subscriber.
    pub hops: u32,
    /// When the ticket ends unless it is renewed.
    pub lease_until: UnixMillis,
    /// Until when the signed token can open a link.
    pub valid_until: UnixMillis,
    /// Until when the ticket may keep its provider over the limit. None if it does not.
    pub over_until: Option<UnixMillis>,
    /// Since when its capacity is charged.
    pub granted_at: UnixMillis,
    /// When the broker last looked for a better provider.
    pub checked_at: UnixMillis,
}

impl Entry {
    /// A ticket that is about to be offered. A standby has a whole lease until its first heartbeat;
    /// a ticket for use must be confirmed within [`OFFER`].
    pub fn offered(
        slug: Slug,
        subscriber: NodeId,
        standby: bool,
        kbps: Kbps,
        hops: u32,
        now: UnixMillis,
    ) -> Self {
        let first_lease = if standby { LEASE } else { OFFER };
        Self {
            slug,
            subscriber,
            state: TicketState::Offered,
            standby,
            kbps,
            hops,
            lease_until: now + first_lease,
            valid_until: now + TICKET_VALIDITY,
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
        kbps: Kbps,
        hops: u32,
        now: UnixMillis,
    ) -> Self {
        Self {
            state: TicketState::Confirmed,
            lease_until: now + LEASE,
            valid_until: now,
            ..Self::offered(slug, subscriber, standby, kbps, hops, now)
        }
    }

    /// Confirms the ticket and starts its lease again.
    pub(super) fn renew(&mut self, now: UnixMillis) {
        self.state = TicketState::Confirmed;
        self.lease_until = now + LEASE;
    }

    /// Whether the link is open, as far as the ledger knows.
    pub(super) fn is_in_use(&self) -> bool {
        !self.standby && self.state == TicketState::Confirmed
    }

    /// Whether the lease has run out. During a truce a confirmed ticket stays, because its renewal
    /// may have been lost.
    pub(super) fn has_expired(&self, now: UnixMillis, truce: bool) -> bool {
        self.lease_until <= now && !(truce && self.state == TicketState::Confirmed)
    }

    /// Whether this is an offer that was not confirmed in time.
    pub(super) fn is_stale_offer(&self, now: UnixMillis) -> bool {
        self.state == TicketState::Offered && self.lease_until <= now
    }
}
