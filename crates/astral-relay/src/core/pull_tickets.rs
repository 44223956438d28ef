//! The tickets a relay holds for one stream.

use crate::sync::lock;
use astral_proto::message::{HeldTicket, LEFT_MAX, Offer, Renewed, Replacement};
use astral_proto::{NodeId, Slug, TicketId};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long no move goes to a provider that one has failed to.
const SHUNNED_FOR: Duration = Duration::from_secs(60);
/// Most providers remembered because a move to them has failed; the oldest is forgotten.
const SHUNNED_MAX: usize = 8;
/// Most tickets waiting to be cancelled; the oldest ends by itself.
const UNWANTED_MAX: usize = 32;

/// An active ticket and a standby, either of which may be missing, and a ticket to move to.
#[derive(Default)]
pub struct Held {
    inner: Mutex<Inner>,
    /// Told when there is a ticket to move to, or one to cancel.
    news: Notify,
}

#[derive(Default)]
struct Inner {
    active: Option<(Offer, CancellationToken)>,
    standby: Option<Offer>,
    /// What is to take the place of the ticket in use, as soon as a link by it can be had.
    move_to: Option<Offer>,
    /// Tickets that were in use before.
    left: VecDeque<TicketId>,
    /// Those of them that the broker has not been told of. It may still reserve capacity for them.
    untold: VecDeque<TicketId>,
    /// Providers that no link could be had of, and since when.
    shunned: VecDeque<(NodeId, Instant)>,
    /// Tickets to be cancelled.
    unwanted: VecDeque<TicketId>,
    /// The ticket whose provider sends now.
    flowing: Option<TicketId>,
}

impl Held {
    /// Holds these two and no others.
    pub fn set(&self, active: Offer, standby: Option<Offer>) {
        self.change(|inner| {
            inner.leave_for(active);
            inner.standby = standby;
        });
    }

    /// Uses no ticket from now on, and gives those that the broker is to be told of with the next request.
    pub fn out_of_use(&self) -> Vec<TicketId> {
        self.change(|inner| {
            inner.stay();
            let used = inner.active.take().map(|(offer, _)| offer);
            used.into_iter()
                .chain(inner.standby.take())
                .for_each(|offer| inner.leave(offer.id));
            inner.untold.iter().copied().collect()
        })
    }

    /// The broker knows that these are not in use any more.
    pub fn told(&self, ids: &[TicketId]) {
        lock(&self.inner).untold.retain(|id| !ids.contains(id));
    }

    /// Keeps `standby` for a failover in place of the one there is, if there is one.
    pub fn set_standby(&self, standby: Option<Offer>) {
        self.change(|inner| {
            if let Some(before) = standby.and_then(|standby| inner.standby.replace(standby)) {
                inner.unwant(before.id);
            }
        });
    }

    /// Takes the standby into use, and gives it. What was to be moved to is not, since a link by it is only half made.
    pub fn fail_over(&self) -> Option<Offer> {
        self.change(|inner| {
            inner.stay();
            let standby = inner.standby.take()?;
            let before = inner
                .active
                .replace((standby.clone(), CancellationToken::new()));
            before
                .into_iter()
                .for_each(|(before, _)| inner.leave(before.id));
            Some(standby)
        })
    }

    /// Waits until the ticket in use is to be left for another, and gives that.
    pub async fn told_to_move(&self) -> Offer {
        self.wait_for(|inner| inner.move_to.clone()).await
    }

    /// Goes over to `offer`; the ticket that was in use is cancelled.
    pub fn moved_to(&self, offer: &Offer) {
        self.change(|inner| inner.go_over_to(offer));
    }

    /// No link could be had by `offer`: it is cancelled, and for a while no other of its provider is moved to.
    pub fn not_moved_to(&self, offer: &Offer) {
        self.change(|inner| {
            inner.stay();
            push(
                &mut inner.shunned,
                SHUNNED_MAX,
                (offer.provider, Instant::now()),
            );
        });
    }

    /// Waits for a ticket that is to be cancelled, and takes it.
    pub async fn unwanted(&self) -> TicketId {
        self.wait_for(|inner| inner.unwanted.pop_front()).await
    }

    /// Whether there is a standby.
    pub fn has_standby(&self) -> bool {
        lock(&self.inner).standby.is_some()
    }

    /// Who would provide after a failover.
    pub fn standby_provider(&self) -> Option<NodeId> {
        lock(&self.inner)
            .standby
            .as_ref()
            .map(|offer| offer.provider)
    }

    /// Cancelled when the ticket `id` is no longer good; already cancelled if it is not the active one.
    pub fn revoked(&self, id: TicketId) -> CancellationToken {
        let inner = lock(&self.inner);
        let active = inner.active.as_ref().filter(|(offer, _)| offer.id == id);
        active.map_or_else(cancelled, |(_, revoked)| revoked.clone())
    }

    /// The link by the ticket `id` is open.
    pub fn opened(&self, id: TicketId) {
        lock(&self.inner).flowing = Some(id);
    }

    /// The link by the ticket `id` is over.
    pub fn parted(&self, id: TicketId) {
        lock(&self.inner).flowing.take_if(|flowing| *flowing == id);
    }

