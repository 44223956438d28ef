//! The tickets a relay holds for one stream.

use crate::stream::lock;
use astral_proto::message::{HeldTicket, Offer, Renewed, Replacement};
use astral_proto::{NodeId, Slug, TicketId};
use std::sync::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// An active ticket and a standby, either of which may be missing.
#[derive(Default)]
pub struct Held {
    inner: Mutex<Inner>,
    /// Told when the ticket in use is to be left for the standby.
    moves: Notify,
}

#[derive(Default)]
struct Inner {
    active: Option<(Offer, CancellationToken)>,
    standby: Option<Offer>,
    /// The standby that is to take the place of the ticket in use, as soon as a link by it can be had.
    move_to: Option<TicketId>,
}

impl Held {
    /// Holds these two and no others.
    pub fn set(&self, active: Option<Offer>, standby: Option<Offer>) {
        let mut inner = lock(&self.inner);
        inner.active = active.map(|offer| (offer, CancellationToken::new()));
        inner.standby = standby;
    }

    /// Uses `active` from now on.
    pub fn set_active(&self, active: Offer) {
        lock(&self.inner).active = Some((active, CancellationToken::new()));
    }

    /// Keeps `standby` for a failover.
    pub fn set_standby(&self, standby: Option<Offer>) {
        lock(&self.inner).standby = standby;
    }

    /// Takes the standby into use.
    pub fn take_standby(&self) -> Option<Offer> {
        lock(&self.inner).standby.take()
    }

    /// Waits until the ticket in use is to be left for another, and gives that.
    pub async fn told_to_move(&self) -> Offer {
        loop {
            let told = self.moves.notified();
            if let Some(offer) = lock(&self.inner).to_move_to() {
                return offer;
            }
            told.await;
        }
    }

    /// Goes over to `offer`, which may have been the standby.
    pub fn moved_to(&self, offer: &Offer) {
        self.give_up(offer.id);
        self.set_active(offer.clone());
    }

    /// Holds the standby `id` no longer, if it is that.
    pub fn give_up(&self, id: TicketId) {
        let mut inner = lock(&self.inner);
        inner.standby = inner.standby.take().filter(|standby| standby.id != id);
    }

    /// Whether there is a standby.
    pub fn has_standby(&self) -> bool {
        lock(&self.inner).standby.is_some()
    }

    /// Who would provide after a failover.
    pub fn standby_provider(&self) -> Option<NodeId> {
        lock(&self.inner).standby.as_ref().map(|offer| offer.provider)
    }

    /// Cancelled when the ticket `id` is no longer good; already cancelled if it is not the active one.
    pub fn revoked(&self, id: TicketId) -> CancellationToken {
        let inner = lock(&self.inner);
        let active = inner.active.as_ref().filter(|(offer, _)| offer.id == id);
        active.map_or_else(cancelled, |(_, revoked)| revoked.clone())
    }

    /// Every ticket held, for stream `slug`.
    pub fn tickets(&self, slug: &Slug) -> Vec<HeldTicket> {
        let inner = lock(&self.inner);
        let active = inner.active.iter().map(|(offer, _)| (offer, false));
        let all = active.chain(inner.standby.iter().map(|offer| (offer, true)));
        let held = all.map(|(offer, standby)| HeldTicket {
            id: offer.id,
            slug: slug.clone(),
            provider: offer.provider,
            standby,
        });
        held.collect()
    }

    /// Holds nothing any more; what it held.
    pub fn clear(&self) -> Vec<TicketId> {
        let Inner { active, standby, .. } = std::mem::take(&mut *lock(&self.inner));
        active.into_iter().map(|(offer, _)| offer.id).chain(standby.map(|offer| offer.id)).collect()
    }

