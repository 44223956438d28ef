//! The bus within one process. Behaves as NATS does, down to losing what no queue has room for.

use super::faults::{Dice, Faults};
use super::replica::Asked;
use super::subject;
use super::wire::{Heard, Message, ReplyTo};
use crate::observe::{self, TraceContext};
use astral_proto::message::event::Stamp;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Words on one request that wait for whoever asked.
const HEARD_MAX: usize = 64;

/// Takes what is said on one request.
pub(super) type ReplySender = mpsc::Sender<Heard>;

/// Every subscription of this process.
#[derive(Default)]
pub(super) struct Hub {
    table: Mutex<Table>,
    faults: Option<Dice>,
}

#[derive(Default)]
struct Table {
    /// By subject, so that a hundred thousand nodes do not slow one request down.
    exact: HashMap<Arc<str>, Vec<Subscriber>>,
    patterns: Vec<Subscriber>,
    next_id: u64,
    /// Counts deliveries: the members of a group take turns.
    turn: usize,
}

struct Subscriber {
    id: u64,
    subject: Arc<str>,
    group: Option<Arc<str>>,
    queue: mpsc::Sender<Message>,
    lost: Arc<AtomicU64>,
}

impl Hub {
    pub(super) fn with_faults(faults: Faults) -> Self {
        Self {
            faults: Some(Dice::new(faults)),
            ..Self::default()
        }
    }

    pub(super) fn publish(self: &Arc<Self>, subject: &str, payload: Bytes, stamp: Option<Stamp>) {
        let subject = subject.into();
        let trace = TraceContext::here();
        let arrived = Instant::now();
        self.send(Message {
            subject,
            payload,
            reply_to: None,
            trace,
            stamp,
            asked: None,
            arrived,
        });
    }

    pub(super) fn request(
        self: &Arc<Self>,
        subject: &str,
        payload: Bytes,
        asked: Option<Asked>,
        expected: &Expected,
    ) {
        let reply_to = Some(ReplyTo::Local(expected.sender.clone()));
        let subject = subject.into();
        let trace = TraceContext::here();
        let arrived = Instant::now();
        let message = Message {
            subject,
            payload,
            reply_to,
            trace,
            stamp: None,
            asked,
            arrived,
        };
        if self.send(message) == 0 {
            drop(expected.sender.try_send(Heard::Nobody));
        }
    }

    /// What will be said on one request.
    pub(super) fn expect(self: &Arc<Self>) -> Expected {
        let (sender, heard) = mpsc::channel(HEARD_MAX);
        Expected {
            hub: Arc::clone(self),
            sender,
            heard,
        }
    }

    /// Sends `message` on its way; says how many there are to take it now.
    fn send(self: &Arc<Self>, message: Message) -> usize {
        let Some(dice) = &self.faults else {
            return self.table().deliver(&message);
        };
        for delay in dice.deliveries() {
            let hub = Arc::downgrade(self);
            let message = message.clone();
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                if let Some(hub) = hub.upgrade() {
                    hub.table().deliver(&message);
                }
            });
        }
        self.table().recipients(&message.subject).len()
    }

    pub(super) fn subscribe(
        self: &Arc<Self>,
        subject: &str,
        group: Option<&str>,
        depth: usize,
    ) -> Inbox {
        let (queue, messages) = mpsc::channel(depth);
        let subject = Arc::<str>::from(subject);
        let lost = Arc::default();
        let mut table = self.table();
        let id = table.next_id;
        table.next_id += 1;
        table.list(&subject).push(Subscriber {
            id,
            subject: Arc::clone(&subject),
            group: group.map(Arc::from),
            queue,
            lost: Arc::clone(&lost),
        });
        Inbox {
            hub: Arc::downgrade(self),
            id,
            subject,
            messages,
            lost,
        }
    }

    fn unsubscribe(&self, subject: &Arc<str>, id: u64) {
        let mut table = self.table();
        let list = table.list(subject);
        list.retain(|subscriber| subscriber.id != id);
        if list.is_empty() {
            table.exact.remove(subject);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table
            .lock()
            .expect("nothing panics while it holds the table")
    }
}

impl Table {
    fn list(&mut self, subject: &Arc<str>) -> &mut Vec<Subscriber> {
        if subject::is_pattern(subject) {
            &mut self.patterns
        } else {
            self.exact.entry(Arc::clone(subject)).or_default()
        }
    }

    /// Hands `message` to all who should have it; says to how many it went or was lost for want of room.
    fn deliver(&mut self, message: &Message) -> usize {
        self.turn = self.turn.wrapping_add(1);
        let recipients = self.recipients(&message.subject);
        recipients
            .iter()
            .for_each(|recipient| recipient.offer(message));
        recipients.len()
    }

    /// Every plain subscriber, and the member of each group whose turn it is.
    fn recipients(&self, subject: &str) -> Vec<&Subscriber> {
        let exact = self.exact.get(subject).into_iter().flatten();
        let patterns = self
            .patterns
            .iter()
            .filter(|one| subject::matches(&one.subject, subject));
        let mut groups = BTreeMap::<&str, Vec<&Subscriber>>::new();
        let mut recipients = Vec::new();
        for subscriber in exact.chain(patterns) {
            match &subscriber.group {
                Some(group) => groups.entry(group).or_default().push(subscriber),
                None => recipients.push(subscriber),
            }
        }
        recipients.extend(
            groups
                .values()
                .map(|members| members[self.turn % members.len()]),
        );
        recipients
    }
}

impl Subscriber {
    fn offer(&self, message: &Message) {
        if self.queue.try_send(message.clone()).is_ok() {
            return;
        }
        let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
        observe::message_lost();
        if lost.is_power_of_two() {
            let subject = &*message.subject;
            tracing::warn!(subject, lost, "a subscriber is too slow and loses messages");
        }
    }
}

/// What is said on one request.
pub(super) struct Expected {
    hub: Arc<Hub>,
    /// Kept, so that where a request was lost or its handler died only the time tells, as over a network.
    sender: ReplySender,
    heard: mpsc::Receiver<Heard>,
}

impl Expected {
    pub(super) async fn next(&mut self) -> Option<Heard> {
        loop {
            let heard = self.heard.recv().await?;
            let lost = matches!(heard, Heard::Answer(..))
                && self.hub.faults.as_ref().is_some_and(Dice::loses);
            if !lost {
                return Some(heard);
            }
        }
    }
}

/// The receiving end of one subscription.
pub(super) struct Inbox {
    hub: Weak<Hub>,
    id: u64,
    subject: Arc<str>,
    messages: mpsc::Receiver<Message>,
    lost: Arc<AtomicU64>,
}

impl Inbox {
    pub(super) async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(super) fn leave(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.unsubscribe(&self.subject, self.id);
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.leave();
    }
}
