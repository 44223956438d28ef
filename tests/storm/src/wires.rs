//! Wires in place of sockets, which faults can stop.

use astral_relay::{Connect, ListenerKind, Relay, serve};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::sync::Notify;

/// What a wire holds either way, in bytes.
const WIRE_BYTES: usize = 64 << 10;
/// Where every peer seems to be.
pub const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Whether bytes pass at one end of wires. Unlike a watch channel it wakes whoever waits in a fixed order.
#[derive(Debug)]
pub struct Gate {
    is_open: AtomicBool,
    changed: Notify,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            is_open: AtomicBool::new(true),
            changed: Notify::new(),
        }
    }
}

impl Gate {
    /// Lets bytes pass, or holds them.
    pub fn set_open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }
}

struct Place {
    relay: Relay,
    gate: Arc<Gate>,
}

/// The relays that can be reached, by address.
#[derive(Clone, Default)]
pub struct Wires(Arc<Mutex<BTreeMap<String, Place>>>);

impl Wires {
    /// How the relay behind `gate` reaches others.
    pub fn connect(&self, gate: &Arc<Gate>) -> Connect {
        let wires = self.clone();
        let gate = gate.clone();
        Connect::Within(Arc::new(move |address| wires.open(address, &gate)))
    }

    /// Puts a relay at an address.
    pub fn put(&self, address: &str, relay: &Relay, gate: &Arc<Gate>) {
        let place = Place {
            relay: relay.clone(),
            gate: gate.clone(),
        };
        self.places().insert(address.to_owned(), place);
    }

    /// Takes the relay at an address away.
    pub fn remove(&self, address: &str) {
        self.places().remove(address);
    }

    /// A connection to a door of the relay at an address; None if nobody is there.
    pub fn knock(&self, address: &str, door: ListenerKind) -> Option<DuplexStream> {
        let relay = self.places().get(address)?.relay.clone();
        let (peer, socket) = duplex(WIRE_BYTES);
        serve(&relay, socket, PEER, door, ());
        Some(peer)
    }

    fn open(&self, address: &str, subscriber_gate: &Arc<Gate>) -> Option<DuplexStream> {
        let places = self.places();
        let place = places.get(address)?;
        let (subscriber, near) = duplex(WIRE_BYTES);
        let (far, provider) = duplex(WIRE_BYTES);
        tokio::spawn(carry(
            near,
            far,
            subscriber_gate.clone(),
            place.gate.clone(),
        ));
        serve(&place.relay, provider, PEER, ListenerKind::Media, ());
        Some(subscriber)
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<String, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries bytes both ways while both gates are open, until either end closes.
async fn carry(mut near: DuplexStream, mut far: DuplexStream, one: Arc<Gate>, other: Arc<Gate>) {
    let mut carrying = pin!(copy_bidirectional(&mut near, &mut far));
    loop {
        let mut one_changed = pin!(one.changed.notified());
        let mut other_changed = pin!(other.changed.notified());
        one_changed.as_mut().enable();
        other_changed.as_mut().enable();
        let may_pass = one.is_open() && other.is_open();
        tokio::select! {
            biased;
            _ = carrying.as_mut(), if may_pass => return,
            () = one_changed => {}
            () = other_changed => {}
        }
    }
}
