//! What the broker does about one ticket: grant, confirm, switch, cancel.

mod fetched;
mod flowing;
mod grant;
mod heartbeat;
mod push;
mod repeat;
mod replace;
mod show;

use crate::keys::Keys;
use crate::ledger::{Entry, Ledger, gone};
use crate::snapshot::Snapshots;
use crate::store::{Outcome, Store};
use astral_backend::{Asked, Bus, Truce};
use astral_proto::limits::LINK_SILENCE;
use astral_proto::message::{
    CancelTicket, ConfirmTicket, Revoke, Standby, SwitchTicket, TicketChanged, event,
};
use astral_proto::ticket::Claims;
use astral_proto::{Code, NodeId, Problem, Slug, TicketId};

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
    /// Who carries what, as of a moment ago.
    pub snapshots: Arc<Snapshots>,
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
        let (provider, slug) = self.place(ask.id).await?;
        let id = ask.id;
        let subscriber = ask.subscriber;
        let now = self.store.state.now();
        let confirm = move |ledger: &mut Ledger| written(ledger.confirm(id, subscriber, now));
        self.store
            .in_ledger(provider, confirm)
            .await?
            .unwrap_or_else(|| Err(gone(id)))?;
        let ticket = TicketChanged {
            id,
            slug,
            provider,
            subscriber,
            standby: false,
        };
        self.tell(event::TICKET_CHANGED, ticket).await;
        Ok(())
    }

    /// Makes a standby the ticket in use, releases the one left behind, and finds a new standby.
    ///
    /// # Errors
    /// `not_found` if the standby has ended, `forbidden` if it is another's, `full` if its provider is far over its
    /// limit.
    pub async fn switch(self, ask: SwitchTicket, asked: Asked) -> Result<Standby, Problem> {
        let (provider, slug) = self.place(ask.active).await?;
        if slug != ask.slug {
            let detail = format!("ticket {} is for stream {:?}", ask.active, slug.as_str());
            return Err(Problem::new(Code::BadRequest, detail));
        }
        let now = self.store.state.now();
        let active = ask.active;
        let subscriber = ask.subscriber;
        let activate = move |ledger: &mut Ledger| written(ledger.activate(active, subscriber, now));
        self.store
            .in_ledger(provider, activate)
            .await?
            .unwrap_or_else(|| Err(gone(active)))?;
        let slug = ask.slug.clone();
        let ticket = TicketChanged {
            id: active,
            slug,
            provider,
            subscriber,
            standby: false,
        };
        self.tell(event::TICKET_CHANGED, ticket).await;
        let left = match ask.left {
            Some(left) => self.release(left, ask.subscriber).await?,
            None => None,
        };
        if asked.is_repeated()
            && let standby @ Some(_) = self.offered_before(asked.request, true).await?
        {
            return Ok(Standby { standby });
        }
        Ok(Standby {
            standby: self.next_standby(&ask, asked.request, provider, left).await,
        })
    }

    /// Takes a ticket out of use, for its subscriber or its provider.
    ///
    /// # Errors
    /// `not_found`; `forbidden` for anybody else.
    pub async fn cancel(self, ask: CancelTicket) -> Result<(), Problem> {
        let (provider, _) = self.place(ask.id).await?;
        self.cancel_at(provider, ask.id, ask.node).await
    }

    /// Releases the ticket that a subscriber left behind, if it is there; gives its provider.
    async fn release(&self, id: TicketId, subscriber: NodeId) -> Result<Option<NodeId>, Problem> {
        let Some((provider, _)) = self.store.place(id).await? else {
            return Ok(None);
        };
        match self.cancel_at(provider, id, subscriber).await {
            Ok(()) => Ok(Some(provider)),
            Err(problem) if problem.code == Code::NotFound => Ok(Some(provider)),
            Err(problem) => Err(problem),
        }
    }

    async fn cancel_at(&self, provider: NodeId, id: TicketId, node: NodeId) -> Result<(), Problem> {
        let now = self.store.state.now();
        let cancel = move |ledger: &mut Ledger| written(ledger.cancel(id, provider, node, now));
        let entry = self
            .store
            .in_ledger(provider, cancel)
            .await?
            .unwrap_or_else(|| Err(gone(id)))?;
        self.store.forget_place(id).await?;
        self.tell(event::TICKET_GONE, told(id, provider, &entry))
            .await;
        if node != provider && !entry.standby {
            self.revoke(provider, id);
        }
        Ok(())
    }

    /// The ledgers' generation. One not seen before begins after a wipe: until they are rebuilt, nothing missing from
    /// them is lost.
    async fn generation(&self) -> Result<u32, Problem> {
        let generation = self
            .store
            .generation(rand::random_range(1..=u32::MAX))
            .await?;
        if self.generation.swap(generation, Ordering::Relaxed) != generation {
            self.truce.renew();
        }
        Ok(generation)
    }

    /// Tells a provider that a ticket is no longer good. It may be dead; then there is no link to close.
    fn revoke(&self, provider: NodeId, id: TicketId) {
        let bus = self.bus.clone();
        self.tasks.spawn(async move {
            if let Err(error) = bus.request_node(provider, &Revoke { id }, LINK_SILENCE).await {
                tracing::debug!(provider.id = %provider, ticket.id = %id, %error, "a revocation did not arrive");
            }
        });
    }

    /// Tells of a ticket. Nobody waits for it: who must know asks.
    async fn tell(&self, news: &str, ticket: TicketChanged) {
        if let Err(error) = self.bus.publish(news, &ticket).await {
            tracing::debug!(ticket.id = %ticket.id, %error, "a change was not told");
        }
    }

    async fn place(&self, id: TicketId) -> Result<(NodeId, Slug), Problem> {
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

/// What is told of a ticket in `provider`'s ledger.
fn told(id: TicketId, provider: NodeId, entry: &Entry) -> TicketChanged {
    let Entry {
        slug,
        subscriber,
        standby,
        ..
    } = entry;
    TicketChanged {
        id,
        slug: slug.clone(),
        provider,
        subscriber: *subscriber,
        standby: *standby,
    }
}

/// A rule that changes a ledger unless it fails.
fn written<R>(result: Result<R, Problem>) -> Outcome<Result<R, Problem>> {
    match result {
        Ok(answer) => Outcome::Changed(Ok(answer)),
        Err(problem) => Outcome::Same(Err(problem)),
    }
}
