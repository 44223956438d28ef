//! The message bus: events to whoever listens, requests to one member of a service.
//!
//! Delivery is at most once: what nobody takes now is gone.

mod faults;
mod local;
mod meter;
mod nats;
mod sequence;
mod serve;
mod subject;
mod wire;

use crate::observe::{self, Call};
use astral_proto::message::{NodeRequest, Request, node_subject};
use astral_proto::{Code, NodeId, Problem};
pub use faults::Faults;
pub(crate) use nats::Servers;
use sequence::{Follower, Publisher};
use serde::{Serialize, de::DeserializeOwned};
use std::{future::Future, marker::PhantomData, sync::Arc, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wire::{Inbox, NotAnswered};

/// Messages that wait for one subscriber or server; further ones are lost to it.
const QUEUE_MESSAGES_MAX: usize = 4096;

/// A handle on the bus, cheap to clone.
#[derive(Clone)]
pub struct Bus {
    transport: Transport,
    publisher: Arc<Publisher>,
}

#[derive(Clone)]
enum Transport {
    Local(Arc<local::Hub>),
    Nats(Arc<nats::Link>),
}

impl Transport {
    /// By the name that traces know it under.
    fn system(&self) -> &'static str {
        match self {
            Transport::Local(_) => "local",
            Transport::Nats(_) => "nats",
        }
    }
}

/// For how long requests are served, and where the tasks that do it are tracked.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Once cancelled, no further request is taken; those already here are answered.
    pub stopping: CancellationToken,
    /// Holds a task for each service, and one for each request being handled.
    pub tasks: TaskTracker,
}

impl Bus {
    /// A fresh bus within this process.
    pub(crate) fn local() -> Self {
        Self::over(Transport::Local(Arc::default()))
    }

    /// A fresh bus within this process that fails as `faults` says, for simulations. Runs on a tokio runtime.
    pub fn local_with_faults(faults: Faults) -> Self {
        Self::over(Transport::Local(Arc::new(local::Hub::with_faults(faults))))
    }

    /// The bus at `servers`, whether or not they are there yet.
    pub(crate) async fn nats(servers: Servers) -> Result<Self, Problem> {
        Ok(Self::over(Transport::Nats(Arc::new(nats::Link::open(servers).await?))))
    }

    fn over(transport: Transport) -> Self {
        Self { transport, publisher: Arc::default() }
    }

    /// Whether messages get through now, as far as this process knows; what hangs up without a word is noticed
    /// within 4 s. Always so within one process.
    pub fn is_connected(&self) -> bool {
        match &self.transport {
            Transport::Local(_) => true,
            Transport::Nats(link) => link.is_connected(),
        }
    }

    /// Sends `event` to every plain subscriber of `subject` and to one member of each group, at most once, with the
    /// stamp by which they notice what does not arrive. Never waits for any of them.
    ///
    /// # Errors
    /// `bad_request` if the subject is malformed or the event is over the limit of the bus; `control_plane_away` if
    /// the bus is.
    pub async fn publish<T: Serialize>(&self, subject: &str, event: &T) -> Result<(), Problem> {
        subject::check(subject)?;
        let payload = wire::encode(subject, event)?;
        let stamp = self.publisher.stamp(subject);
        match &self.transport {
            Transport::Local(hub) => hub.publish(subject, payload, stamp),
            Transport::Nats(link) => link.publish(subject, payload, stamp).await?,
        }
        observe::published(subject);
        Ok(())
    }

    /// Takes events from `subject`, in which `*` stands for one part and a last `>` for one or more.
    /// With a `group`, each event goes to one of its members only. What is published after this returns arrives; while
    /// the bus is away, what is published once it is back.
    ///
    /// # Errors
    /// `bad_request` if the subject is malformed.
    pub async fn subscribe<T: DeserializeOwned>(
        &self,
        subject: &str,
        group: Option<&str>,
    ) -> Result<Subscription<T>, Problem> {
        subject::check_pattern(subject)?;
        let inbox = self.inbox(subject, group).await?;
        // What other members of a group get is not missed.
        let follower = group.is_none().then(Follower::default);
        Ok(Subscription { inbox, follower, malformed: 0, event: PhantomData })
    }

    /// Asks the service that serves `R` and waits for its answer.
    ///
    /// # Errors
    /// The service's own problem; `control_plane_away` if no one serves it or the bus is away; `timeout` if no answer
    /// came `within`; `bad_request` if the request is over the limit of the bus.
    pub async fn request<R: Request>(&self, request: &R, within: Duration) -> Result<R::Reply, Problem> {
        self.ask(R::SUBJECT, request, within, Code::ControlPlaneAway).await
    }

