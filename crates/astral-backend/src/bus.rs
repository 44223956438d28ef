//! The message bus: events to whoever listens, requests to one member of a service.
//!
//! Delivery is at most once: what nobody takes now is gone.

mod ask;
mod desk;
mod faults;
mod local;
mod meter;
mod nats;
mod replica;
mod roll_call;
mod roster;
mod sequence;
mod serve;
mod subject;
mod wire;

use crate::injection::{FaultInjector, Process};
use crate::observe::{self, Call};
use crate::watch::Presence;
use ask::Asking;
use astral_proto::message::{NodeRequest, Request, node_subject};
use astral_proto::{Code, NodeId, Problem};
use astral_runtime::TaskScope;
use bytes::Bytes;
use desk::{Desk, Desks};
pub use faults::BusFaults;
pub(crate) use faults::happens;
pub(crate) use nats::Servers;
pub use replica::{Asked, NotAsked};
use replica::{Replica, own_subject, service_and_verb};
use roster::Roster;
use sequence::{Follower, Publisher};
use serde::{Serialize, de::DeserializeOwned};
use serve::Counter;
use std::{future::Future, marker::PhantomData, sync::Arc, time::Duration};
use wire::{Answer, Expected, Inbox, NotAnswered};

/// Messages that wait for one subscriber or server; further ones are lost to it.
const QUEUE_MESSAGES_MAX: usize = 4096;

/// A handle on the bus, cheap to clone.
#[derive(Clone)]
pub struct Bus(Arc<Shared>);

/// What all handles of one process share.
struct Shared {
    transport: Transport,
    publisher: Publisher,
    /// This process, as a replica of what it serves.
    replica: Replica,
    desks: Desks,
    /// The replicas of what it asks.
    roster: Roster,
}

#[derive(Clone)]
enum Transport {
    Local(local::Port),
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

    /// What will be said on one request.
    fn expect(&self) -> Expected {
        match self {
            Transport::Local(port) => Expected::Local(port.expect()),
            Transport::Nats(link) => Expected::Nats(link.expect()),
        }
    }

    /// Sends a request whose answer is expected; why there is no bus if it cannot.
    async fn request(
        &self,
        subject: &str,
        payload: Bytes,
        asked: Option<Asked>,
        expected: &Expected,
    ) -> Result<(), String> {
        match (self, expected) {
            (Transport::Local(port), Expected::Local(expected)) => {
                port.request(subject, payload, asked, expected);
                Ok(())
            }
            (Transport::Nats(link), Expected::Nats(expected)) => {
                link.request(subject, payload, asked, expected).await
            }
            _ => Err("what is expected is of another bus".into()),
        }
    }
}

impl Bus {
    /// A fresh bus within this process.
    pub(crate) fn local() -> Self {
        Self::over(Transport::Local(local::Port::default()))
    }

    /// A fresh bus within this process that fails as `injector` decides. Runs on a tokio runtime.
    pub(crate) fn with_faults(injector: &FaultInjector) -> Self {
        Self::over(Transport::Local(local::Port::with_faults(injector.clone())))
    }

    /// The bus at `servers`, whether or not they are there yet.
    pub(crate) async fn nats(servers: Servers) -> Result<Self, Problem> {
        Ok(Self::over(Transport::Nats(Arc::new(
            nats::Link::open(servers).await?,
        ))))
    }

    /// The same bus as another process sees it: another replica of what it serves, with its own view of others.
    ///
    /// # Errors
    /// `internal` if the client cannot be set up.
    pub async fn as_another_process(&self) -> Result<Self, Problem> {
        match &self.0.transport {
            Transport::Local(port) => Ok(Self::over(Transport::Local(port.of_another_process()))),
            Transport::Nats(link) => Self::nats(link.servers()).await,
        }
    }

