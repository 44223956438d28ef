//! The bus on NATS: core messages only, nothing is stored.
//!
//! While cut off, what is sent fails at once instead of waiting in a buffer to arrive late.

mod discovery;
mod events;
mod inbox;
mod replies;
mod standstill;
mod url;

use super::replica::{Asked, Replica};
use super::wire::Answer;
use crate::observe::{Outside, TraceContext, is_connected};
use astral_proto::message::event::Stamp;
use astral_proto::{Code, Problem};
use async_nats::{Client, ConnectOptions, HeaderMap, Subject, Subscriber, connection::State};
use bytes::Bytes;
use futures_util::StreamExt;
pub(super) use inbox::Inbox;
pub(super) use replies::Expected;
use replies::Replies;
use standstill::Standstill;
use std::sync::{Arc, Weak};
use std::{fmt::Display, future::Future, time::Duration};
use tokio::time::timeout;
pub(crate) use url::Servers;

/// The header in which the code of a problem travels; its payload is the problem.
const CODE: &str = "Astral-Code";
/// The header in which a request says what it is.
const ASKED: &str = "Astral-Request";
/// The header by which a replica names itself.
const REPLICA: &str = "Astral-Replica";
/// The header of a message that is no answer yet: its sender is at work on it.
const WORKING: &str = "Astral-Working";
/// The header in which the stamp of an event travels.
const STAMP: &str = "Astral-Event";
/// How long opening waits for the first connection; without one it goes on, and connects later.
const FIRST_CONNECTION_WAIT: Duration = Duration::from_secs(1);
/// How long one server may take to let this process in.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two pings; a server that leaves two unanswered is left at the third.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// Longest pause between two tries to connect.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Messages between this process's tasks and its connection.
const OUTGOING_MAX: usize = 1024;
/// How long a message may wait for room among them.
const OUTGOING_WAIT: Duration = Duration::from_millis(250);
/// How long the server may take to confirm a subscription.
const ROUND_TRIP_WAIT: Duration = Duration::from_secs(1);
/// How often it is told whether there is a connection.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// One connection to NATS, kept up.
pub(super) struct Link {
    client: Client,
    replies: Arc<Replies>,
    services: discovery::Services,
    standstill: Arc<Standstill>,
    servers: Servers,
    log: Arc<events::Log>,
}

impl Link {
    /// Connects in the background, again and again; returns once connected, or after a second without.
    ///
    /// # Errors
    /// `internal` if the client cannot be set up at all.
    pub(super) async fn open(servers: Servers) -> Result<Self, Problem> {
        let replies = Arc::new(Replies::new());
        let log = Arc::new(events::Log::new(Arc::clone(&replies), &servers));
        let options = options(&servers, &log);
        let unusable = |error: &dyn std::error::Error| {
            Problem::new(Code::Internal, format!("the bus: {error}"))
        };
        let client = options
            .connect(servers.addresses.clone())
            .await
            .map_err(|error| unusable(&error))?;
        let answers = client
            .subscribe(replies.pattern())
            .await
            .map_err(|error| unusable(&error))?;
        tokio::spawn(take_in(answers, Arc::downgrade(&replies)));
        tokio::spawn(tell(client.clone(), Arc::downgrade(&replies)));
        let standstill = Arc::<Standstill>::default();
        tokio::spawn(standstill::watch(
            client.clone(),
            Arc::downgrade(&replies),
            Arc::clone(&standstill),
        ));
        // Without a connection it goes on: what is wrong is in the log.
        drop(timeout(FIRST_CONNECTION_WAIT, client.flush()).await);
        Ok(Self {
            client,
            replies,
            services: discovery::Services::default(),
            standstill,
            servers,
            log,
        })
    }