    /// Takes what the broker says of this node's tickets.
    pub fn heed(&self, renewed: &Renewed) {
        let mut inner = lock(&self.inner);
        for offer in &renewed.resigned {
            if let Some((active, _)) = inner.active.as_mut().filter(|(active, _)| active.id == offer.id) {
                *active = offer.clone();
            }
            if let Some(standby) = inner.standby.as_mut().filter(|standby| standby.id == offer.id) {
                *standby = offer.clone();
            }
        }
        inner.standby = inner.standby.take().filter(|standby| !renewed.lost.contains(&standby.id));
        if let Some((_, revoked)) =
            inner.active.as_ref().filter(|(active, _)| renewed.lost.contains(&active.id))
        {
            revoked.cancel();
        }
        drop(inner);
        self.replace(&renewed.replaced);
    }

    /// Goes over to other tickets.
    pub fn replace(&self, replaced: &[Replacement]) {
        let mut inner = lock(&self.inner);
        for Replacement { left, by } in replaced {
            inner.replace(*left, by);
        }
        if inner.to_move_to().is_some() {
            self.moves.notify_waiters();
        }
    }
}

impl Inner {
    /// Keeps `by` as the standby if `left` is held; if it is in use, it is to be left for it.
    fn replace(&mut self, left: TicketId, by: &Offer) {
        let in_use = self.active.as_ref().is_some_and(|(active, _)| active.id == left);
        if in_use || self.standby.as_ref().is_some_and(|standby| standby.id == left) {
            self.move_to = if in_use { Some(by.id) } else { self.move_to };
            self.standby = Some(by.clone());
        }
    }

    fn to_move_to(&self) -> Option<Offer> {
        self.standby.clone().filter(|standby| self.move_to == Some(standby.id))
    }
}

fn cancelled() -> CancellationToken {
    let token = CancellationToken::new();
    token.cancel();
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(id: u128) -> Offer {
        let provider = NodeId::random();
        Offer { id: TicketId(uuid_of(id)), provider, advertise: "127.0.0.1:1".into(), token: "old".into() }
    }

    fn uuid_of(id: u128) -> uuid::Uuid {
        uuid::Uuid::from_u128(id)
    }

    #[test]
    fn a_lost_standby_is_dropped_and_a_lost_active_ticket_is_told() {
        let held = Held::default();
        held.set(Some(offer(1)), Some(offer(2)));
        let revoked = held.revoked(offer(1).id);
        held.heed(&Renewed { lost: vec![offer(2).id], ..Renewed::default() });
        assert!(!held.has_standby() && !revoked.is_cancelled());
        held.heed(&Renewed { lost: vec![offer(1).id], ..Renewed::default() });
        assert!(revoked.is_cancelled());
    }

    #[test]
    fn a_ticket_signed_again_takes_the_place_of_the_old_one() {
        let held = Held::default();
        held.set(Some(offer(1)), Some(offer(2)));
        let fresh = Offer { token: "new".into(), ..offer(2) };
        held.heed(&Renewed { resigned: vec![fresh], ..Renewed::default() });
        assert_eq!(held.take_standby().unwrap().token, "new");
        assert_eq!(held.clear(), [offer(1).id]);
    }

    #[test]
    fn a_replaced_standby_is_kept_for_later_and_a_replaced_active_ticket_is_to_be_left() {
        let held = Held::default();
        held.set(Some(offer(1)), Some(offer(2)));
        let to_move_to = || lock(&held.inner).to_move_to().map(|offer| offer.id);
        let replaced = |left, by| Renewed {
            replaced: vec![Replacement { left: offer(left).id, by: offer(by) }],
            ..Renewed::default()
        };
        held.heed(&replaced(2, 3));
        held.heed(&replaced(2, 4));
        let ids: Vec<_> =
            held.tickets(&"demo".parse().unwrap()).iter().map(|held| (held.id, held.standby)).collect();
        assert_eq!(
            ids,
            [(offer(1).id, false), (offer(3).id, true)],
            "one that is held no longer is not replaced"
        );
        assert_eq!(to_move_to(), None);
        held.heed(&replaced(1, 5));
        assert_eq!(to_move_to(), Some(offer(5).id));
        held.moved_to(&offer(5));
        assert_eq!(to_move_to(), None);
        assert_eq!(held.clear(), [offer(5).id], "the ticket that was left is held no longer");
    }
}