    /// Which process this is, among those that share a bus within this program; the first one on NATS.
    pub(crate) fn process(&self) -> Process {
        match &self.0.transport {
            Transport::Local(port) => port.process(),
            Transport::Nats(_) => Process::default(),
        }
    }

    fn over(transport: Transport) -> Self {
        let publisher = Publisher::default();
        let replica = Replica::here();
        let desks = Desks::default();
        let roster = Roster::default();
        Self(Arc::new(Shared {
            transport,
            publisher,
            replica,
            desks,
            roster,
        }))
    }

    /// Whether messages get through now, as far as this process knows; what hangs up without a word is noticed
    /// within 4 s. Always so within one process, unless a fault cuts it off.
    pub fn is_connected(&self) -> bool {
        match &self.0.transport {
            Transport::Local(port) => port.is_connected(),
            Transport::Nats(link) => link.is_connected(),
        }
    }

    /// As [`Bus::is_connected`], with the reason if not.
    pub(crate) fn presence(&self) -> Presence {
        match &self.0.transport {
            Transport::Local(_) => Ok(()),
            Transport::Nats(link) if link.is_connected() => Ok(()),
            Transport::Nats(link) => Err(link.why_away()),
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
        let stamp = self.0.publisher.stamp(subject);
        match &self.0.transport {
            Transport::Local(port) => port.publish(subject, payload, stamp),
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
        Ok(Subscription {
            inbox,
            follower,
            malformed: 0,
            event: PhantomData,
        })
    }

    /// Asks the service that serves `R` and waits for its answer. A replica that says nothing within a fraction of
    /// `within`, and at most 300 ms, has the request asked of another; so it may be handled twice, and what is not the
    /// same when done twice is for [`Bus::serve_repeatable`].
    ///
    /// # Errors
    /// The service's own problem; `control_plane_away` if no one serves it or the bus is away; `timeout` if no answer
    /// came `within`; `bad_request` if the request is over the limit of the bus.
    pub async fn request<R: Request>(
        &self,
        request: &R,
        within: Duration,
    ) -> Result<R::Reply, Problem> {
        let payload = wire::encode(R::SUBJECT, request)?;
        let asking = Asking::new(&self.0, R::SUBJECT, payload, within);
        self.ask(
            R::SUBJECT,
            within,
            Code::ControlPlaneAway,
            asking.any_replica(),
        )
        .await
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
        let subject = node_subject::<R>(node);
        let payload = wire::encode(&subject, request)?;
        let asking = Asking::new(&self.0, &subject, payload, within);
        self.ask(&subject, within, Code::Unavailable, asking.once())
            .await
    }

    /// Answers requests of type `R` with `handler` until `context` stops; members of `group` share them, and each is also
    /// asked alone where another is silent. Requests sent after this returns are served, many at once; malformed ones get
    /// `bad_request`, and those whose caller has given up are left out. While the bus is away, it serves once it is back.
    ///
    /// # Errors
    /// `bad_request` if the subject of `R` is malformed.
    pub async fn serve<R, F, Fut>(
        &self,
        group: &str,
        context: &TaskScope,
        handler: F,
    ) -> Result<(), Problem>
    where
        R: Request,
        F: Fn(R) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R::Reply, Problem>> + Send + 'static,
    {
        self.serve_repeatable(group, context, move |request, _| handler(request))
            .await
    }

    /// As [`Bus::serve`], for a handler that is told which request it is and whether another replica may have handled it.
    ///
    /// # Errors
    /// `bad_request` if the subject of `R` is malformed.
    pub async fn serve_repeatable<R, F, Fut>(
        &self,
        group: &str,
        context: &TaskScope,
        handler: F,
    ) -> Result<(), Problem>
    where
        R: Request,
        F: Fn(R, Asked) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R::Reply, Problem>> + Send + 'static,
    {
        subject::check(R::SUBJECT)?;
        let (service, verb) = service_and_verb(R::SUBJECT).unwrap_or((group, R::SUBJECT));
        let desk = self.open_desk(service, context).await?;
        let replica = self.0.replica.clone();
        let own = self
            .inbox(&own_subject(service, replica.id, verb), Some(group))
            .await?;
        let shared = self.inbox(R::SUBJECT, Some(group)).await?;
        let counter = Counter {
            subject: R::SUBJECT.into(),
            replica: Some(replica),
            desk,
            handler,
        };
        let meter = serve::spawn([shared, own], context, counter);
        if let Transport::Nats(link) = &self.0.transport {
            link.announce(group, R::SUBJECT, meter, context).await?;
        }
        Ok(())
    }

    /// Has this process answer whether it is there, as a replica of `service`.
    async fn open_desk(&self, service: &str, context: &TaskScope) -> Result<Arc<Desk>, Problem> {
        let (desk, is_new) = self.0.desks.of(service);
        if !is_new {
            return Ok(desk);
        }
        let replica = self.0.replica.clone();
        for subject in [
            replica::roll_call(service),
            replica::ping(service, replica.id),
        ] {
            let asked = self.inbox(&subject, None).await?;
            let answering =
                desk::answer(asked, Arc::clone(&desk), replica.clone(), context.clone());
            let shared = Arc::downgrade(&self.0);
            let service = service.to_owned();
            context.tasks.spawn(async move {
                answering.await;
                shared
                    .upgrade()
                    .inspect(|shared| shared.desks.close(&service));
            });
        }
        tracing::info!(service, replica = %replica.id, place = replica.place, "serving requests as a replica");
        Ok(desk)
    }

    /// Answers requests of type `R` to `node` with `handler` until `context` stops.
    ///
    /// # Errors
    /// `bad_request` if the verb of `R` is malformed.
    pub async fn serve_node<R, F, Fut>(
        &self,
        node: NodeId,
        context: &TaskScope,
        handler: F,
    ) -> Result<(), Problem>
    where
        R: NodeRequest,
        F: Fn(R) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R::Reply, Problem>> + Send + 'static,
    {
        let subject = node_subject::<R>(node);
        subject::check(&subject)?;
        let inbox = self.inbox(&subject, Some("node")).await?;
        let handler = move |request, _| handler(request);
        let counter = Counter {
            subject: subject.into(),
            replica: None,
            desk: Arc::default(),
            handler,
        };
        serve::spawn([inbox], context, counter);
        Ok(())
    }

    async fn ask<A: DeserializeOwned>(
        &self,
        subject: &str,
        within: Duration,
        away: Code,
        asking: impl Future<Output = Result<Answer, NotAnswered>>,
    ) -> Result<A, Problem> {
        let exchange = async {
            subject::check(subject)?;
            let answer = asking
                .await
                .map_err(|missed| not_answered(missed, subject, within, away))?;
            answer.decode(subject)
        };
        Call::asked(self.0.transport.system(), subject)
            .run(exchange)
            .await
    }

    async fn inbox(&self, subject: &str, group: Option<&str>) -> Result<Inbox, Problem> {
        match &self.0.transport {
            Transport::Local(port) => Ok(Inbox::Local(port.subscribe(
                subject,
                group,
                QUEUE_MESSAGES_MAX,
            ))),
            Transport::Nats(link) => Ok(Inbox::Nats(
                link.subscribe(subject, group, QUEUE_MESSAGES_MAX).await?,
            )),
        }
    }
}

fn not_answered(missed: NotAnswered, subject: &str, within: Duration, away: Code) -> Problem {
    match missed {
        NotAnswered::NoResponders => Problem::new(away, format!("no one serves {subject}")),
        NotAnswered::Away(why) => Problem::new(Code::ControlPlaneAway, format!("{subject}: {why}")),
        NotAnswered::TimedOut => {
            let detail = format!("no answer to {subject} within {} ms", within.as_millis());
            Problem::new(Code::Timeout, detail)
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