    /// Asks one node and waits for its answer.
    ///
    /// # Errors
    /// As [`Bus::request`], but `unavailable` if the node is not on the bus while the bus is there.
    pub async fn request_node<R: NodeRequest>(
        &self,
        node: NodeId,
        request: &R,
        within: Duration,
    ) -> Result<R::Reply, Problem> {
        self.ask(&node_subject::<R>(node), request, within, Code::Unavailable).await
    }

    /// Answers requests of type `R` with `handler` until `context` stops; members of `group` share them.
    /// Requests sent after this returns are served, many at once; malformed ones get `bad_request`. While the bus is
    /// away, it serves once it is back.
    ///
    /// # Errors
    /// `bad_request` if the subject of `R` is malformed.
    pub async fn serve<R, F, Fut>(&self, group: &str, context: &Serving, handler: F) -> Result<(), Problem>
    where
        R: Request,
        F: Fn(R) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R::Reply, Problem>> + Send + 'static,
    {
        subject::check(R::SUBJECT)?;
        let meter = serve::spawn(self.inbox(R::SUBJECT, Some(group)).await?, context, handler);
        if let Transport::Nats(link) = &self.transport {
            link.announce(group, R::SUBJECT, meter, context).await?;
        }
        Ok(())
    }

    /// Answers requests of type `R` to `node` with `handler` until `context` stops.
    ///
    /// # Errors
    /// `bad_request` if the verb of `R` is malformed.
    pub async fn serve_node<R, F, Fut>(
        &self,
        node: NodeId,
        context: &Serving,
        handler: F,
    ) -> Result<(), Problem>
    where
        R: NodeRequest,
        F: Fn(R) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R::Reply, Problem>> + Send + 'static,
    {
        let subject = node_subject::<R>(node);
        subject::check(&subject)?;
        serve::spawn(self.inbox(&subject, Some("node")).await?, context, handler);
        Ok(())
    }

    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        subject: &str,
        request: &Q,
        within: Duration,
        away: Code,
    ) -> Result<A, Problem> {
        let asking = self.exchange(subject, request, within, away);
        Call::asked(self.transport.system(), subject).run(asking).await
    }

    async fn exchange<Q: Serialize, A: DeserializeOwned>(
        &self,
        subject: &str,
        request: &Q,
        within: Duration,
        away: Code,
    ) -> Result<A, Problem> {
        subject::check(subject)?;
        let payload = wire::encode(subject, request)?;
        let answer = match &self.transport {
            Transport::Local(hub) => hub.request(subject, payload, within).await,
            Transport::Nats(link) => link.request(subject, payload, within).await,
        };
        let answer = answer.map_err(|missed| match missed {
            NotAnswered::NoResponders => Problem::new(away, format!("no one serves {subject}")),
            NotAnswered::Away(why) => Problem::new(Code::ControlPlaneAway, format!("{subject}: {why}")),
            NotAnswered::TimedOut => {
                let detail = format!("no answer to {subject} within {} ms", within.as_millis());
                Problem::new(Code::Timeout, detail)
            }
        })?;
        answer.decode(subject)
    }

    async fn inbox(&self, subject: &str, group: Option<&str>) -> Result<Inbox, Problem> {
        match &self.transport {
            Transport::Local(hub) => Ok(Inbox::Local(hub.subscribe(subject, group, QUEUE_MESSAGES_MAX))),
            Transport::Nats(link) => {
                Ok(Inbox::Nats(link.subscribe(subject, group, QUEUE_MESSAGES_MAX).await?))
            }
        }
    }
}

/// Events of one subject, in the order they were published. Unsubscribes when dropped.
pub struct Subscription<T> {
    inbox: Inbox,
    follower: Option<Follower>,
    malformed: u64,
    event: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Subscription<T> {
    /// The next event; none once the bus is gone. Malformed events are skipped, logged and counted.
    pub async fn next(&mut self) -> Option<T> {
        loop {
            let message = self.inbox.next().await?;
            if let (Some(follower), Some(stamp)) = (&mut self.follower, message.stamp) {
                follower.take(&message.subject, stamp);
            }
            match serde_json::from_slice(&message.payload) {
                Ok(event) => return Some(event),
                Err(error) => self.skip(&message.subject, &error),
            }
        }
    }

    /// Events lost: those for which this subscriber's queue had no room at once; without a group, those that were lost
    /// elsewhere as soon as a later one of the same publisher and subject shows it.
    pub fn lost(&self) -> u64 {
        let missed = self.follower.as_ref().map_or(0, Follower::missed);
        // What the queue had no room for shows in later ones too.
        self.inbox.lost().max(missed)
    }

    /// Events skipped because they could not be read as `T`.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    fn skip(&mut self, subject: &str, error: &serde_json::Error) {
        self.malformed += 1;
        if self.malformed.is_power_of_two() {
            tracing::warn!(subject, %error, malformed = self.malformed, "a malformed event was skipped");
        }
    }
}
