//! What takes a look at the whole world: every few seconds, and at the end. It counts from scratch what the checks after
//! each step have followed.

use crate::check::{DEAD_GONE_MS, Fault};
use crate::depth::{Depth, Look};
use crate::node::{Health, Phase, STREAM_KBPS, SimNode};
use crate::queue::Event;
use crate::world::{BEGIN, CHECK_MS, LATE_MS, World};
use astral_proto::TicketId;
use astral_proto::limits::HEARTBEAT_INTERVAL;
use astral_proto::model::TicketState;
use std::collections::BTreeSet;

/// A provider notices within this long that a subscriber cut off reads no more, milliseconds.
const CUT_OFF_NOTICED_MS: u64 = 5_000;
/// A ticket of a node that has died is out of its provider's ledger within this long: when the provider has noticed and
/// said so in a heartbeat, of which two may be lost. Milliseconds.
const DEAD_TICKET_GONE_MS: u64 =
    DEAD_GONE_MS + CUT_OFF_NOTICED_MS + 3 * HEARTBEAT_INTERVAL.as_millis() as u64 + LATE_MS;
/// Whoever others have room for is served within this long, even while messages get lost. Milliseconds.
const SERVED_WITHIN_MS: u64 = 30_000;

impl World {
    /// Checks everything, and again in a while.
    pub fn check_now_and_then(&mut self) {
        self.check_everything();
        self.queue.put(self.now + CHECK_MS, Event::Check);
    }

    fn check_everything(&mut self) {
        self.check_rings();
        self.check_dead();
        self.check_counts();
        self.check_waiting();
        self.note_state();
    }

    /// Notes who is served and how deep the trees are, and tells whoever waits for the outcome.
    fn note_state(&mut self) {
        let served = self.served();
        self.figures.note_served(self.now, served);
        let at = self.now - BEGIN;
        for stream in 0..self.slugs.len() as u8 {
            let look = Look {
                at,
                depth: Depth::of(&self.nodes, stream),
                least: Depth::least(&self.nodes, stream),
            };
            self.looks[stream as usize].push(look);
        }
        if let (Some(watch), Some(look)) = (&self.watch, self.looks[0].last()) {
            watch(look, served);
        }
    }

    /// The crowd has come.
    pub fn note_joined(&mut self) {
        self.note_state();
    }

    fn served(&self) -> (usize, usize) {
        let wanted = self
            .nodes
            .iter()
            .filter(|node| node.is_up() && node.registered);
        let wanting = wanted.filter(|node| node.wants.is_some());
        let served = |node: &&SimNode| is_served(node);
        (wanting.clone().count(), wanting.filter(served).count())
    }

    /// Nodes whose links lead round to themselves: none may at two looks.
    fn check_rings(&mut self) {
        let in_ring = |(at, node): (usize, &SimNode)| {
            let pulls = node
                .pulls
                .iter()
                .filter(|pull| matches!(pull.phase, Phase::Linked(_)));
            let round = pulls
                .map(|pull| pull.stream)
                .any(|stream| self.leads_round(at as u32, stream));
            round.then_some(at as u32)
        };
        let rings: Vec<u32> = self.nodes.iter().enumerate().filter_map(in_ring).collect();
        let before = std::mem::replace(&mut self.rings, rings);
        if let Some(node) = self
            .rings
            .iter()
            .copied()
            .find(|node| before.contains(node))
        {
            self.break_with(Fault::Ring { node });
        }
    }

    /// Every lease of a node that has died has ended, in its own name and in the ledgers of others.
    fn check_dead(&mut self) {
        let dead_for = |node: u32, ms: u64| {
            let here = &self.nodes[node as usize];
            !here.is_up() && self.now.saturating_sub(here.died_at) > ms && here.died_at > 0
        };
        let entries = self
            .control
            .ledgers
            .iter()
            .flatten()
            .flat_map(|ledger| ledger.tickets.values());
        let subscribers = entries.map(|entry| self.numbers[&entry.subscriber]);
        let ticket = subscribers
            .into_iter()
            .find(|node| dead_for(*node, DEAD_TICKET_GONE_MS));
        let dead: Vec<(u32, u32)> = (0..self.nodes.len() as u32)
            .filter(|node| dead_for(*node, DEAD_GONE_MS))
            .map(|node| (node, self.nodes[node as usize].life))
            .collect();
        if let Some(node) = ticket {
            self.break_with(Fault::DeadLease {
                node,
                what: "ticket",
            });
        }
        dead.into_iter()
            .for_each(|(node, life)| self.check_dead_lease(node, life));
    }

