//! What happens to the connection, for the log.

use super::replies::Replies;
use crate::observe::{Outside, connected, is_connected};
use async_nats::Event;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Tells of the connection without saying the same again and again.
pub(super) struct Log {
    replies: Arc<Replies>,
    last_error: Mutex<String>,
    overrun: AtomicU64,
}

impl Log {
    pub(super) fn new(replies: Arc<Replies>) -> Self {
        Self { replies, last_error: Mutex::default(), overrun: AtomicU64::new(0) }
    }

    pub(super) fn take_in(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.is_new(String::new());
                connected(Outside::Bus);
                tracing::info!("bus connected");
            }
            Event::Disconnected => {
                self.replies.give_up();
                is_connected(Outside::Bus, false);
                tracing::warn!("bus lost, connecting again");
            }
            Event::SlowConsumer(_) => {
                let lost = self.overrun.fetch_add(1, Ordering::Relaxed) + 1;
                if lost.is_power_of_two() {
                    tracing::warn!(lost, "this process is too slow for the bus and loses messages");
                }
            }
            Event::LameDuckMode | Event::Draining => tracing::info!("a server of the bus is stopping"),
            Event::Closed => tracing::debug!("bus closed"),
            Event::ServerError(error) => self.tell(error.to_string()),
            Event::ClientError(error) => self.tell(error.to_string()),
        }
    }

    fn tell(&self, error: String) {
        if self.is_new(error.clone()) {
            tracing::warn!(error, "the bus refuses or cannot be reached");
        }
    }

    /// Whether `error` is not what was told last.
    fn is_new(&self, error: String) -> bool {
        let mut last = self.last_error.lock().expect("nothing panics while it holds a text");
        let is_new = *last != error;
        *last = error;
        is_new
    }
}
