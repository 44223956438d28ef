//! One subscription: a queue with a limit, and a task that fills it and counts what it has no room for.

use super::standstill::Standstill;
use crate::bus::wire::{Message, ReplyTo};
use crate::observe;
use astral_runtime::lock;
use async_nats::{Client, Subscriber};
use futures_util::StreamExt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long what the server had sent before it heard of the leaving may take to arrive.
const LEAVE_WAIT: Duration = Duration::from_millis(250);

/// The receiving end of one subscription.
pub(in crate::bus) struct Inbox {
    messages: mpsc::Receiver<Message>,
    lost: Arc<AtomicU64>,
    /// Here, so that dropping the inbox unsubscribes before anything else is sent; the task takes it to leave.
    subscriber: Arc<Mutex<Option<Subscriber>>>,
    leaving: CancellationToken,
}

impl Inbox {
    /// With `standstill`, what may have come while this process stood still is left out.
    pub(super) fn new(
        client: &Client,
        subscriber: Subscriber,
        depth: usize,
        standstill: Option<Arc<Standstill>>,
    ) -> Self {
        let (queue, messages) = mpsc::channel(depth);
        let subscriber = Arc::new(Mutex::new(Some(subscriber)));
        let lost = Arc::<AtomicU64>::default();
        let leaving = CancellationToken::new();
        let pump = Pump {
            client: client.clone(),
            queue,
            lost: Arc::clone(&lost),
            standstill,
        };
        tokio::spawn(pump.run(Arc::clone(&subscriber), leaving.clone()));
        Self {
            messages,
            lost,
            subscriber,
            leaving,
        }
    }

    pub(in crate::bus) async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await
    }

    pub(in crate::bus) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Unsubscribes; `next` ends after what was on its way.
    pub(in crate::bus) fn leave(&mut self) {
        self.leaving.cancel();
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        drop(take(&self.subscriber));
        self.leaving.cancel();
    }
}

fn take(subscriber: &Mutex<Option<Subscriber>>) -> Option<Subscriber> {
    lock(subscriber).take()
}

/// Fills the queue.
struct Pump {
    client: Client,
    queue: mpsc::Sender<Message>,
    lost: Arc<AtomicU64>,
    standstill: Option<Arc<Standstill>>,
}

impl Pump {
    async fn run(self, subscriber: Arc<Mutex<Option<Subscriber>>>, leaving: CancellationToken) {
        let pumping = async {
            while let Some(message) = next(&subscriber).await {
                self.offer(message);
            }
        };
        leaving.run_until_cancelled(pumping).await;
        if let Some(subscriber) = take(&subscriber) {
            drop(timeout(LEAVE_WAIT, self.drain(subscriber)).await);
        }
    }

    async fn drain(&self, mut subscriber: Subscriber) {
        if subscriber.drain().await.is_ok() {
            while let Some(message) = subscriber.next().await {
                self.offer(message);
            }
        }
    }

    fn offer(&self, message: async_nats::Message) {
        let asked = super::asked(message.headers.as_ref());
        if self
            .standstill
            .as_ref()
            .is_some_and(|standstill| standstill.may_have_swallowed(asked))
        {
            observe::message_came_too_late();
            return;
        }
        let reply_to = message
            .reply
            .map(|subject| ReplyTo::Nats(super::ReplyTo::new(&self.client, subject)));
        let subject = Arc::<str>::from(message.subject.as_str());
        let headers = message.headers.as_ref();
        let trace = super::trace(headers);
        let stamp = super::stamp(headers);
        let payload = message.payload;
        let arrived = Instant::now();
        let message = Message {
            subject,
            payload,
            reply_to,
            trace,
            stamp,
            asked,
            arrived,
        };
        let offered = self.queue.try_send(message);
        let Err(mpsc::error::TrySendError::Full(message)) = offered else {
            return;
        };
        let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
        observe::message_lost();
        if lost.is_power_of_two() {
            let subject = &*message.subject;
            tracing::warn!(subject, lost, "a subscriber is too slow and loses messages");
        }
    }
}

async fn next(subscriber: &Mutex<Option<Subscriber>>) -> Option<async_nats::Message> {
    poll_fn(|context| {
        let mut subscriber = lock(subscriber);
        subscriber.as_mut().map_or(Poll::Ready(None), |subscriber| {
            subscriber.poll_next_unpin(context)
        })
    })
    .await
}
