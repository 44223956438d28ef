//! What a relay tells the control plane of itself, and what it takes from the answer.

use crate::clock::unix_ms;
use crate::core::Relay;
use crate::sync::lock;
use astral_proto::NodeId;
use astral_proto::message::{Heartbeat, HeartbeatReply, Landmark, Move, Registered};
use std::sync::atomic::Ordering;

impl Relay {
    /// Everything the control plane keeps this node by.
    pub fn statement(&self) -> Heartbeat {
        Heartbeat {
            sent_at: self.next_sent_at(),
            ..self.peek()
        }
    }

    /// A [`Relay::statement`] for this relay's own use, which has no place among those that are sent.
    pub(crate) fn peek(&self) -> Heartbeat {
        let streams = self.streams();
        let viewer_kbps: u64 = streams.iter().map(|stream| stream.viewers_kbps()).sum();
        let carried = streams.iter().filter(|stream| stream.is_carried());
        Heartbeat {
            node: self.node(),
            draining: self.is_draining(),
            limit_kbps: self.limit_kbps(),
            viewer_kbps: viewer_kbps.min(u64::from(u32::MAX)) as u32,
            streams: carried.map(|stream| stream.carried()).collect(),
            serves: self.shared.tickets.serving(),
            rtts: self.rtts(),
            holds: streams
                .iter()
                .flat_map(|stream| stream.held.tickets(&stream.slug))
                .collect(),
            generation: self.shared.generation.load(Ordering::Relaxed),
            sent_at: 0,
            notices: self.notices(),
            process: self.process(),
        }
    }

    /// What this relay has promised to others by tickets, as the broker last said, kbit/s.
    pub(crate) fn promised_kbps(&self) -> u32 {
        self.shared.promised_kbps.load(Ordering::Relaxed)
    }

    /// Orders this node's statements, even if its clock is set back.
    fn next_sent_at(&self) -> u64 {
        let now = unix_ms();
        let last = self.shared.last_sent_at.fetch_max(now, Ordering::Relaxed);
        if last < now {
            now
        } else {
            self.shared.last_sent_at.fetch_add(1, Ordering::Relaxed) + 1
        }
    }

    /// Takes the answer to a registration.
    pub(super) fn joined(&self, registered: &Registered) {
        self.trust(&registered.ticket_keys);
        self.enter(registered.generation);
        self.measure(&registered.supernodes);
        let mut standing = lock(&self.shared.standing);
        standing.role = Some(registered.role);
        standing.primary_supernode = registered.primary_supernode;
    }

    /// Takes the answer to a [`Relay::statement`]; whether the ledger has begun anew, so that everything is to be
    /// stated at once.
    pub(super) fn heed(&self, reply: &HeartbeatReply) -> bool {
        self.trust(&reply.ticket_keys);
        self.trust(&reply.tickets.ticket_keys);
        self.shared
            .promised_kbps
            .store(reply.tickets.promised_kbps, Ordering::Relaxed);
        for stream in self.streams() {
            stream.held.heed(&reply.tickets);
        }
        self.measure(&reply.supernodes);
        let mut standing = lock(&self.shared.standing);
        standing.primary_supernode = reply.primary_supernode;
        standing.promised_kbps = reply.tickets.promised_kbps;
        drop(standing);
        self.enter(reply.tickets.generation)
    }

    /// Round trips to the nearest supernodes known, smoothed, microseconds.
    pub fn rtts(&self) -> Vec<(NodeId, u32)> {
        self.shared.distances.told()
    }

    /// Measures the way to these and to the nearest known, unless it has just done so.
    fn measure(&self, landmarks: &[Landmark]) {
        if let Some(round) = self.shared.distances.next_round(landmarks, self.node()) {
            let relay = self.clone();
            self.spawn(async move { relay.shared.distances.measure(round).await });
        }
    }

    /// Goes over to other tickets, told so between two statements.
    pub fn move_to(&self, told: &Move) {
        for stream in self.streams() {
            stream.held.replace(&told.replaced);
        }
    }

    fn enter(&self, generation: u32) -> bool {
        generation != 0 && self.shared.generation.swap(generation, Ordering::Relaxed) != generation
    }

    /// The keys that sign tickets from now on; an empty list keeps the last ones.
    pub fn trust(&self, keys: &[String]) {
        self.shared.tickets.trust(keys);
    }
}
