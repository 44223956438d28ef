//! What a run measures, and how it is told.

use crate::message::Up;
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
    /// From the failure of a provider to the next one's frames, milliseconds, while the stream had an origin.
    pub gap_ms: Vec<u64>,
    /// The same where the stream itself was away meanwhile: its origin had failed, and its publisher came back elsewhere.
    pub outage_ms: Vec<u64>,
    /// From a node's wish to its first frames, milliseconds.
    pub join_ms: Vec<u64>,
    /// Joins by time.
    pub joins: Vec<u64>,
    /// At each check: when, who wants a stream, who has it.
    pub served: Vec<(u64, usize, usize)>,
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

    /// Counts a failover that took `ms`; `outage`: whether the stream was away meanwhile.
    pub fn note_gap(&mut self, ms: u64, outage: bool) {
        if outage {
            &mut self.outage_ms
        } else {
            &mut self.gap_ms
        }
        .push(ms);
    }

    /// Counts a move to a better place.
    pub fn note_move(&mut self, now: u64) {
        let (second, so_far) = self.moves_now;
        self.moves_now = (
            now / 1_000,
            if second == now / 1_000 { so_far + 1 } else { 1 },
        );
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
        writeln!(
            out,
            "and where the origin itself had failed: {}",
            percentiles(&self.outage_ms)
        )?;
        writeln!(out, "joins by {} s: {:?}", SPAN_MS / 1_000, self.joins)?;
        let served = self
            .served
            .iter()
            .map(|(at, want, have)| format!("{}s {have}/{want}", at / 1_000));
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
    let at = |share: f64| {
        sorted
            .get(((sorted.len() as f64 - 1.0) * share).max(0.0) as usize)
            .copied()
    };
    match (at(0.5), at(0.95), at(0.99), sorted.last()) {
        (Some(p50), Some(p95), Some(p99), Some(max)) => {
            format!(
                "p50 {p50} ms, p95 {p95} ms, p99 {p99} ms, max {max} ms ({} times)",
                sorted.len()
            )
        }
        _ => "never".into(),
    }
}
