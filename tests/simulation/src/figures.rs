//! What a run measures, and how it is told.

use crate::message::Up;
use crate::node::{Phase, STREAM_KBPS, SimNode};
use crate::world::BEGIN;
use std::fmt::{self, Write};

/// Joins are counted by spans of this many milliseconds.
const SPAN_MS: u64 = 10_000;

/// Counts of one run.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Processes started and stopped.
    pub starts: u64,
    /// Processes that crashed, were cut off or left.
    pub stops: u64,
    /// Messages of nodes: heartbeats and registrations.
    pub heartbeats: u64,
    /// Messages of nodes about tickets.
    pub ticket_messages: u64,
    /// Messages to nodes.
    pub messages_down: u64,
    /// Records on relay links that are not media.
    pub messages_on_links: u64,
    /// Tickets and standbys granted.
    pub grants: u64,
    /// Draws that the ledger refused.
    pub refusals: u64,
    /// Requests that got no ticket.
    pub no_ticket: u64,
    /// Links that a provider refused.
    pub links_refused: u64,
    /// Confirmations of a ticket that had ended.
    pub confirmed_late: u64,
    /// Standbys that could not be put to use.
    pub switches_refused: u64,
    /// Supernodes that did not fetch in time.
    pub fetches_late: u64,
    /// Tickets in use that a heartbeat's answer called lost.
    pub tickets_lost: u64,
    /// Links left because they led round.
    pub rings_left: u64,
    /// Links left because they led too far from the origin.
    pub too_far_left: u64,
    /// Tickets in use that better ones took the place of.
    pub moves: u64,
    /// Most of them in one second.
    pub moves_in_a_second: u64,
    moves_now: (u64, u64),
    /// Origins fenced.
    pub fenced: u64,
    /// The longest path there was, in hops.
    pub hops_max: usize,
    /// Nodes unserved at the end although others have room.
    pub orphans: usize,
    /// From the failure of a provider to the next one's frames, milliseconds.
    pub gap_ms: Vec<u64>,
    /// From a node's wish to its first frames, milliseconds.
    pub join_ms: Vec<u64>,
    /// Joins by time.
    pub joins: Vec<u64>,
    /// At each check: when, who wants a stream, who has it.
    pub served: Vec<(u64, usize, usize)>,
}

/// How deep a stream's tree is, in hops.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Depth {
    /// Relays below the origin.
    pub relays: usize,
    /// The farthest relay.
    pub most: usize,
    /// The mean relay.
    pub mean: f64,
}

impl Figures {
    /// Counts a message of a node.
    pub fn count_message(&mut self, up: &Up) {
        match up {
            Up::Heartbeat(_) | Up::Register(_) | Up::Leave => self.heartbeats += 1,
            _ => self.ticket_messages += 1,
        }
    }

    /// Counts a join that took `ms`.
    pub fn note_join(&mut self, now: u64, ms: u64) {
        let span = ((now - BEGIN) / SPAN_MS) as usize;
        self.joins.resize(self.joins.len().max(span + 1), 0);
        self.joins[span] += 1;
        self.join_ms.push(ms);
    }

    /// Counts a move to a better place.
    pub fn note_move(&mut self, now: u64) {
        let (second, so_far) = self.moves_now;
        self.moves_now = (now / 1_000, if second == now / 1_000 { so_far + 1 } else { 1 });
        self.moves_in_a_second = self.moves_in_a_second.max(self.moves_now.1);
        self.moves += 1;
    }

    /// Notes who is served.
    pub fn note_served(&mut self, now: u64, (wanting, served): (usize, usize)) {
        self.served.push((now - BEGIN, wanting, served));
    }

