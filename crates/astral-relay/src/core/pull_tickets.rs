//! The tickets of one pull.

use astral_proto::message::{HeldTicket, LEFT_MAX, Offer, Renewed, Replacement};
use astral_proto::{NodeId, Slug, TicketId};
use astral_runtime::lock;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// After a move to a provider has failed, no other move to it is tried for this long.
const AVOID_FOR: Duration = Duration::from_secs(60);
/// Most providers that are avoided; the oldest is forgotten.
const AVOIDED_MAX: usize = 8;
/// Most tickets that wait to be cancelled. The oldest is dropped and ends by itself, because this
/// relay holds it no longer.
const CANCELS_MAX: usize = 32;

/// The tickets of one pull: the active one, a standby, and one to move to. Each of them may be
/// missing.
#[derive(Debug, Default)]
pub struct PullTickets {
    inner: Mutex<Inner>,
    /// Notified when there is a ticket to move to, or one to cancel.
    work: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    active: Option<Active>,
    standby: Option<Offer>,
    /// Replaces the active ticket as soon as a link by it is open.
    move_to: Option<Offer>,
    /// Tickets that were active before.
    left: VecDeque<TicketId>,
    /// Those of them that the broker does not know of yet. It may still reserve capacity for them.
    unreported: VecDeque<TicketId>,
    /// Providers to which a move has failed, and when.
    avoided: VecDeque<(NodeId, Instant)>,
    /// Tickets to cancel.
    cancels: VecDeque<TicketId>,
    /// The ticket whose link is open.
    linked: Option<TicketId>,
}

#[derive(Debug)]
struct Active {
    offer: Offer,
    /// Cancelled when the broker no longer knows the ticket.
    lost: CancellationToken,
}

impl Active {
    fn new(offer: Offer) -> Self {
        Self {
            offer,
            lost: CancellationToken::new(),
        }
    }
}

impl PullTickets {
    /// Replaces both tickets.
    pub fn set(&self, active: Offer, standby: Option<Offer>) {
        self.change(|inner| {
            inner.use_ticket(active);
            inner.standby = standby;
        });
    }

    /// Stops using every ticket. Returns those that the next request must report to the broker.
    pub fn leave_all(&self) -> Vec<TicketId> {
        self.change(|inner| {
            inner.cancel_move();
            let active = inner.active.take().map(|active| active.offer);
            let standby = inner.standby.take();
            for offer in active.into_iter().chain(standby) {
                inner.leave(offer.id);
            }
            inner.unreported.iter().copied().collect()
        })
    }

    /// Notes that the broker knows that these tickets are no longer used.
    pub fn mark_reported(&self, ids: &[TicketId]) {
        lock(&self.inner).unreported.retain(|id| !ids.contains(id));
    }

    /// Sets the standby, and cancels the one that it replaces. None changes nothing.
    pub fn set_standby(&self, standby: Option<Offer>) {
        self.change(|inner| {
            if let Some(before) = standby.and_then(|standby| inner.standby.replace(standby)) {
                inner.queue_cancel(before.id);
            }
        });
    }

    /// Makes the standby the active ticket and returns it. Abandons a pending move, because its
    /// link is not ready and the present provider no longer serves.
    pub fn use_standby(&self) -> Option<Offer> {
        self.change(|inner| {
            inner.cancel_move();
            let standby = inner.standby.take()?;
            if let Some(before) = inner.active.replace(Active::new(standby.clone())) {
                inner.leave(before.offer.id);
            }
            Some(standby)
        })
    }

    /// Waits for a ticket to move to.
    pub async fn next_move(&self) -> Offer {
        self.wait_for(|inner| inner.move_to.clone()).await
    }

    /// Makes `offer` the active ticket, and cancels the one before.
    pub fn complete_move(&self, offer: &Offer) {
        self.change(|inner| inner.complete_move(offer));
    }

    /// Gives up the pending move, and avoids its provider for a while.
    pub fn abandon_move(&self, offer: &Offer) {
        self.change(|inner| {
            inner.cancel_move();
            let avoided = (offer.provider, Instant::now());
            push(&mut inner.avoided, AVOIDED_MAX, avoided);
        });
    }

    /// Waits for a ticket that must be cancelled, and takes it.
    pub async fn next_cancel(&self) -> TicketId {
        self.wait_for(|inner| inner.cancels.pop_front()).await
    }

    /// Whether there is a standby.
    pub fn has_standby(&self) -> bool {
        lock(&self.inner).standby.is_some()
    }

    /// The provider after a failover.
    pub fn standby_provider(&self) -> Option<NodeId> {
        lock(&self.inner)
            .standby
            .as_ref()
            .map(|offer| offer.provider)
    }

    /// Cancelled when the broker no longer knows the ticket `id`; already cancelled if `id` is not
    /// the active ticket.
    pub fn lost(&self, id: TicketId) -> CancellationToken {
        let inner = lock(&self.inner);
        let active = inner.active.as_ref().filter(|active| active.offer.id == id);
        active.map_or_else(cancelled, |active| active.lost.clone())
    }

    /// Notes that the link by the ticket `id` is open.
    pub fn link_opened(&self, id: TicketId) {
        lock(&self.inner).linked = Some(id);
    }

    /// Notes that the link by the ticket `id` has ended.
    pub fn link_closed(&self, id: TicketId) {
        lock(&self.inner).linked.take_if(|linked| *linked == id);
    }

