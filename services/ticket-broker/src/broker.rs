//! What the broker does about one ticket: grant, confirm, switch, cancel.

mod grant;
mod heartbeat;
mod replace;
mod show;

use crate::keys::Keys;
use crate::ledger::{Entry, gone};
use crate::store::{Place, Store};
use astral_backend::{Bus, Truce, unix_millis};
use astral_proto::limits::LINK_SILENCE;
use astral_proto::message::{
    CancelTicket, ConfirmTicket, Revoke, Standby, SwitchTicket, TicketChanged, event,
};
use astral_proto::ticket::Claims;
use astral_proto::{Code, NodeId, Problem, TicketId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// The broker, cheap to clone.
#[derive(Clone)]
pub struct Broker {
    /// What it keeps.
    pub store: Store,
    /// How it reaches others.
    pub bus: Bus,
    /// What it signs with.
    pub keys: Arc<Keys>,
    /// While it holds, silence is not death.
    pub truce: Arc<Truce>,
    /// The ledgers' generation as last seen, 0 before.
    pub generation: Arc<AtomicU32>,
    /// Requests that may wait for a supernode to fetch; each such fetch needs a request of its own answered.
    pub fetches: Arc<Semaphore>,
    /// Where messages that nobody waits for are sent.
    pub tasks: TaskTracker,
}

impl Broker {
    /// Notes that the link by a ticket is open.
    ///
    /// # Errors
    /// `not_found` if it has ended, `forbidden` if it is another's.
    pub async fn confirm(self, ask: ConfirmTicket) -> Result<(), Problem> {
        let place = self.place(ask.id).await?;
        let now = unix_millis();
        let confirmed = self
            .store
            .in_ledger(place.provider, |ledger| ledger.confirm(ask.id, ask.subscriber, now))
            .await?;
        confirmed.unwrap_or_else(|| Err(gone(ask.id)))?;
        self.tell(event::TICKET_CHANGED, told(ask.id, &place, ask.subscriber, false)).await;
        Ok(())
    }

    /// Makes a standby the ticket in use, releases the one left behind, and finds a new standby.
    ///
    /// # Errors
    /// `not_found` if the standby has ended, `forbidden` if it is another's, `full` if its provider is far over its
    /// limit.
    pub async fn switch(self, ask: SwitchTicket) -> Result<Standby, Problem> {
        let place = self.place(ask.active).await?;
        if place.slug != ask.slug {
            let detail = format!("ticket {} is for stream {:?}", ask.active, place.slug.as_str());
            return Err(Problem::new(Code::BadRequest, detail));
        }
        let now = unix_millis();
        let used =
            self.store.in_ledger(place.provider, |ledger| ledger.put_to_use(ask.active, ask.subscriber, now));
        used.await?.unwrap_or_else(|| Err(gone(ask.active)))?;
        self.tell(event::TICKET_CHANGED, told(ask.active, &place, ask.subscriber, false)).await;
        let left = match ask.left {
            Some(left) => self.release(left, ask.subscriber).await?,
            None => None,
        };
        Ok(Standby { standby: self.next_standby(&ask, place.provider, left).await })
    }

    /// Takes a ticket out of use, for its subscriber or its provider.
    ///
    /// # Errors
    /// `not_found`; `forbidden` for anybody else.
    pub async fn cancel(self, ask: CancelTicket) -> Result<(), Problem> {
        let place = self.place(ask.id).await?;
        self.cancel_at(&place, ask.id, ask.node).await
    }

    /// Releases the ticket that a subscriber left behind, if it is there; gives its provider.
    async fn release(&self, id: TicketId, subscriber: NodeId) -> Result<Option<NodeId>, Problem> {
        let Some(place) = self.store.place(id).await? else { return Ok(None) };
        match self.cancel_at(&place, id, subscriber).await {
            Ok(()) => Ok(Some(place.provider)),
            Err(problem) if problem.code == Code::NotFound => Ok(Some(place.provider)),
            Err(problem) => Err(problem),
        }
    }

    async fn cancel_at(&self, place: &Place, id: TicketId, node: NodeId) -> Result<(), Problem> {
        let (provider, now) = (place.provider, unix_millis());
        let cancelled =
            self.store.in_ledger(provider, |ledger| ledger.cancel(id, provider, node, now)).await?;
        let entry = cancelled.unwrap_or_else(|| Err(gone(id)))?;
        self.store.forget_place(id).await?;
        self.tell(event::TICKET_GONE, told(id, place, entry.subscriber, entry.standby)).await;
        if node != provider && !entry.standby {
            self.revoke(provider, id);
        }
        Ok(())
    }

    /// The ledgers' generation. One not seen before begins after a wipe: until they are rebuilt, nothing missing from
    /// them is lost.
    async fn generation(&self) -> Result<u32, Problem> {
        let generation = self.store.generation(rand::random_range(1..=u32::MAX)).await?;
        if self.generation.swap(generation, Ordering::Relaxed) != generation {
            self.truce.renew(unix_millis());
        }
        Ok(generation)
    }

    /// Tells a provider that a ticket is no longer good. It may be dead; then there is no link to close.
    fn revoke(&self, provider: NodeId, id: TicketId) {
        let bus = self.bus.clone();
        self.tasks.spawn(async move {
            if let Err(error) = bus.request_node(provider, &Revoke { id }, LINK_SILENCE).await {
                tracing::debug!(node.id = %provider, ticket.id = %id, %error, "a revocation did not arrive");
            }
        });
    }

    /// Tells of a ticket. Nobody waits for it: who must know asks.
    async fn tell(&self, news: &str, ticket: TicketChanged) {
        if let Err(error) = self.bus.publish(news, &ticket).await {
            tracing::debug!(ticket.id = %ticket.id, %error, "a change was not told");
        }
    }

    async fn place(&self, id: TicketId) -> Result<Place, Problem> {
        self.store.place(id).await?.ok_or_else(|| gone(id))
    }

    /// What a ticket in `provider`'s ledger is signed for.
    fn claims(id: TicketId, provider: NodeId, entry: &Entry) -> Claims {
        Claims {
            id,
            slug: entry.slug.clone(),
            provider,
            subscriber: entry.subscriber,
            standby: entry.standby,
            kbps: entry.kbps,
            expires_at: entry.valid_until / 1_000,
        }
    }
}

fn told(id: TicketId, place: &Place, subscriber: NodeId, standby: bool) -> TicketChanged {
    TicketChanged { id, slug: place.slug.clone(), provider: place.provider, subscriber, standby }
}