    /// The servers that it connects to.
    pub(super) fn servers(&self) -> Servers {
        self.servers.clone()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Why there is no connection now.
    pub(super) fn why_away(&self) -> String {
        self.log.why_away()
    }

    pub(super) async fn publish(
        &self,
        subject: &str,
        payload: Bytes,
        stamp: Option<Stamp>,
    ) -> Result<(), Problem> {
        let mut headers = headers();
        if let Some(stamp) = stamp {
            headers.insert(STAMP, stamp.to_string());
        }
        let publishing = self
            .client
            .publish_with_headers(subject.to_owned(), headers, payload);
        let sent = self.send(publishing).await;
        sent.map_err(|why| Problem::new(Code::ControlPlaneAway, format!("{subject}: {why}")))
    }

    /// What will be said on one request.
    pub(super) fn expect(&self) -> Expected {
        self.replies.expect()
    }

    /// Sends a request; why there is no bus if it cannot.
    pub(super) async fn request(
        &self,
        subject: &str,
        payload: Bytes,
        asked: Option<Asked>,
        expected: &Expected,
    ) -> Result<(), String> {
        let mut headers = headers();
        if let Some(asked) = asked {
            headers.insert(ASKED, asked.to_string());
        }
        let subject = subject.to_owned();
        let reply_to = expected.subject();
        // Boxed, since what calls this holds it several times over.
        let sending = self
            .client
            .publish_with_reply_and_headers(subject, reply_to, headers, payload);
        Box::pin(self.send(sending)).await
    }

    /// Subscribes; while cut off, from the next connection on.
    pub(super) async fn subscribe(
        &self,
        subject: &str,
        group: Option<&str>,
        depth: usize,
    ) -> Result<Inbox, Problem> {
        let subscriber = self.subscriber(subject, group).await?;
        self.round_trip().await;
        Ok(Inbox::new(
            &self.client,
            subscriber,
            depth,
            group.is_some().then(|| Arc::clone(&self.standstill)),
        ))
    }

    async fn subscriber(&self, subject: &str, group: Option<&str>) -> Result<Subscriber, Problem> {
        let subscribing = async {
            let subject = subject.to_owned();
            match group {
                Some(group) => self.client.queue_subscribe(subject, group.to_owned()).await,
                None => self.client.subscribe(subject).await,
            }
        };
        let away = |why: String| {
            Problem::new(
                Code::ControlPlaneAway,
                format!("subscribing to {subject}: {why}"),
            )
        };
        in_time(subscribing).await.map_err(away)
    }

    /// Waits until the server has taken in all that was sent so far, if it is there.
    async fn round_trip(&self) {
        let mut expected = self.replies.expect();
        if self
            .send(self.client.publish(expected.subject(), Bytes::new()))
            .await
            .is_ok()
        {
            drop(timeout(ROUND_TRIP_WAIT, expected.message()).await);
        }
    }

    /// Sends if connected: the client itself would keep what is sent and deliver it late.
    async fn send<E: Display>(
        &self,
        sending: impl Future<Output = Result<(), E>>,
    ) -> Result<(), String> {
        if !self.is_connected() {
            return Err(self.log.why_away());
        }
        in_time(sending).await
    }
}

/// The way back to whoever asked.
#[derive(Clone)]
pub(super) struct ReplyTo {
    client: Client,
    subject: Subject,
}

impl ReplyTo {
    fn new(client: &Client, subject: Subject) -> Self {
        Self {
            client: client.clone(),
            subject,
        }
    }

    /// Sends the answer and waits until it is on its way, so that a process may end after it.
    pub(super) async fn send(self, replica: Option<&Replica>, answer: Answer) {
        let (code, payload) = answer.into_parts();
        let mut headers = HeaderMap::new();
        if let Some(code) = code {
            headers.insert(CODE, code.as_str());
        }
        if let Some(replica) = replica {
            headers.insert(REPLICA, replica.to_string());
        }
        self.send_with(headers, payload).await;
    }

    /// Says that the answer is being worked on.
    pub(super) async fn tell_working(&self, replica: &Replica) {
        let mut headers = HeaderMap::new();
        headers.insert(REPLICA, replica.to_string());
        headers.insert(WORKING, "1");
        let sending = self
            .client
            .publish_with_headers(self.subject.clone(), headers, Bytes::new());
        if let Err(why) = in_time(sending).await {
            tracing::debug!(why, "a sign of life was not sent");
        }
    }

    /// Sends `document` as it is.
    async fn send_json(self, document: &serde_json::Value) {
        self.send_with(HeaderMap::new(), document.to_string().into())
            .await;
    }

