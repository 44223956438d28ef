//! What must hold: after every step where it can break, and of everything now and then and at the end.

use crate::node::{Health, Phase, STREAM_KBPS, SimNode};
use crate::queue::Event;
use crate::world::{CHECK_MS, LATE_MS, SWEEP_MS, World};
use astral_proto::limits::{HEARTBEAT_INTERVAL, HOPS_MAX, LEASE};
use astral_proto::model::{NodeState, TicketState};
use std::collections::BTreeSet;
use std::fmt;

/// A provider notices within this long that a subscriber cut off reads no more, milliseconds.
const CUT_OFF_NOTICED_MS: u64 = 5_000;

/// A broken invariant. Nodes and streams are by number; `kbps`, `limit`: kbit/s.
#[allow(missing_docs)] // each field is named for what it is
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A grant went beyond what the provider may send.
    Oversold { provider: u32, kbps: u64, limit: u64 },
    /// A relay serves more than a quarter beyond what it may.
    Overloaded { node: u32, kbps: u64, limit: u64 },
    /// A path holds a relay twice.
    Loop { node: u32, path: Vec<u32> },
    /// Relays have fed each other in a ring since the last check.
    Ring { node: u32 },
    /// A path is longer than allowed.
    TooFar { node: u32, hops: usize },
    /// What a dead node had is still there.
    DeadLease { node: u32, what: &'static str },
    /// A node is not served although another has room.
    Orphan { node: u32, stream: u8, room_at: u32 },
    /// The ledger and the relay's own table disagree when all is calm.
    Ledger { provider: u32, ledger: usize, served: usize },
    /// A publish does not go on past the one before.
    Numbering { stream: u8, epoch: u64, first_gop: u64 },
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

    /// A relay never serves more than its limit and the quarter for standbys.
    pub fn check_room(&mut self, node: u32) {
        let here = &self.nodes[node as usize];
        let (kbps, limit) = (here.used_kbps, u64::from(here.limit_kbps));
        if kbps > limit + limit / 4 {
            self.break_with(Fault::Overloaded { node, kbps, limit });
        }
    }

    /// A path ends at its node, holds each relay once, and is not too long.
    pub fn check_path(&mut self, node: u32, stream: u8) {
        let Some(path) = self.node(node).pull(stream).map(|pull| pull.path.clone()) else { return };
        let hops = path.len() - 1;
        self.figures.hops_max = self.figures.hops_max.max(hops);
        if path.iter().collect::<BTreeSet<_>>().len() != path.len() {
            self.break_with(Fault::Loop { node, path: path.to_vec() });
        }
        if hops > HOPS_MAX as usize {
            self.break_with(Fault::TooFar { node, hops });
        }
    }

    /// Checks what takes a look at everything.
    pub fn check_everything(&mut self) {
        let rings = self.find_rings();
        if let Some(node) = rings.iter().find(|node| self.rings.contains(node)) {
            self.break_with(Fault::Ring { node: *node });
        }
        self.rings = rings;
        self.check_dead_leases();
        self.figures.note_served(self.now, self.served());
        self.queue.put(self.now + CHECK_MS, Event::Check);
    }

    fn served(&self) -> (usize, usize) {
        let wanted = self.nodes.iter().filter(|node| node.is_up() && node.registered);
        let wanting = wanted.filter(|node| node.wants.is_some());
        let served = |node: &&SimNode| is_served(node);
        (wanting.clone().count(), wanting.filter(served).count())
    }

    /// Nodes whose links lead round to themselves.
    fn find_rings(&self) -> Vec<u32> {
        let provider = |node: u32, stream: u8| {
            let pull = self.nodes[node as usize].pulls.iter().find(|pull| pull.stream == stream)?;
            match pull.phase {
                Phase::Linked(ticket) => Some(ticket.provider),
                _ => None,
            }
        };
        let mut rings = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            for pull in &node.pulls {
                let mut above = at as u32;
                for _ in 0..=2 * HOPS_MAX {
                    let Some(next) = provider(above, pull.stream) else { break };
                    above = next;
                    if above == at as u32 {
                        rings.push(above);
                        break;
                    }
                }
            }
        }
        rings
    }

    /// Every lease of a node that has died ends: as a member, as a carrier, in its own ledger and in those of others.
    fn check_dead_leases(&mut self) {
        let (lease, beat) = (LEASE.as_millis() as u64, HEARTBEAT_INTERVAL.as_millis() as u64);
        let own = lease + LATE_MS + 2 * SWEEP_MS;
        // A provider's own heartbeat takes out what has ended; two of them may be lost.
        let others = own + CUT_OFF_NOTICED_MS + 3 * beat + LATE_MS;
        let dead_for = |node: u32, ms: u64| {
            let here = &self.nodes[node as usize];
            !here.is_up() && self.now.saturating_sub(here.died_at) > ms && here.died_at > 0
        };
        let mut left = Vec::new();
        for node in (0..self.nodes.len() as u32).filter(|node| dead_for(*node, own)) {
            let (at, id) = (node as usize, self.ids[node as usize]);
            let member = self.control.members[at].as_ref();
            let what = [
                (member.is_some_and(|member| member.node.state != NodeState::Lost), "member"),
                (self.control.ledgers[at].is_some(), "ledger"),
                (self.control.rosters.iter().any(|roster| roster.get(id).is_some()), "carrier"),
            ];
            left.extend(what.into_iter().filter(|(is, _)| *is).map(|(_, what)| (node, what)));
        }
        for entry in self.control.ledgers.iter().flatten().flat_map(|ledger| ledger.tickets.values()) {
            let node = self.numbers[&entry.subscriber];
            if dead_for(node, others) {
                left.push((node, "ticket"));
            }
        }
        left.into_iter().for_each(|(node, what)| self.break_with(Fault::DeadLease { node, what }));
    }

    /// Checks what holds once faults have stopped and all has settled.
    ///
    /// # Errors
    /// The first broken invariant.
    pub fn check_end(&mut self) -> Result<(), Fault> {
        self.check_everything();
        if let Some(node) = self.find_rings().first() {
            self.break_with(Fault::Ring { node: *node });
        }
        self.check_orphans();
        self.check_ledgers();
        self.broken.take().map_or(Ok(()), Err)
    }

    fn check_orphans(&mut self) {
        let streams = self.slugs.len();
        let mut room_at = vec![None; streams];
        for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.is_up()) {
            let room = node.used_kbps + u64::from(STREAM_KBPS) <= u64::from(node.limit_kbps);
            for pull in node.pulls.iter().filter(|pull| room && pull.is_served()) {
                room_at[pull.stream as usize] = Some(at as u32);
            }
        }
        let orphan = |(at, node): (usize, &SimNode)| {
            let stream = node.wants.filter(|_| node.is_up() && !is_served(node))?;
            Some((at as u32, stream, room_at[stream as usize]?))
        };
        let orphans: Vec<_> = self.nodes.iter().enumerate().filter_map(orphan).collect();
        self.figures.orphans = orphans.len();
        if let Some((node, stream, room_at)) = orphans.first().copied() {
            self.break_with(Fault::Orphan { node, stream, room_at });
        }
    }

    /// When all is calm, what a relay serves is what its ledger says it does.
    fn check_ledgers(&mut self) {
        let mut faults = Vec::new();
        for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.health == Health::Up) {
            let entries = self.control.ledgers[at].iter().flat_map(|ledger| &ledger.tickets);
            let used = entries
                .filter(|(_, entry)| !entry.standby && entry.state == TicketState::Confirmed)
                .map(|(id, _)| *id);
            let (used, served): (BTreeSet<_>, BTreeSet<_>) =
                (used.collect(), node.served.keys().copied().collect());
            if used != served {
                faults.push(Fault::Ledger { provider: at as u32, ledger: used.len(), served: served.len() });
            }
        }
        faults.into_iter().for_each(|fault| self.break_with(fault));
    }
}

fn is_served(node: &SimNode) -> bool {
    node.wants.is_some_and(|stream| node.pulls.iter().any(|pull| pull.stream == stream && pull.is_served()))
}
