//! What happens to the connection: for the log, and for whoever asks why there is none.

use super::Servers;
use super::replies::Replies;
use crate::fault::{Cause, Fault, bounded};
use crate::observe::{Outside, connected, is_connected};
use astral_runtime::{LogThrottle, lock};
use async_nats::{ClientError, Event, Server, ServerAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Tells of the connection without saying the same again and again.
pub(super) struct Log {
    replies: Arc<Replies>,
    /// Where the servers are.
    place: String,
    /// Whether it says who it is.
    has_user: bool,
    /// Why the last try to connect failed; none while there is a connection.
    fault: Mutex<Option<Fault>>,
    troubles: LogThrottle,
    was_connected: AtomicBool,
    overrun: AtomicU64,
}

impl Log {
    pub(super) fn new(replies: Arc<Replies>, servers: &Servers) -> Self {
        let places: Vec<_> = servers.addresses.iter().map(place).collect();
        Self {
            replies,
            place: places.join(","),
            has_user: servers.user.is_some(),
            fault: Mutex::default(),
            troubles: LogThrottle::default(),
            was_connected: AtomicBool::new(false),
            overrun: AtomicU64::new(0),
        }
    }

    /// Why there is no bus now.
    pub(super) fn why_away(&self) -> String {
        let fault = lock(&self.fault);
        match &*fault {
            Some(fault) => fault.to_string(),
            None => format!("the bus at {} is away, connecting again", self.place),
        }
    }

    pub(super) fn take_in(&self, event: &Event) {
        match event {
            Event::Connected => self.connected(),
            Event::Disconnected => {
                self.replies.give_up();
                is_connected(Outside::Bus, false);
                self.tell("bus lost, connecting again", &self.place);
            }
            Event::SlowConsumer(_) => {
                let lost = self.overrun.fetch_add(1, Ordering::Relaxed) + 1;
                if lost.is_power_of_two() {
                    tracing::warn!(
                        lost,
                        "this process is too slow for the bus and loses messages"
                    );
                }
            }
            Event::LameDuckMode | Event::Draining => {
                tracing::info!("a server of the bus is stopping")
            }
            Event::Closed => tracing::debug!("bus closed"),
            Event::ServerError(error) => self.tell("the bus refuses", &bounded(&error.to_string())),
            Event::ClientError(error) => self.could_not(error),
        }
    }

    /// Takes in what came of the last tries to connect. The client tells it nowhere else.
    pub(super) fn tried(&self, servers: &[Server]) {
        for server in servers {
            if let Some(error) = &server.last_error {
                self.failed(place(&server.addr), Cause::of_connection(error));
            }
        }
    }

    fn could_not(&self, error: &ClientError) {
        // Of a name that is not found this is all that the client says, and of any other failure it says too little.
        match error {
            ClientError::Other(text) if text == "DNS error" => {
                self.failed(self.place.clone(), Cause::NameNotFound);
            }
            ClientError::Other(_) => {}
            other => self.tell("the client of the bus failed", &bounded(&other.to_string())),
        }
    }

    fn connected(&self) {
        *lock(&self.fault) = None;
        connected(Outside::Bus);
        let is_first = !self.was_connected.swap(true, Ordering::Relaxed);
        if self.troubles.ended() || is_first {
            tracing::info!(place = self.place, "bus connected");
        }
    }

    fn failed(&self, place: String, cause: Cause) {
        let cause = if cause == Cause::Credentials && !self.has_user {
            Cause::NoCredentials
        } else {
            cause
        };
        let fault = Fault {
            system: Outside::Bus,
            place,
            cause,
        };
        self.tell("bus away, connecting again", &fault.to_string());
        *lock(&self.fault) = Some(fault);
    }

    /// `times` is how often it has happened since the last line.
    fn tell(&self, what: &str, why: &str) {
        if let Some(times) = self.troubles.occurred(&format!("{what}: {why}")) {
            tracing::warn!(why, times, "{what}");
        }
    }
}

/// Host and port; the host of an IPv6 address in brackets.
fn place(address: &ServerAddr) -> String {
    let host = address.host();
    let port = address.port();
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
