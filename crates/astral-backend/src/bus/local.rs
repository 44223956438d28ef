//! The bus within one process. Behaves as NATS does, down to losing what no queue has room for.

use super::faults::Way;
use super::replica::Asked;
use super::subject;
use super::wire::{self, Heard, Message};
use crate::injection::{FaultInjector, Observation, Process};
use crate::observe::{self, TraceContext};
use astral_proto::message::event::Stamp;
use astral_runtime::lock;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Words on one request that wait for whoever asked.
const HEARD_MAX: usize = 64;

/// Every subscription within this program.
#[derive(Default)]
struct Hub {
    table: Mutex<Table>,
    injector: Option<FaultInjector>,
    /// The number of the process that joined last.
    last_process: AtomicU32,
}

/// The bus as one process within this program reaches it.
#[derive(Clone, Default)]
pub(super) struct Port {
    hub: Arc<Hub>,
    process: Process,
}

#[derive(Default)]
struct Table {
    /// By subject, so that a hundred thousand nodes do not slow one request down.
    exact: HashMap<Arc<str>, Vec<Arc<Subscriber>>>,
    patterns: Vec<Arc<Subscriber>>,
    next_id: u64,
    /// Counts deliveries: the members of a group take turns.
    turn: usize,
}

struct Subscriber {
    id: u64,
    process: Process,
    subject: Arc<str>,
    group: Option<Arc<str>>,
    queue: mpsc::Sender<Message>,
    lost: Arc<AtomicU64>,
}

impl Port {
    /// The first process on a fresh bus that fails as `injector` decides.
    pub(super) fn with_faults(injector: FaultInjector) -> Self {
        let hub = Hub {
            injector: Some(injector),
            ..Hub::default()
        };
        Self {
            hub: Arc::new(hub),
            process: Process::default(),
        }
    }

    /// The same bus as another process reaches it.
    pub(super) fn of_another_process(&self) -> Self {
        let number = 1 + self.hub.last_process.fetch_add(1, Ordering::Relaxed);
        Self {
            hub: Arc::clone(&self.hub),
            process: Process(number),
        }
    }

    pub(super) fn process(&self) -> Process {
        self.process
    }

    pub(super) fn is_connected(&self) -> bool {
        let injector = self.hub.injector.as_ref();
        injector.is_none_or(|injector| injector.seems_connected(self.process))
    }

    pub(super) fn publish(&self, subject: &str, payload: Bytes, stamp: Option<Stamp>) {
        self.send(Message {
            subject: subject.into(),
            payload,
            reply_to: None,
            trace: TraceContext::here(),
            stamp,
            asked: None,
            arrived: Instant::now(),
        });
    }

    pub(super) fn request(
        &self,
        subject: &str,
        payload: Bytes,
        asked: Option<Asked>,
        expected: &Expected,
    ) {
        let reply_to = ReplyTo {
            sender: expected.sender.clone(),
            way: None,
        };
        let recipients = self.send(Message {
            subject: subject.into(),
            payload,
            reply_to: Some(wire::ReplyTo::Local(reply_to)),
            trace: TraceContext::here(),
            stamp: None,
            asked,
            arrived: Instant::now(),
        });
        if recipients == 0 {
            drop(expected.sender.try_send(Heard::Nobody));
        }
    }

    /// What will be said on one request.
    pub(super) fn expect(&self) -> Expected {
        let (sender, heard) = mpsc::channel(HEARD_MAX);
        Expected { sender, heard }
    }

    /// Sends `message` to everybody who should have it; to how many.
    fn send(&self, message: Message) -> usize {
        let recipients = self.hub.table().recipients_in_turn(&message.subject);
        for recipient in &recipients {
            self.send_to(recipient, &message);
        }
        recipients.len()
    }