    /// The active ticket and the standby, as heartbeats state them. A ticket to move to is left out
    /// until it is used: nobody has confirmed it.
    pub fn held(&self, slug: &Slug) -> Vec<HeldTicket> {
        let inner = lock(&self.inner);
        let active = inner.active.iter().map(|active| (&active.offer, false));
        let all = active.chain(inner.standby.iter().map(|offer| (offer, true)));
        let held = all.map(|(offer, standby)| HeldTicket {
            id: offer.id,
            slug: slug.clone(),
            provider: offer.provider,
            standby,
            flows: inner.linked == Some(offer.id),
        });
        held.collect()
    }

    /// Drops every ticket, and returns all that must be cancelled.
    pub fn drop_all(&self) -> Vec<TicketId> {
        let mut cancels = self.leave_all();
        let inner = std::mem::take(&mut *lock(&self.inner));
        cancels.extend(inner.cancels);
        cancels
    }

    /// Applies what the broker answered to a heartbeat.
    pub fn apply_renewal(&self, renewed: &Renewed) {
        self.change(|inner| {
            for offer in &renewed.resigned {
                inner.resign(offer);
            }
            inner.drop_lost(&renewed.lost);
        });
        self.replace(&renewed.replaced);
    }

    /// Replaces tickets by better ones.
    pub fn replace(&self, replaced: &[Replacement]) {
        self.change(|inner| {
            for Replacement { left, by } in replaced {
                inner.replace(*left, by);
            }
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = lock(&self.inner);
        let answer = change(&mut inner);
        if inner.move_to.is_some() || !inner.cancels.is_empty() {
            self.work.notify_waiters();
        }
        answer
    }

    async fn wait_for<T>(&self, find: impl Fn(&mut Inner) -> Option<T>) -> T {
        loop {
            // Registered before the look, so that no change in between is missed.
            let work = self.work.notified();
            if let Some(found) = find(&mut lock(&self.inner)) {
                return found;
            }
            work.await;
        }
    }
}

impl Inner {
    /// Makes `active` the active ticket. A pending move started from the one before, so it is
    /// cancelled.
    fn use_ticket(&mut self, active: Offer) {
        self.cancel_move();
        if let Some(before) = self.active.replace(Active::new(active)) {
            push(&mut self.left, LEFT_MAX, before.offer.id);
        }
    }

    /// Notes that the ticket `id` is no longer used, which the broker must hear.
    fn leave(&mut self, id: TicketId) {
        push(&mut self.left, LEFT_MAX, id);
        push(&mut self.unreported, LEFT_MAX, id);
    }

    fn cancel_move(&mut self) {
        if let Some(offer) = self.move_to.take() {
            self.queue_cancel(offer.id);
        }
    }

    fn complete_move(&mut self, offer: &Offer) {
        self.move_to.take_if(|next| next.id == offer.id);
        if let Some(before) = &self.active {
            let before = before.offer.id;
            self.queue_cancel(before);
        }
        self.use_ticket(offer.clone());
        // A standby at the present provider would fail together with it.
        if let Some(standby) = self
            .standby
            .take_if(|standby| standby.provider == offer.provider)
        {
            self.queue_cancel(standby.id);
        }
    }

    fn queue_cancel(&mut self, id: TicketId) {
        push(&mut self.cancels, CANCELS_MAX, id);
    }

    /// Replaces the signature of a ticket. The link stays open; only its next one needs the new
    /// token.
    fn resign(&mut self, offer: &Offer) {
        let active = self.active.iter_mut().map(|active| &mut active.offer);
        let all = active.chain(&mut self.standby);
        for held in all.filter(|held| held.id == offer.id) {
            *held = offer.clone();
        }
    }

    fn drop_lost(&mut self, lost: &[TicketId]) {
        self.standby.take_if(|standby| lost.contains(&standby.id));
        if let Some(active) = &self.active
            && lost.contains(&active.offer.id)
        {
            active.lost.cancel();
        }
    }

    /// Replaces the ticket `left`: a standby at once, the active one after a link by the new ticket
    /// is open. An offer is cancelled if it comes too late, during another move, or for a provider
    /// that is avoided.
    fn replace(&mut self, left: TicketId, by: &Offer) {
        if self.holds(by.id) {
            return;
        }
        if is_ticket(self.standby.as_ref(), left) {
            self.standby = Some(by.clone());
        } else if is_ticket(self.active.as_ref().map(|active| &active.offer), left) {
            if self.move_to.is_some() || self.avoids(by.provider) {
                self.queue_cancel(by.id);
            } else {
                self.move_to = Some(by.clone());
            }
        } else if self.left.contains(&left) {
            self.queue_cancel(by.id);
        }
    }

    fn holds(&self, id: TicketId) -> bool {
        let active = self.active.iter().map(|active| &active.offer);
        active
            .chain(&self.standby)
            .chain(&self.move_to)
            .any(|offer| offer.id == id)
    }

    fn avoids(&self, provider: NodeId) -> bool {
        self.avoided
            .iter()
            .any(|(avoided, since)| *avoided == provider && since.elapsed() < AVOID_FOR)
    }
}

fn is_ticket(offer: Option<&Offer>, id: TicketId) -> bool {
    offer.is_some_and(|offer| offer.id == id)
}

/// Appends `item` to a queue of at most `max` items.
fn push<T>(queue: &mut VecDeque<T>, max: usize, item: T) {
    if queue.len() >= max {
        queue.pop_front();
    }
    queue.push_back(item);
}

fn cancelled() -> CancellationToken {
    let token = CancellationToken::new();
    token.cancel();
    token
}

#[cfg(test)]
mod tests;
