//! The broker, and the steps through which a ticket request passes.

use crate::error::Error;
use crate::gather::{Candidates, check_size, gather, gather_again};
use crate::judge::{Decision, judge};
use crate::keys::Keys;
use crate::record::record;
use crate::repeat::granted_before;
use crate::reserve::reserve;
use crate::snapshot::Snapshots;
use crate::store::Store;
use crate::tickets::release_former_tickets;
use astral_backend::{Asked, Bus, Truce};
use astral_env::Env;
use astral_proto::limits::LINK_SILENCE;
use astral_proto::message::{Offer, RequestTicket, Revoke, TicketChanged, Tickets};
use astral_proto::{NodeId, Slug, TicketId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::join;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// What all requests to the broker share. Cheap to clone.
#[derive(Clone)]
pub struct Broker {
    /// Its source of randomness.
    pub env: Env,
    /// The entries of the broker in the shared state.
    pub store: Store,
    /// The message bus.
    pub bus: Bus,
    /// Which relays carry each stream, as of at most 200 ms ago.
    pub snapshots: Snapshots,
    /// The keys that sign tickets.
    pub keys: Arc<Keys>,
    /// While it holds, no ticket ends because a heartbeat is missing: this broker may have missed
    /// it.
    pub truce: Arc<Truce>,
    /// The generation of the ledgers as this broker last saw it. 0 at first.
    pub generation: Arc<AtomicU32>,
    /// One permit for each request that waits for a supernode to fetch a stream.
    pub fetches: Arc<Semaphore>,
    /// Tasks in the background. No request waits for them.
    pub tasks: TaskTracker,
}

impl Broker {
    /// Grants a ticket, and a standby if there is one. A request passes through four steps, each in
    /// a file of its own:
    ///
    /// 1. [`gather`](crate::gather) collects the relays that may provide: [`Candidates`].
    /// 2. [`judge`](crate::judge) ranks them by pure rules: [`Decision`].
    /// 3. [`reserve`](crate::reserve) draws providers until the ledger of one takes the ticket:
    ///    [`Reservation`](crate::reserve::Reservation).
    /// 4. [`record`](crate::record) makes the ticket known and signs it: [`Offer`].
    ///
    /// # Errors
    /// [`Error::TooMany`]; those of [`gather`] and [`reserve`].
    pub async fn request(self, ask: RequestTicket, asked: Asked) -> Result<Tickets, Error> {
        check_size(&ask)?;
        // Another replica may have granted this request before it fell silent.
        if asked.is_repeated()
            && let Some(tickets) = granted_before(&self, asked.request).await?
        {
            return Ok(tickets);
        }
        release_former_tickets(&self, &ask).await?;
        let candidates = gather(&self, ask, asked.request).await?;
        match self.grant(&candidates).await {
            // The snapshot may be out of date: relays may have joined or become free since it was
            // read.
            Err(Error::NoProvider { .. } | Error::ProvidersFull { .. }) => {
                let candidates = gather_again(&self, candidates).await?;
                self.grant(&candidates).await
            }
            granted => granted,
        }
    }

    async fn grant(&self, candidates: &Candidates) -> Result<Tickets, Error> {
        let decision = judge(candidates);
        let active = reserve(self, &decision).await?;
        let for_standby = decision.for_standby(active.provider);
        // These two are independent, so they run at the same time.
        let (active, standby) = join!(record(self, active), self.offer(&for_standby));
        Ok(Tickets {
            active: active?,
            standby: standby.ok(),
        })
    }

    /// The last two steps: reserves a ticket of one of the best providers in `decision`, and
    /// records it.
    ///
    /// # Errors
    /// Those of [`reserve`] and [`record`].
    pub async fn offer(&self, decision: &Decision<'_>) -> Result<Offer, Error> {
        let reservation = reserve(self, decision).await?;
        record(self, reservation).await
    }

    /// The provider and the stream of a ticket.
    ///
    /// # Errors
    /// [`Error::NoTicket`]; those of the state.
    pub async fn locate(&self, id: TicketId) -> Result<(NodeId, Slug), Error> {
        let location = self.store.locations.find(id).await?;
        location.ok_or(Error::NoTicket(id))
    }

    /// The generation of the ledgers. A new one means that the state was lost: until the ledgers
    /// are restored, a ticket that is missing from them may be valid, so the truce begins again.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn generation(&self) -> Result<u32, Error> {
        let generation = self.store.generation(self.env.nonzero()).await?;
        if self.generation.swap(generation, Ordering::Relaxed) != generation {
            self.truce.renew();
        }
        Ok(generation)
    }

    /// Tells a provider that a ticket is no longer valid, in the background. A failure is only
    /// logged: if the provider is dead, there is no link to close.
    pub fn revoke(&self, provider: NodeId, id: TicketId) {
        let bus = self.bus.clone();
        self.tasks.spawn(async move {
            if let Err(error) = bus
                .request_node(provider, &Revoke { id }, LINK_SILENCE)
                .await
            {
                tracing::debug!(
                    provider.id = %provider,
                    ticket.id = %id,
                    %error,
                    "revocation not delivered"
                );
            }
        });
    }

    /// Publishes an event about a ticket. A failure is only logged, because nothing depends on
    /// these events.
    pub async fn publish(&self, subject: &str, ticket: &TicketChanged) {
        if let Err(error) = self.bus.publish(subject, ticket).await {
            tracing::debug!(ticket.id = %ticket.id, %error, "ticket event not published");
        }
    }
}
