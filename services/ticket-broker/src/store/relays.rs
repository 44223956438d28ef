//! What each relay last reported.

use super::carriers::candidate_id;
use super::is_recent;
use crate::error::Error;
use astral_backend::{Change, State};
use astral_proto::message::{Carried, HeldTicket, RenewTickets};
use astral_proto::model::{Node, NodeState};
use astral_proto::{NodeId, Slug, UnixMillis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

const COLLECTION: &str = "relays";
/// How long a record stays after the last heartbeat. It outlives the relay's lease, so that its
/// tickets can be found and dropped.
const RECORD_KEPT: Duration = Duration::from_secs(60);
/// Most providers that are remembered because they failed a relay. The oldest are forgotten first.
const FAILED_MAX: usize = 16;

/// What a relay last reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayRecord {
    /// The relay as the coordinator knows it.
    pub node: Node,
    /// Round trips that it has measured, microseconds.
    pub rtts: Vec<(NodeId, u32)>,
    /// The streams that it carries.
    pub streams: BTreeMap<Slug, CandidateSince>,
    /// The tickets that it uses or keeps as standbys.
    pub holds: Vec<HeldTicket>,
    /// Providers that failed it, each with the time.
    #[serde(default)]
    pub failed: Vec<(NodeId, UnixMillis)>,
    /// When it sent this report, by its own clock. 0 if it has only registered since.
    pub sent_at: UnixMillis,
    /// When its last report arrived, by the clock of the state.
    #[serde(default)]
    pub heard_at: UnixMillis,
}

/// Where a relay is in the index of candidates of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateSince {
    /// The key of its index entry. None if no relay may pull from it.
    pub candidate: Option<String>,
    /// Since when it has had that key.
    pub since: UnixMillis,
}

/// What a heartbeat changed in the record of its relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayChanges {
    /// Streams that the relay no longer carries.
    pub dropped: Vec<Slug>,
    /// Keys of index entries that it no longer has.
    pub unlisted: Vec<String>,
    /// Its place in the index of each stream that it carries now.
    pub streams: BTreeMap<Slug, CandidateSince>,
    /// Providers that failed it lately, each with the time.
    pub failed: Vec<(NodeId, UnixMillis)>,
    /// Whether it has begun to drain.
    pub begins_to_drain: bool,
}

/// The records of all relays. Cheap to clone.
#[derive(Clone)]
pub struct Relays {
    state: State,
}

impl Relays {
    pub(super) fn new(state: State) -> Self {
        Self { state }
    }

    /// What a relay last reported. None if it is unknown.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn get(&self, node: NodeId) -> Result<Option<RelayRecord>, Error> {
        Ok(self.state.get(COLLECTION, &node.to_string()).await?)
    }

    /// Notes that providers have failed a relay. Does nothing if the relay is unknown.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn note_failed(&self, node: NodeId, providers: &[NodeId]) -> Result<(), Error> {
        let now = self.state.now();
        let decide = |known: Option<RelayRecord>| {
            let Some(mut relay) = known else {
                return Change::Keep(());
            };
            relay.note_failed(providers, now);
            put(relay, ())
        };
        let id = node.to_string();
        Ok(self.state.update(COLLECTION, &id, decide).await?)
    }

    /// Stores a heartbeat, and returns what it changed. None for a registration. Also None for a
    /// heartbeat that was not sent later than the last one: it is ignored.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn apply_heartbeat(
        &self,
        ask: &RenewTickets,
        now: UnixMillis,
    ) -> Result<Option<RelayChanges>, Error> {
        let decide = |known: Option<RelayRecord>| {
            let known = known.unwrap_or_else(|| RelayRecord::new(ask));
            if ask.heartbeat.sent_at.is_zero() {
                return put(known.registered(ask, now), None);
            }
            if ask.heartbeat.sent_at <= known.sent_at {
                return Change::Keep(None);
            }
            let (relay, changes) = known.with_heartbeat(ask, now);
            put(relay, Some(changes))
        };
        let id = ask.heartbeat.node.to_string();
        Ok(self.state.update(COLLECTION, &id, decide).await?)
    }

    pub(super) async fn remove(&self, node: NodeId) -> Result<(), Error> {
        self.state.remove(COLLECTION, &node.to_string()).await?;
        Ok(())
    }
}

