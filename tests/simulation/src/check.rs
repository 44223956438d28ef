//! What must hold after every step. Each step is checked for what it touches: a ledger when a ticket enters it or a
//! standby is put to use, a relay when it admits a link, a path when it changes, a ring when a link closes it, a dead node's
//! leases when they are due to have ended. Nothing else can break these, so no step need look at the whole world; that is
//! looked at beside, every few seconds, from scratch.

use crate::message::Ticket;
use crate::node::Phase;
use crate::queue::Event;
use crate::world::{LATE_MS, SWEEP_MS, World};
use astral_proto::limits::{HOPS_MAX, LEASE};
use astral_proto::model::NodeState;
use std::collections::BTreeSet;
use std::fmt;

/// A node that has died is out of the control services' books within this long: its lease, a heartbeat that came late,
/// two looks at the clock. Milliseconds.
pub const DEAD_GONE_MS: u64 = LEASE.as_millis() as u64 + LATE_MS + 2 * SWEEP_MS;
/// A ring is found by the path that goes round it, which takes each link's delay once.
const RING_LEFT_WITHIN_MS: u64 = 1_500;

/// A broken invariant. Nodes and streams are by number; `kbps`, `limit`: kbit/s.
#[allow(missing_docs)] // each field is named for what it is
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A grant went beyond what the provider may send.
    Oversold {
        provider: u32,
        kbps: u64,
        limit: u64,
    },
    /// A relay serves more than a quarter beyond what it may.
    Overloaded { node: u32, kbps: u64, limit: u64 },
    /// A path holds a relay twice.
    Loop { node: u32, path: Vec<u32> },
    /// Relays feed each other in a ring for longer than a path takes to go round it.
    Ring { node: u32 },
    /// A path is longer than allowed.
    TooFar { node: u32, hops: usize },
    /// What a dead node had is still there.
    DeadLease { node: u32, what: &'static str },
    /// A relay's own count is not the sum of what it serves.
    Miscounted { node: u32, kbps: u64, served: u64 },
    /// A node has long not been served although another has room.
    Orphan { node: u32, stream: u8, room_at: u32 },
    /// The ledger and the relay's own table disagree when all is calm.
    Ledger {
        provider: u32,
        ledger: usize,
        served: usize,
    },
    /// A publish does not go on past the one before.
    Numbering {
        stream: u8,
        epoch: u64,
        first_gop: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, out)
    }
}

impl World {
    /// Notes a broken invariant; the first one counts.
    pub fn break_with(&mut self, fault: Fault) {
        self.broken.get_or_insert(fault);
    }

    /// No grant goes beyond what its provider may send, nor too far from the origin.
    pub fn check_grant(&mut self, provider: u32, standby: bool, hops: u32) {
        let (kbps, limit) = self.promised(provider);
        if !standby && kbps > limit {
            self.break_with(Fault::Oversold {
                provider,
                kbps,
                limit,
            });
        }
        if hops > HOPS_MAX {
            self.break_with(Fault::TooFar {
                node: provider,
                hops: hops as usize,
            });
        }
    }

    /// No standby is put to use past the quarter over its provider's limit.
    pub fn check_switch(&mut self, provider: u32) {
        let (kbps, limit) = self.promised(provider);
        if kbps > limit + limit / 4 {
            self.break_with(Fault::Oversold {
                provider,
                kbps,
                limit,
            });
        }
    }

    fn promised(&self, provider: u32) -> (u64, u64) {
        let ledger = self.control.ledgers[provider as usize].as_ref();
        ledger.map_or((0, 0), |ledger| {
            let charged = ledger.tickets.values().filter(|entry| !entry.standby);
            let promised: u64 = charged.map(|entry| u64::from(entry.kbps)).sum();
            (
                promised + u64::from(ledger.viewer_kbps),
                u64::from(ledger.limit_kbps),
            )
        })
    }

    /// A relay never serves more than its limit and the quarter for standbys.
    pub fn check_room(&mut self, node: u32) {
        let here = &self.nodes[node as usize];
        let kbps = here.used_kbps;
        let limit = u64::from(here.limit_kbps);
        if kbps > limit + limit / 4 {
            self.break_with(Fault::Overloaded { node, kbps, limit });
        }
    }

    /// A path ends at its node, holds each relay once, and is not too long.
    pub fn check_path(&mut self, node: u32, stream: u8) {
        let Some(path) = self.node(node).pull(stream).map(|pull| pull.path.clone()) else {
            return;
        };
        let hops = path.len() - 1;
        self.figures.hops_max = self.figures.hops_max.max(hops);
        if path.iter().collect::<BTreeSet<_>>().len() != path.len() {
            self.break_with(Fault::Loop {
                node,
                path: path.to_vec(),
            });
        }
        if hops > HOPS_MAX as usize {
            self.break_with(Fault::TooFar { node, hops });
        }
    }

    /// If the link just opened closes a ring, it must soon be left.
    pub fn watch_ring(&mut self, ticket: Ticket) {
        if self.leads_round(ticket.subscriber, ticket.stream) {
            self.queue
                .put(self.now + RING_LEFT_WITHIN_MS, Event::RingDue(ticket));
        }
    }

    /// A ring that `ticket` closed must be open again.
    pub fn check_ring_left(&mut self, ticket: Ticket) {
        let node = ticket.subscriber;
        let stream = ticket.stream;
        let pull = self.node(node).pull(stream);
        let stands = pull.is_some_and(|pull| pull.phase == Phase::Linked(ticket));
        if stands && self.leads_round(node, stream) {
            self.break_with(Fault::Ring { node });
        }
    }

    /// Whether the links above a node lead back to it.
    pub fn leads_round(&self, node: u32, stream: u8) -> bool {
        let provider = |node: u32| {
            let pull = self.nodes[node as usize]
                .pulls
                .iter()
                .find(|pull| pull.stream == stream)?;
            match pull.phase {
                Phase::Linked(ticket) => Some(ticket.provider),
                _ => None,
            }
        };
        let mut above = node;
        for _ in 0..=2 * HOPS_MAX {
            match provider(above) {
                Some(next) if next == node => return true,
                Some(next) => above = next,
                None => return false,
            }
        }
        false
    }

    /// What a node that stops has leased must soon have ended.
    pub fn watch_leases(&mut self, node: u32) {
        let life = self.node(node).life;
        self.queue
            .put(self.now + DEAD_GONE_MS + 1, Event::LeaseDue { node, life });
    }

    /// If a node that stopped has not come back, its leases have ended: as a member, as a carrier, its own ledger.
    pub fn check_dead_lease(&mut self, node: u32, life: u32) {
        let here = &self.nodes[node as usize];
        if here.is_up() || here.life != life {
            return;
        }
        let at = node as usize;
        let id = here.id;
        let member = self.control.members[at].as_ref();
        let is_member = member.is_some_and(|member| member.node.state != NodeState::Lost);
        let is_carrier = self
            .control
            .indexes
            .iter()
            .any(|index| index.get(id).is_some());
        for (left, what) in [
            (is_member, "member"),
            (self.control.ledgers[at].is_some(), "ledger"),
            (is_carrier, "carrier"),
        ] {
            if left {
                self.break_with(Fault::DeadLease { node, what });
            }
        }
    }
}
