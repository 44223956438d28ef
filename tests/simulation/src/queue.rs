//! What happens when: events by time, then by the order they were put in.

use crate::message::{Down, Ticket, Up, Wire};
use astral_proto::TicketId;
use std::collections::{BTreeMap, VecDeque};

/// Something that happens. Nodes are numbers here, and `life` tells a node's process from the one before it.
#[derive(Clone, Debug)]
pub enum Event {
    /// A node's process starts.
    Start(u32),
    /// A node's heartbeat is due.
    Beat { node: u32, life: u32 },
    /// Something that a node waits for in one of its pulls.
    Alarm {
        node: u32,
        stream: u8,
        attempt: u32,
        alarm: Alarm,
    },
    /// A message reaches the control services.
    Up(u32, Box<Up>),
    /// A message of the control services reaches a node.
    Down(u32, Box<Down>),
    /// A message on a relay link.
    Wire(Wire),
    /// A provider closes the link of a revoked ticket.
    CloseRevoked { provider: u32, id: TicketId },
    /// A publisher comes to some node.
    Publish { stream: u8 },
    /// The control services look at the clock.
    Sweep,
    /// A supernode took too long to fetch a stream for a child.
    FetchTimedOut(u64),
    /// The next crash.
    Crash,
    /// Messages are lost, doubled and late no more.
    Calm,
    /// Everything is checked.
    Check,
    /// The crowd has come: how deep is the tree?
    Joined,
    /// Soon everything must have settled.
    NearlyOver,
    /// A link that led round must have been left by now.
    RingDue(Ticket),
    /// What a node that stopped had leased must have ended by now, unless it lives again.
    LeaseDue { node: u32, life: u32 },
}

/// What a pull waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// The broker did not answer.
    NoAnswer,
    /// It is time to ask the broker again.
    Retry,
    /// The provider did not answer.
    NotOpened,
    /// Nothing has come over the link for too long.
    Silent,
    /// The provider may have been without its own upstream for too long.
    UpstreamLost,
}

/// Events to come, by the millisecond that they happen in; within it in the order they were put in. Thousands share one,
/// so that this is cheaper than a heap of them all.
#[derive(Default)]
pub struct Queue {
    by_time: BTreeMap<u64, VecDeque<Event>>,
}

impl Queue {
    /// Has `event` happen at `at`.
    pub fn put(&mut self, at: u64, event: Event) {
        self.by_time.entry(at).or_default().push_back(event);
    }

    /// The next event and its time.
    pub fn take(&mut self) -> Option<(u64, Event)> {
        loop {
            let mut first = self.by_time.first_entry()?;
            match first.get_mut().pop_front() {
                Some(event) => return Some((*first.key(), event)),
                None => drop(first.remove()),
            }
        }
    }
}

impl Event {
    /// What tells it from others in the trace: its kind and its node.
    pub fn mark(&self) -> u64 {
        let (kind, detail) = match self {
            Event::Start(node) => (1, *node),
            Event::Beat { node, .. } => (2, *node),
            Event::Alarm { node, alarm, .. } => (10 + *alarm as u64, *node),
            Event::Up(node, _) => (3, *node),
            Event::Down(node, _) => (4, *node),
            Event::Wire(wire) => (
                5,
                wire.ticket.subscriber ^ wire.ticket.provider.rotate_left(16),
            ),
            Event::CloseRevoked { provider, .. } => (6, *provider),
            Event::Publish { stream } => (7, u32::from(*stream)),
            Event::FetchTimedOut(fetch) => (8, *fetch as u32),
            Event::LeaseDue { node, .. } => (20, *node),
            Event::RingDue(ticket) => (21, ticket.subscriber),
            Event::Sweep
            | Event::Crash
            | Event::Calm
            | Event::Check
            | Event::Joined
            | Event::NearlyOver => (9, 0),
        };
        kind << 32 | u64::from(detail)
    }
}
