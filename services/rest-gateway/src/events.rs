//! Events: what the bus reports about streams, nodes and tickets, for clients that listen.
//!
//! A ring keeps the newest events, each serialized once. A listener is only a position in that
//! ring, so a slow listener costs no memory. A listener that falls out of the ring is disconnected.
//! When it comes back, it learns that it has missed events.

mod places;
pub(crate) mod sources;

use crate::error::Error;
use astral_backend::unix_millis;
use astral_proto::rest::{Event, Happening};
use astral_runtime::lock;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use uuid::Uuid;

/// Limits of the ring: events and bytes.
const EVENTS_MAX: usize = 4096;
const BYTES_MAX: usize = 4 << 20;
/// Most listeners of one gateway.
const LISTENERS_MAX: usize = 512;

/// The newest events.
pub(crate) struct Events {
    /// Distinguishes the events of this gateway, since its start, from those of other gateways.
    gateway: String,
    ring: Mutex<Ring>,
    /// The number of the newest event.
    newest: watch::Sender<u64>,
    places: Arc<Semaphore>,
}

#[derive(Default)]
struct Ring {
    events: VecDeque<Arc<Told>>,
    bytes: usize,
}

/// One event, serialized.
#[derive(Debug)]
pub(crate) struct Told {
    number: u64,
    pub(crate) id: String,
    pub(crate) json: String,
}

/// A position in the ring.
pub(crate) struct Listener {
    events: Arc<Events>,
    newest: watch::Receiver<u64>,
    next: u64,
    /// The event that is sent before all others.
    first: Option<Told>,
    _place: OwnedSemaphorePermit,
}

impl Default for Events {
    fn default() -> Self {
        let gateway = Uuid::new_v4().simple().to_string()[..12].to_owned();
        let places = Arc::new(Semaphore::new(LISTENERS_MAX));
        Self {
            gateway,
            ring: Mutex::default(),
            newest: watch::Sender::new(0),
            places,
        }
    }
}

impl Events {
    /// Publishes `what` to all listeners.
    pub(crate) fn tell(&self, what: Happening) {
        let mut ring = self.ring();
        let number = *self.newest.borrow() + 1;
        ring.push(self.told(number, what));
        self.newest.send_replace(number);
    }

    /// Returns a listener to all events from now on, or to those after the event `last` if they are
    /// still kept.
    ///
    /// # Errors
    /// `full` if too many listen.
    pub(crate) fn listen(self: &Arc<Self>, last: Option<&str>) -> Result<Listener, Error> {
        let place =
            self.places
                .clone()
                .try_acquire_owned()
                .map_err(|_| Error::TooManyListeners {
                    listeners_max: LISTENERS_MAX,
                })?;
        let ring = self.ring();
        let newest = *self.newest.borrow();
        let known = last.and_then(|last| self.number(last)).filter(|last| {
            let oldest = ring.events.front().map_or(newest + 1, |event| event.number);
            *last <= newest && last + 1 >= oldest
        });
        let first = match (known, last) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(self.told(newest, Happening::Missed)),
            (None, None) => Some(self.told(newest, Happening::Ready)),
        };
        drop(ring);
        let next = known.unwrap_or(newest) + 1;
        Ok(Listener {
            events: self.clone(),
            newest: self.newest.subscribe(),
            next,
            first,
            _place: place,
        })
    }

    fn told(&self, number: u64, what: Happening) -> Told {
        let id = format!("{}-{number}", self.gateway);
        let event = Event {
            id: id.clone(),
            at: unix_millis(),
            what,
        };
        let json = serde_json::to_string(&event).expect("events are plain data");
        Told { number, id, json }
    }

    /// Returns the number in an event id of this gateway.
    fn number(&self, id: &str) -> Option<u64> {
        id.strip_prefix(&self.gateway)?
            .strip_prefix('-')?
            .parse()
            .ok()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        lock(&self.ring)
    }
}

impl Ring {
    fn push(&mut self, event: Told) {
        self.bytes += event.json.len();
        self.events.push_back(Arc::new(event));
        while self.events.len() > EVENTS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.events.pop_front() else {
                return;
            };
            self.bytes -= oldest.json.len();
        }
    }

    /// Returns event `number`, None if it has not happened yet or is no longer kept.
    fn get(&self, number: u64) -> Option<Arc<Told>> {
        let oldest = self.events.front()?.number;
        self.events
            .get(usize::try_from(number.checked_sub(oldest)?).ok()?)
            .cloned()
    }
}

impl Listener {
    /// Returns the next event, None if the listener is too slow.
    pub(crate) async fn next(&mut self) -> Option<Arc<Told>> {
        if let Some(first) = self.first.take() {
            return Some(Arc::new(first));
        }
        let next = self.next;
        self.newest.wait_for(|newest| *newest >= next).await.ok()?;
        let event = self.events.ring().get(next)?;
        self.next += 1;
        Some(event)
    }
}

#[cfg(test)]
mod tests;