    fn send_to(&self, recipient: &Arc<Subscriber>, message: &Message) {
        let Some(injector) = &self.hub.injector else {
            recipient.offer(message.clone());
            return;
        };
        let way = Way {
            injector: injector.clone(),
            from: self.process,
            to: recipient.process,
        };
        let mut message = message.clone();
        if let Some(wire::ReplyTo::Local(reply_to)) = &mut message.reply_to {
            reply_to.way = Some(way.back());
        }
        let recipient = Arc::clone(recipient);
        let subject = Arc::clone(&message.subject);
        let told = way.clone();
        way.carry(&subject, move |arrived| {
            told.injector.tell(Observation::Delivered {
                from: told.from,
                to: told.to,
                subject: &message.subject,
                payload: &message.payload,
            });
            recipient.offer(Message {
                arrived,
                ..message.clone()
            });
        });
    }

    pub(super) fn subscribe(&self, subject: &str, group: Option<&str>, depth: usize) -> Inbox {
        let (queue, messages) = mpsc::channel(depth);
        let subject = Arc::<str>::from(subject);
        let lost = Arc::default();
        let mut table = self.hub.table();
        let id = table.next_id;
        table.next_id += 1;
        table.list(&subject).push(Arc::new(Subscriber {
            id,
            process: self.process,
            subject: Arc::clone(&subject),
            group: group.map(Arc::from),
            queue,
            lost: Arc::clone(&lost),
        }));
        Inbox {
            hub: Arc::downgrade(&self.hub),
            id,
            subject,
            messages,
            lost,
        }
    }
}

impl Hub {
    fn unsubscribe(&self, subject: &Arc<str>, id: u64) {
        let mut table = self.table();
        let list = table.list(subject);
        list.retain(|subscriber| subscriber.id != id);
        if list.is_empty() {
            table.exact.remove(subject);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

impl Table {
    fn list(&mut self, subject: &Arc<str>) -> &mut Vec<Arc<Subscriber>> {
        if subject::is_pattern(subject) {
            &mut self.patterns
        } else {
            self.exact.entry(Arc::clone(subject)).or_default()
        }
    }

    /// Every plain subscriber, and the member of each group whose turn it is.
    fn recipients_in_turn(&mut self, subject: &str) -> Vec<Arc<Subscriber>> {
        self.turn = self.turn.wrapping_add(1);
        let exact = self.exact.get(subject).into_iter().flatten();
        let patterns = self
            .patterns
            .iter()
            .filter(|one| subject::matches(&one.subject, subject));
        let mut groups = BTreeMap::<&str, Vec<&Arc<Subscriber>>>::new();
        let mut recipients = Vec::new();
        for subscriber in exact.chain(patterns) {
            match &subscriber.group {
                Some(group) => groups.entry(group).or_default().push(subscriber),
                None => recipients.push(Arc::clone(subscriber)),
            }
        }
        recipients.extend(
            groups
                .values()
                .map(|members| Arc::clone(members[self.turn % members.len()])),
        );
        recipients
    }
}

impl Subscriber {
    fn offer(&self, message: Message) {
        let subject = Arc::clone(&message.subject);
        if self.queue.try_send(message).is_ok() {
            return;
        }
        let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
        observe::message_lost();
        if lost.is_power_of_two() {
            let subject = &*subject;
            tracing::warn!(subject, lost, "a subscriber is too slow and loses messages");
        }
    }
}

/// Where the answer to a request within this program goes.
#[derive(Clone)]
pub(super) struct ReplyTo {
    sender: mpsc::Sender<Heard>,
    /// From whoever answers to whoever asked; None without faults.
    way: Option<Way>,
}

impl ReplyTo {
    /// Sends what is said; only the first answer counts, and whoever asked may have given up.
    pub(super) fn send(&self, heard: Heard) {
        let Some(way) = &self.way else {
            drop(self.sender.try_send(heard));
            return;
        };
        let sender = self.sender.clone();
        let told = way.clone();
        way.carry("answer", move |_| {
            if let Heard::Answer(_, answer) = &heard {
                told.injector.tell(Observation::Answered {
                    from: told.from,
                    to: told.to,
                    payload: answer.payload(),
                });
            }
            drop(sender.try_send(heard.clone()));
        });
    }
}

/// What is said on one request.
pub(super) struct Expected {
    /// Kept, so that where a request was lost or its handler died only the time tells, as over a network.
    sender: mpsc::Sender<Heard>,
    heard: mpsc::Receiver<Heard>,
}

impl Expected {
    pub(super) async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
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
