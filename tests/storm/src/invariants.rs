//! What must hold after every message and every write of the state, whatever faults there are. Each is checked where it
//! can break: a ledger when it is written, a path when a heartbeat says it, a stream when its record is written.

use crate::health::Health;
use astral_backend::Observation;
use astral_directory::record::Record;
use astral_proto::limits::{HOPS_MAX, LEASE, PUBLISHER_GRACE};
use astral_proto::message::{Heartbeat, Request};
use astral_proto::model::{NodeState, StreamState, TicketState};
use astral_proto::{Incarnation, Kbps, NodeId, Slug};
use astral_supernode_coordinator::member::Member;
use astral_ticket_broker::ledger::Ledger;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A heartbeat may be lost, late, and repeated at another replica; then its sender must have been heard.
const HEARD_WITHIN: Duration = Duration::from_secs(LEASE.as_secs() + 4);
/// A stream is not ended by silence while its origin is well for this long.
const FLOWS_WITHIN: Duration =
    Duration::from_secs(HEARD_WITHIN.as_secs() + PUBLISHER_GRACE.as_secs());

/// The collections that are looked at.
const LEDGERS: &str = "ledgers";
const NODES: &str = "nodes";
const STREAMS: &str = "streams";

type Broken = Result<(), String>;

/// What is remembered of the past to check the present.
#[derive(Debug, Default)]
pub struct Invariants {
    ledgers: BTreeMap<NodeId, Ledger>,
    /// The newest grant of each history of a stream.
    grants: BTreeMap<(Slug, Incarnation), Granted>,
    /// How far each relay was with each stream by its last heartbeat.
    progress: BTreeMap<(NodeId, Slug), Progress>,
}

/// A right to be origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Granted {
    epoch: u64,
    origin: Option<NodeId>,
    first_gop: u64,
}

/// How far a relay was.
#[derive(Clone, Copy, Debug)]
struct Progress {
    life: u32,
    sent_at: u64,
    incarnation: Incarnation,
    epoch: u64,
    gop: u64,
}

impl Invariants {
    /// The ledgers as they were last written.
    pub fn ledgers(&self) -> &BTreeMap<NodeId, Ledger> {
        &self.ledgers
    }

    /// The state has lost everything.
    pub fn forgot(&mut self) {
        self.ledgers.clear();
    }

    /// Checks what has just happened.
    ///
    /// # Errors
    /// The broken invariant.
    pub fn check(&mut self, seen: Observation<'_>, health: &Health) -> Broken {
        match seen {
            Observation::Written {
                collection,
                id,
                value,
            } => self.check_entry(collection, id, value, health),
            Observation::Delivered {
                subject, payload, ..
            } if subject == Heartbeat::SUBJECT => self.check_heartbeat(&parse(payload)?, health),
            Observation::Answered { payload, .. } => check_answer(payload),
            _ => Ok(()),
        }
    }

    fn check_entry(
        &mut self,
        collection: &str,
        id: &str,
        value: Option<&[u8]>,
        health: &Health,
    ) -> Broken {
        match (collection, value) {
            (LEDGERS, Some(value)) => self.check_ledger(node_id(id)?, parse(value)?),
            (LEDGERS, None) => {
                self.ledgers.remove(&node_id(id)?);
                Ok(())
            }
            (NODES, Some(value)) => check_member(&parse(value)?, health),
            (STREAMS, Some(value)) => self.check_stream(&parse(value)?, health),
            _ => Ok(()),
        }
    }

    /// No grant takes a provider over its limit. A standby that is in use may, but only for a while.
    fn check_ledger(&mut self, provider: NodeId, ledger: Ledger) -> Broken {
        let before = self.ledgers.insert(provider, ledger.clone());
        let before = before.as_ref();
        let news = News::of(before, &ledger);
        // The same write may hold a heartbeat that lowered the limit or had more viewers.
        let viewers = before.map_or(Kbps::MAX, |before| before.viewer_kbps);
        let limit = before.map_or(Kbps::ZERO, |before| before.limit_kbps);
        let viewers = viewers.min(ledger.viewer_kbps);
        let limit = limit.max(ledger.limit_kbps);
        let used = ledger.promised_kbps() + viewers;
        if used <= limit {
            return Ok(());
        }
        // What a heartbeat says of open links is so, whether it fits or not.
        if news.granted > 0 && news.adopted + news.activated == 0 {
            return Err(format!(
                "oversold: {provider} grants up to {used} of {limit}"
            ));
        }
        if news.activated > 0 && news.adopted == 0 && news.activated_for_ever == news.activated {
            return Err(format!(
                "oversold: {provider} serves standbys up to {used} of {limit} for ever"
            ));
        }
        Ok(())
    }