impl RelayRecord {
    fn new(ask: &RenewTickets) -> Self {
        Self {
            node: ask.node.clone(),
            rtts: ask.rtts.clone(),
            streams: BTreeMap::new(),
            holds: vec![],
            failed: vec![],
            sent_at: UnixMillis::ZERO,
            heard_at: UnixMillis::ZERO,
        }
    }

    /// The record after a registration. A registration does not say what the relay carries, so the
    /// last report stays. `sent_at` becomes 0, so that the next heartbeat is accepted even if the
    /// clock of the node has been set back.
    fn registered(self, ask: &RenewTickets, now: UnixMillis) -> Self {
        Self {
            node: ask.node.clone(),
            rtts: ask.rtts.clone(),
            sent_at: UnixMillis::ZERO,
            heard_at: now,
            ..self
        }
    }

    /// The record after a heartbeat, and what the heartbeat changed.
    fn with_heartbeat(self, ask: &RenewTickets, now: UnixMillis) -> (Self, RelayChanges) {
        let heartbeat = &ask.heartbeat;
        let streams = self.places_in_index(ask, now);
        let lost_key = |(slug, before): (&Slug, &CandidateSince)| {
            let key = streams.get(slug).and_then(|now| now.candidate.as_ref());
            before.candidate.clone().filter(|old| key != Some(old))
        };
        let is_dropped = |slug: &&Slug| !streams.contains_key(*slug);
        let failed = self.failed_since(now);
        let changes = RelayChanges {
            unlisted: self.streams.iter().filter_map(lost_key).collect(),
            dropped: self.streams.keys().filter(is_dropped).cloned().collect(),
            streams: streams.clone(),
            failed: failed.clone(),
            begins_to_drain: heartbeat.draining && self.node.state == NodeState::Up,
        };
        let record = Self {
            node: ask.node.clone(),
            rtts: ask.rtts.clone(),
            streams,
            holds: heartbeat.holds.clone(),
            failed,
            sent_at: heartbeat.sent_at,
            heard_at: now,
        };
        (record, changes)
    }

    /// The place of the relay in the index of each stream that a heartbeat reports. `since` stays
    /// the same until the place changes.
    fn places_in_index(
        &self,
        ask: &RenewTickets,
        now: UnixMillis,
    ) -> BTreeMap<Slug, CandidateSince> {
        let place = |carried: &Carried| {
            let candidate = candidate_id(&ask.node, carried);
            let before = self
                .streams
                .get(&carried.slug)
                .filter(|before| before.candidate == candidate);
            let since = before.map_or(now, |before| before.since);
            (carried.slug.clone(), CandidateSince { candidate, since })
        };
        ask.heartbeat.streams.iter().map(place).collect()
    }

    /// Whether the relay has been heard within one lease.
    pub fn is_heard(&self, now: UnixMillis) -> bool {
        is_recent(self.heard_at, now)
    }

    /// The providers that failed this relay within the last lease: a dead provider seems alive for
    /// that long. The relay gets no standby there.
    pub fn failed_lately(&self, now: UnixMillis) -> impl Iterator<Item = NodeId> {
        self.failed_since(now)
            .into_iter()
            .map(|(provider, _)| provider)
    }

    fn failed_since(&self, now: UnixMillis) -> Vec<(NodeId, UnixMillis)> {
        self.failed
            .iter()
            .copied()
            .filter(|(_, at)| is_recent(*at, now))
            .collect()
    }

    fn note_failed(&mut self, providers: &[NodeId], now: UnixMillis) {
        self.failed
            .retain(|(provider, at)| is_recent(*at, now) && !providers.contains(provider));
        self.failed
            .extend(providers.iter().map(|provider| (*provider, now)));
        let excess = self.failed.len().saturating_sub(FAILED_MAX);
        self.failed.drain(..excess);
    }
}

fn put<R>(value: RelayRecord, result: R) -> Change<RelayRecord, R> {
    Change::Put {
        value,
        ttl: Some(RECORD_KEPT),
        result,
    }
}