    /// What relays count one by one is what they serve in all.
    fn check_counts(&mut self) {
        for at in 0..self.nodes.len() as u32 {
            let here = &self.nodes[at as usize];
            let served: u64 = here
                .served
                .values()
                .map(|ticket| u64::from(ticket.kbps))
                .sum();
            if here.used_kbps != served {
                let kbps = here.used_kbps;
                self.break_with(Fault::Miscounted {
                    node: at,
                    kbps,
                    served,
                });
            }
            self.check_room(at);
        }
    }

    /// Nobody waits for long although others have room.
    fn check_waiting(&mut self) {
        let room_at = self.room_at();
        let mut live_since = vec![self.now; self.slugs.len()];
        for pull in self
            .nodes
            .iter()
            .filter(|node| node.is_up())
            .flat_map(|node| &node.pulls)
        {
            if let Phase::Origin { since, .. } = pull.phase {
                live_since[pull.stream as usize] = since;
            }
        }
        for at in 0..self.nodes.len() {
            let here = &self.nodes[at];
            let Some(stream) = here.wants.filter(|_| here.is_up() && !is_served(here)) else {
                self.fed_at[at] = self.now;
                continue;
            };
            let since = self.fed_at[at].max(live_since[stream as usize]);
            if let Some(room_at) =
                room_at[stream as usize].filter(|_| self.now - since > SERVED_WITHIN_MS)
            {
                self.break_with(Fault::Orphan {
                    node: at as u32,
                    stream,
                    room_at,
                });
            }
        }
    }

    /// Somebody who could serve one more, for each stream.
    fn room_at(&self) -> Vec<Option<u32>> {
        let mut room_at = vec![None; self.slugs.len()];
        for (at, node) in self
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.is_up())
        {
            let room = node.used_kbps + u64::from(STREAM_KBPS) <= u64::from(node.limit_kbps);
            for pull in node.pulls.iter().filter(|pull| room && pull.is_served()) {
                room_at[pull.stream as usize] = Some(at as u32);
            }
        }
        room_at
    }

    /// Checks what holds once faults have stopped and all has settled.
    ///
    /// # Errors
    /// The first broken invariant.
    pub fn check_end(&mut self) -> Result<(), Fault> {
        self.check_everything();
        if let Some(node) = self.rings.first() {
            self.break_with(Fault::Ring { node: *node });
        }
        self.check_orphans();
        self.check_ledgers();
        self.broken.take().map_or(Ok(()), Err)
    }

    fn check_orphans(&mut self) {
        let room_at = self.room_at();
        let orphan = |(at, node): (usize, &SimNode)| {
            let stream = node.wants.filter(|_| node.is_up() && !is_served(node))?;
            Some((at as u32, stream, room_at[stream as usize]?))
        };
        let orphans: Vec<_> = self.nodes.iter().enumerate().filter_map(orphan).collect();
        self.figures.orphans = orphans.len();
        if let Some((node, stream, room_at)) = orphans.first().copied() {
            self.break_with(Fault::Orphan {
                node,
                stream,
                room_at,
            });
        }
    }

    /// Notes where ledgers and relays disagree for now: what moves just then is in one and not yet in the other.
    pub fn note_moving(&mut self) {
        self.moving = self.disagreements();
    }

    /// When all is calm, what a relay serves is what its ledger says it does, but for what has just moved.
    fn check_ledgers(&mut self) {
        let moving = std::mem::take(&mut self.moving);
        if let Some((provider, _)) = self.disagreements().intersection(&moving).next() {
            let provider = *provider;
            let (ledger, served) = self.tables(provider);
            let ledger = ledger.len();
            let served = served.len();
            self.break_with(Fault::Ledger {
                provider,
                ledger,
                served,
            });
        }
    }

    fn disagreements(&self) -> BTreeSet<(u32, TicketId)> {
        let up =
            (0..self.nodes.len() as u32).filter(|at| self.nodes[*at as usize].health == Health::Up);
        let differ = up.flat_map(|at| {
            let (ledger, served) = self.tables(at);
            ledger
                .symmetric_difference(&served)
                .map(|id| (at, *id))
                .collect::<Vec<_>>()
        });
        differ.collect()
    }

    /// The tickets in use by a provider's ledger, and by its own table.
    fn tables(&self, provider: u32) -> (BTreeSet<TicketId>, BTreeSet<TicketId>) {
        let entries = self.control.ledgers[provider as usize]
            .iter()
            .flat_map(|ledger| &ledger.tickets);
        let used = entries
            .filter(|(_, entry)| !entry.standby && entry.state == TicketState::Confirmed)
            .map(|(id, _)| *id);
        (
            used.collect(),
            self.nodes[provider as usize]
                .served
                .keys()
                .copied()
                .collect(),
        )
    }
}

fn is_served(node: &SimNode) -> bool {
    node.wants.is_some_and(|stream| {
        node.pulls
            .iter()
            .any(|pull| pull.stream == stream && pull.is_served())
    })
}