    /// Epochs and GOPs of one history only grow, and each epoch has one origin.
    fn check_stream(&mut self, record: &Record, health: &Health) -> Broken {
        self.check_grant(record)?;
        let Some(origin) = record.origin else {
            return Ok(());
        };
        let is_over = record.state == StreamState::Ended && record.by_silence;
        let well_for = |since: Option<tokio::time::Instant>| {
            since.is_some_and(|since| since.elapsed() > FLOWS_WITHIN)
        };
        let flows = well_for(health.well_since(origin))
            && well_for(health.published_since(&record.slug, origin));
        if is_over && flows {
            return Err(format!(
                "silence ended stream {} although its origin {origin} lives and is sent to",
                record.slug
            ));
        }
        Ok(())
    }

    fn check_grant(&mut self, record: &Record) -> Broken {
        let Some(grant) = &record.granted else {
            return Ok(());
        };
        let now = Granted {
            epoch: grant.epoch,
            origin: record.origin,
            first_gop: grant.first_gop,
        };
        let key = (record.slug.clone(), grant.incarnation);
        let Some(before) = self.grants.insert(key, now).filter(|before| *before != now) else {
            return Ok(());
        };
        let slug = &record.slug;
        if now.epoch == before.epoch {
            return Err(format!(
                "two grants of {slug} in one epoch: {before:?} and {now:?}"
            ));
        }
        let goes_on = now.epoch > before.epoch && now.first_gop >= before.first_gop;
        if !goes_on {
            return Err(format!("numbering of {slug}: {now:?} after {before:?}"));
        }
        Ok(())
    }

    /// Paths are short, hold each relay once, and what a relay has does not go back.
    fn check_heartbeat(&mut self, said: &Heartbeat, health: &Health) -> Broken {
        let node = said.node;
        for carried in &said.streams {
            let path = &carried.path;
            let distinct: BTreeSet<&NodeId> = path.iter().collect();
            if distinct.len() != path.len() {
                return Err(format!("loop: {node} has the path {path:?}"));
            }
            if path.len() > HOPS_MAX as usize + 1 {
                return Err(format!("too far: {node} has {} hops", path.len() - 1));
            }
            let (Some(newest), Some(life)) = (carried.newest, health.life(node)) else {
                continue;
            };
            let now = Progress {
                life,
                sent_at: said.sent_at.get(),
                incarnation: carried.incarnation,
                epoch: carried.epoch,
                gop: newest.gop,
            };
            self.check_progress(node, &carried.slug, now)?;
        }
        Ok(())
    }

    fn check_progress(&mut self, node: NodeId, slug: &Slug, now: Progress) -> Broken {
        let key = (node, slug.clone());
        let before = self
            .progress
            .get(&key)
            .copied()
            .filter(|before| before.life == now.life && before.incarnation == now.incarnation);
        // A heartbeat that was overtaken says what was so before.
        if before.is_some_and(|before| before.sent_at >= now.sent_at) {
            return Ok(());
        }
        self.progress.insert(key, now);
        match before {
            Some(before) if before.gop > now.gop || before.epoch > now.epoch => Err(format!(
                "{slug} at {node} went back: {now:?} after {before:?}"
            )),
            _ => Ok(()),
        }
    }
}

/// What is charged now and was not before, by how that came.
#[derive(Debug, Default)]
struct News {
    /// Tickets that were granted.
    granted: usize,
    /// Links that the ledger did not know.
    adopted: usize,
    /// Standbys in use.
    activated: usize,
    /// Those of them that are not marked as over the limit.
    activated_for_ever: usize,
}

impl News {
    fn of(before: Option<&Ledger>, now: &Ledger) -> Self {
        let mut news = Self::default();
        for (id, entry) in now.tickets.iter().filter(|(_, entry)| !entry.standby) {
            let known = before.and_then(|before| before.tickets.get(id));
            match known {
                Some(known) if !known.standby => {}
                Some(_) => {
                    news.activated += 1;
                    news.activated_for_ever += usize::from(entry.over_until.is_none());
                }
                None if entry.state == TicketState::Offered => news.granted += 1,
                None => news.adopted += 1,
            }
        }
        news
    }
}

/// A node that lives and is heard is never given up.
fn check_member(member: &Member, health: &Health) -> Broken {
    let node = member.node.uuid;
    let is_well = health
        .well_since(node)
        .is_some_and(|since| since.elapsed() > HEARD_WITHIN);
    if member.node.state == NodeState::Lost && is_well {
        return Err(format!(
            "node {node} is given up although it lives and speaks"
        ));
    }
    Ok(())
}

/// No service answers that it has a bug.
fn check_answer(payload: &[u8]) -> Broken {
    const INTERNAL: &[u8] = br#""code":"internal""#;
    let is_internal = payload
        .windows(INTERNAL.len())
        .any(|window| window == INTERNAL);
    if is_internal {
        return Err(format!(
            "an answer is `internal`: {}",
            String::from_utf8_lossy(payload)
        ));
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| {
        format!(
            "what was written cannot be read: {error}: {}",
            String::from_utf8_lossy(json)
        )
    })
}

fn node_id(text: &str) -> Result<NodeId, String> {
    text.parse().map_err(|_| format!("{text:?} is no node"))
}