    /// Every ticket held, for stream `slug`; not one to move to, which nobody has confirmed yet.
    pub fn tickets(&self, slug: &Slug) -> Vec<HeldTicket> {
        let inner = lock(&self.inner);
        let active = inner.active.iter().map(|(offer, _)| (offer, false));
        let all = active.chain(inner.standby.iter().map(|offer| (offer, true)));
        let held = all.map(|(offer, standby)| HeldTicket {
            id: offer.id,
            slug: slug.clone(),
            provider: offer.provider,
            standby,
            flows: inner.flowing == Some(offer.id),
        });
        held.collect()
    }

    /// Holds nothing any more; what is to be cancelled.
    pub fn clear(&self) -> Vec<TicketId> {
        let Inner {
            active,
            standby,
            move_to,
            unwanted,
            ..
        } = std::mem::take(&mut *lock(&self.inner));
        let held = active
            .map(|(offer, _)| offer)
            .into_iter()
            .chain(standby)
            .chain(move_to);
        held.map(|offer| offer.id).chain(unwanted).collect()
    }

    /// Takes what the broker says of this node's tickets.
    pub fn heed(&self, renewed: &Renewed) {
        self.change(|inner| inner.heed(renewed));
        self.replace(&renewed.replaced);
    }

    /// Goes over to other tickets.
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
        if inner.move_to.is_some() || !inner.unwanted.is_empty() {
            self.news.notify_waiters();
        }
        answer
    }

    async fn wait_for<T>(&self, find: impl Fn(&mut Inner) -> Option<T>) -> T {
        loop {
            let news = self.news.notified();
            if let Some(found) = find(&mut lock(&self.inner)) {
                return found;
            }
            news.await;
        }
    }
}

impl Inner {
    /// Uses `active` from now on, and moves from there only.
    fn leave_for(&mut self, active: Offer) {
        self.stay();
        if let Some((before, _)) = self.active.replace((active, CancellationToken::new())) {
            push(&mut self.left, LEFT_MAX, before.id);
        }
    }

    /// Uses the ticket `id` no more, of which the broker must hear.
    fn leave(&mut self, id: TicketId) {
        push(&mut self.left, LEFT_MAX, id);
        push(&mut self.untold, LEFT_MAX, id);
    }

    /// Moves nowhere.
    fn stay(&mut self) {
        if let Some(offer) = self.move_to.take() {
            self.unwant(offer.id);
        }
    }

    fn go_over_to(&mut self, offer: &Offer) {
        self.move_to = self.move_to.take().filter(|next| next.id != offer.id);
        if let Some((before, _)) = &self.active {
            self.unwant(before.id);
        }
        self.leave_for(offer.clone());
        // Whoever provides now would be no help when it fails.
        if let Some(standby) = self
            .standby
            .take_if(|standby| standby.provider == offer.provider)
        {
            self.unwant(standby.id);
        }
    }

    fn unwant(&mut self, id: TicketId) {
        push(&mut self.unwanted, UNWANTED_MAX, id);
    }

    fn heed(&mut self, renewed: &Renewed) {
        for offer in &renewed.resigned {
            if let Some((active, _)) = self
                .active
                .as_mut()
                .filter(|(active, _)| active.id == offer.id)
            {
                *active = offer.clone();
            }
            if let Some(standby) = self
                .standby
                .as_mut()
                .filter(|standby| standby.id == offer.id)
            {
                *standby = offer.clone();
            }
        }
        self.standby = self
            .standby
            .take()
            .filter(|standby| !renewed.lost.contains(&standby.id));
        if let Some((_, revoked)) = self
            .active
            .as_ref()
            .filter(|(offer, _)| renewed.lost.contains(&offer.id))
        {
            revoked.cancel();
        }
    }

    /// Takes `by` in place of `left`: of the standby at once, of the ticket in use once a link by it is made. One that
    /// comes too late, while a move is under way, or of a provider that one has failed to, is not wanted.
    fn replace(&mut self, left: TicketId, by: &Offer) {
        if self.holds(by.id) {
            return;
        }
        if self
            .standby
            .as_ref()
            .is_some_and(|standby| standby.id == left)
        {
            self.standby = Some(by.clone());
        } else if self
            .active
            .as_ref()
            .is_some_and(|(active, _)| active.id == left)
        {
            match self.move_to.is_some() || self.shuns(by.provider) {
                true => self.unwant(by.id),
                false => self.move_to = Some(by.clone()),
            }
        } else if self.left.contains(&left) {
            self.unwant(by.id);
        }
    }

    fn holds(&self, id: TicketId) -> bool {
        let active = self.active.iter().map(|(offer, _)| offer);
        active
            .chain(&self.standby)
            .chain(&self.move_to)
            .any(|offer| offer.id == id)
    }

    fn shuns(&self, provider: NodeId) -> bool {
        self.shunned
            .iter()
            .any(|(shunned, since)| *shunned == provider && since.elapsed() < SHUNNED_FOR)
    }
}

/// Appends `item` to a queue of at most `max`.
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