    async fn send_with(self, headers: HeaderMap, payload: Bytes) {
        let sending = async {
            self.client
                .publish_with_headers(self.subject, headers, payload)
                .await?;
            drop(self.client.flush().await);
            Ok::<_, async_nats::PublishError>(())
        };
        if let Err(why) = in_time(sending).await {
            tracing::debug!(why, "an answer was not sent");
        }
    }
}

/// The trace context, as headers.
fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in TraceContext::here().fields() {
        headers.insert(name, value);
    }
    headers
}

/// What the request with these `headers` says about itself, if it does.
fn asked(headers: Option<&HeaderMap>) -> Option<Asked> {
    headers?.get(ASKED)?.as_str().parse().ok()
}

/// The replica that `headers` name, if they do.
fn replica(headers: Option<&HeaderMap>) -> Option<Replica> {
    headers?.get(REPLICA)?.as_str().parse().ok()
}

/// Whether `message` says only that the answer is being worked on.
fn is_working(message: &async_nats::Message) -> bool {
    message
        .headers
        .as_ref()
        .is_some_and(|headers| headers.get(WORKING).is_some())
}

/// The stamp in `headers`, if there is one.
fn stamp(headers: Option<&HeaderMap>) -> Option<Stamp> {
    headers?.get(STAMP)?.as_str().parse().ok()
}

/// The trace context in `headers`.
fn trace(headers: Option<&HeaderMap>) -> TraceContext {
    let field = |name: &str| headers?.get(name).map(|value| value.as_str().to_owned());
    TraceContext::received(field)
}

async fn in_time<T, E: Display>(sending: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match timeout(OUTGOING_WAIT, sending).await {
        Ok(sent) => sent.map_err(|error| error.to_string()),
        Err(_) => Err(format!(
            "the bus took nothing for {} ms",
            OUTGOING_WAIT.as_millis()
        )),
    }
}

fn options(servers: &Servers, log: &Arc<events::Log>) -> ConnectOptions {
    let tries = Arc::clone(log);
    let log = Arc::clone(log);
    let options = ConnectOptions::new()
        .retry_on_initial_connect()
        .connection_timeout(CONNECTION_TIMEOUT)
        .ping_interval(PING_INTERVAL)
        .client_capacity(OUTGOING_MAX)
        .reconnect_delay_callback(reconnect_pause)
        .reconnect_to_server_callback(move |servers, _| {
            tries.tried(&servers);
            // The client chooses the server.
            std::future::ready(None)
        })
        .event_callback(move |event| {
            log.take_in(&event);
            std::future::ready(())
        });
    match (servers.user.clone(), servers.password.clone()) {
        (Some(user), Some(password)) => {
            options.user_and_password(user.to_string(), password.to_string())
        }
        (Some(token), None) => options.token(token.to_string()),
        (None, _) => options,
    }
}

/// At once the first time, then doubling from 50 ms, each drawn from half to the whole of it.
fn reconnect_pause(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(2))
        .unwrap_or(u32::MAX)
        .min(16);
    let most = (Duration::from_millis(50) * 2u32.pow(doublings)).min(RECONNECT_PAUSE_MAX);
    if attempts <= 1 {
        Duration::ZERO
    } else {
        most.mul_f64(rand::random_range(0.5..=1.0))
    }
}

/// Hands answers to who waits for them, as long as anybody may.
async fn take_in(mut answers: Subscriber, replies: Weak<Replies>) {
    while let Some(message) = answers.next().await {
        let Some(replies) = replies.upgrade() else {
            return;
        };
        replies.take_in(message);
    }
}

/// Says again and again whether there is a connection, as long as anybody may want one.
async fn tell(client: Client, replies: Weak<Replies>) {
    while replies.strong_count() > 0 {
        is_connected(Outside::Bus, client.connection_state() == State::Connected);
        tokio::time::sleep(TELL_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_are_never_the_same_for_all() {
        assert_eq!(reconnect_pause(1), Duration::ZERO);
        for (attempts, most) in [(2, 50), (3, 100), (6, 800), (7, 1000), (usize::MAX, 1000)] {
            let most = Duration::from_millis(most);
            let pause = reconnect_pause(attempts);
            assert!((most / 2..=most).contains(&pause), "{attempts}: {pause:?}");
        }
        assert_ne!(reconnect_pause(9), reconnect_pause(9));
    }
}