    /// Tells everything, for `nodes` over `seconds`.
    pub fn tell(&self, nodes: usize, seconds: u64) -> Result<String, fmt::Error> {
        let mut out = String::new();
        let each = |count: u64| count as f64 / nodes as f64 / seconds as f64;
        writeln!(
            out,
            "messages per node and second: {:.3} heartbeats, {:.3} about tickets, {:.3} answers; {:.3} on links",
            each(self.heartbeats),
            each(self.ticket_messages),
            each(self.messages_down),
            each(self.messages_on_links)
        )?;
        writeln!(out, "joined after: {}", percentiles(&self.join_ms))?;
        writeln!(out, "failed over after: {}", percentiles(&self.gap_ms))?;
        writeln!(out, "joins by {} s: {:?}", SPAN_MS / 1_000, self.joins)?;
        let served = self.served.iter().map(|(at, want, have)| format!("{}s {have}/{want}", at / 1_000));
        writeln!(out, "served: {}", served.collect::<Vec<_>>().join("  "))?;
        writeln!(
            out,
            "{} starts, {} stops, {} grants, {} refused by the ledger, {} requests in vain, {} links refused",
            self.starts, self.stops, self.grants, self.refusals, self.no_ticket, self.links_refused
        )?;
        writeln!(
            out,
            "{} late confirmations, {} switches refused, {} late fetches, {} tickets lost, {} rings left, {} left as too far, {} fenced, \
             {} moved to better places, {} in a second at most, longest path {} hops",
            self.confirmed_late,
            self.switches_refused,
            self.fetches_late,
            self.tickets_lost,
            self.rings_left,
            self.too_far_left,
            self.fenced,
            self.moves,
            self.moves_in_a_second,
            self.hops_max
        )?;
        Ok(out)
    }
}

fn percentiles(ms: &[u64]) -> String {
    let mut sorted = ms.to_vec();
    sorted.sort_unstable();
    let at = |share: f64| sorted.get(((sorted.len() as f64 - 1.0) * share).max(0.0) as usize).copied();
    match (at(0.5), at(0.99), sorted.last()) {
        (Some(p50), Some(p99), Some(max)) => {
            format!("p50 {p50} ms, p99 {p99} ms, max {max} ms ({} times)", sorted.len())
        }
        _ => "never".into(),
    }
}

/// How deep the tree of `stream` is.
pub fn depth(nodes: &[SimNode], stream: u8) -> Depth {
    let pulls = nodes.iter().filter(|node| node.is_up()).flat_map(|node| &node.pulls);
    let served = pulls.filter(|pull| pull.stream == stream && pull.is_served());
    mean_and_most(served.map(|pull| pull.path.len() - 1).collect())
}

/// How flat the tree of the same relays could be: whoever can send the most, nearest to the origin.
pub fn least_depth(nodes: &[SimNode], stream: u8) -> Depth {
    let fan = |node: &SimNode| (node.limit_kbps / STREAM_KBPS) as usize;
    let carries = |node: &&SimNode, origin: bool| {
        let is_origin = |phase: Phase| matches!(phase, Phase::Origin { .. });
        let here = |pull: &&crate::node::Pull| pull.stream == stream && pull.is_served();
        node.is_up() && node.pulls.iter().find(here).is_some_and(|pull| is_origin(pull.phase) == origin)
    };
    let mut fans: Vec<usize> = nodes.iter().filter(|node| carries(node, false)).map(fan).collect();
    fans.sort_unstable_by(|a, b| b.cmp(a));
    let mut room: usize = nodes.iter().filter(|node| carries(node, true)).map(fan).sum();
    let (mut hops, mut from) = (vec![0], 0);
    for level in 1.. {
        let until = (from + room).min(fans.len());
        if until == from {
            break;
        }
        hops.extend(std::iter::repeat_n(level, until - from));
        room = fans[from..until].iter().sum();
        from = until;
    }
    mean_and_most(hops)
}

fn mean_and_most(hops: Vec<usize>) -> Depth {
    let below: Vec<usize> = hops.into_iter().filter(|hops| *hops > 0).collect();
    let mean = below.iter().sum::<usize>() as f64 / below.len().max(1) as f64;
    Depth { relays: below.len(), most: below.into_iter().max().unwrap_or(0), mean }
}

impl fmt::Display for Depth {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} hops, {:.2} in the mean", self.most, self.mean)
    }
}
