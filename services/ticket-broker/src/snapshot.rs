//! Who carries a stream, as of a moment ago: read once for all the requests of that moment, which add what they have
//! themselves granted. Whether a provider has room its ledger decides.

use crate::broker::Broker;
use crate::candidate_index::CandidateIndex;
use crate::carrier::{Carrier, Carriers};
use crate::judge::Asker;
use crate::reparent::MoveBudget;
use crate::store::candidate_id;
use astral_proto::message::{Carried, GetStream, Probe};
use astral_proto::model::{Node, StreamState};
use astral_proto::{Code, NodeId, Problem, Slug};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long requests go by what was read for the first of them.
const FRESH: Duration = Duration::from_millis(200);
/// Who asks later than that has it read again, and goes by what is there: nobody waits as long as somebody asks.
const READ_AHEAD: Duration = Duration::from_millis(120);
/// Read again sooner than that, but not sooner than this, for who found nobody with room.
const READ_AGAIN: Duration = Duration::from_millis(20);
/// Streams whose snapshot is kept; over that, those that nobody asks for are read again.
const SNAPSHOTS_MAX: usize = 4_096;
/// How long the directory may take.
const DIRECTORY_ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// How long an origin not heard of yet may take.
const ORIGIN_ANSWERS_WITHIN: Duration = Duration::from_millis(300);

/// A stream that is on air.
pub struct CandidateSnapshot {
    /// Its origin.
    pub origin: NodeId,
    read_at: Instant,
    index: Mutex<CandidateIndex>,
    granted: Mutex<Vec<Granted>>,
}

/// A ticket that was granted in a snapshot, which the next one may have been read too early to know of.
#[derive(Clone, Copy)]
struct Granted {
    node: NodeId,
    provider: NodeId,
    at: u64,
}

/// The snapshots of all streams asked for.
#[derive(Default)]
pub struct Snapshots {
    slots: Mutex<HashMap<Slug, Arc<SnapshotSlot>>>,
}

#[derive(Default)]
struct SnapshotSlot {
    snapshot: Mutex<Option<Arc<CandidateSnapshot>>>,
    reading: Arc<tokio::sync::Mutex<()>>,
    moves: Mutex<MoveBudget>,
}

impl Snapshots {
    fn slot(&self, slug: &Slug) -> Arc<SnapshotSlot> {
        let mut slots = lock(&self.slots);
        if slots.len() >= SNAPSHOTS_MAX && !slots.contains_key(slug) {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        slots.entry(slug.clone()).or_default().clone()
    }

    /// Takes one of the moves that a stream has; whether there was one.
    pub fn take_move(&self, slug: &Slug, take: impl FnOnce(&mut MoveBudget) -> bool) -> bool {
        take(&mut lock(&self.slot(slug).moves))
    }
}

impl SnapshotSlot {
    fn at_hand(&self, fresh: Duration) -> Option<Arc<CandidateSnapshot>> {
        lock(&self.snapshot)
            .clone()
            .filter(|snapshot| snapshot.read_at.elapsed() < fresh)
    }
}

impl CandidateSnapshot {
    fn of(origin: NodeId, index: CandidateIndex) -> Self {
        let read_at = Instant::now();
        let index = Mutex::new(index);
        let granted = Mutex::default();
        Self {
            origin,
            read_at,
            index,
            granted,
        }
    }

    /// Those to choose a provider for `asker` among.
    pub fn shortlist(&self, asker: &Asker) -> Carriers {
        lock(&self.index).shortlist(self.origin, asker, &mut rand::rng())
    }

    /// The relays that the stream comes through to each of `ends`, and its origin.
    pub fn with_ancestors(&self, ends: &[NodeId]) -> Carriers {
        lock(&self.index).with_ancestors(ends.iter().copied().chain([self.origin]))
    }

    /// Whether it is known how `node` carries the stream.
    pub fn knows(&self, node: NodeId) -> bool {
        lock(&self.index).get(node).is_some()
    }

    /// Takes in what is known of relays.
    pub fn add(&self, carriers: Carriers) {
        let mut index = lock(&self.index);
        let new = carriers
            .into_values()
            .filter(|carrier| !carrier.is_origin() || carrier.node.uuid == self.origin);
        new.for_each(|carrier| index.put(carrier));
    }

    /// Takes in that a relay has been given a ticket of `provider`, before it can say so itself.
    pub fn grant(&self, node: NodeId, provider: NodeId, at: u64) {
        lock(&self.granted).push(Granted { node, provider, at });
        self.note(|index| index.note_grant(node, provider, at));
    }

    /// Takes in what was granted in the snapshot `before` from `since` on, Unix milliseconds.
    fn take_over(&self, before: &Self, since: u64) {
        let granted = lock(&before.granted).clone();
        let meanwhile = granted.into_iter().filter(|granted| granted.at >= since);
        meanwhile.for_each(|Granted { node, provider, at }| self.grant(node, provider, at));
    }

    /// Changes what is known.
    pub fn note(&self, change: impl FnOnce(&mut CandidateIndex)) {
        change(&mut lock(&self.index));
    }
}

impl Broker {
    /// The snapshot of a stream that is on air, at most 200 ms old.
    ///
    /// # Errors
    /// `not_found` if there is no such stream, `gone` if it has ended, `unavailable` if it is not live.
    pub async fn snapshot(&self, slug: &Slug) -> Result<Arc<CandidateSnapshot>, Problem> {
        self.snapshot_since(slug, FRESH).await
    }

    /// The snapshot for who found nobody with room in the last one.
    pub async fn newer_snapshot(&self, slug: &Slug) -> Result<Arc<CandidateSnapshot>, Problem> {
        self.snapshot_since(slug, READ_AGAIN).await
    }

    async fn snapshot_since(
        &self,
        slug: &Slug,
        fresh: Duration,
    ) -> Result<Arc<CandidateSnapshot>, Problem> {
        let slot = self.snapshots.slot(slug);
        if let Some(snapshot) = slot.at_hand(fresh) {
            if snapshot.read_at.elapsed() > READ_AHEAD {
                self.read_ahead(slug, slot);
            }
            return Ok(snapshot);
        }
        let _reading = slot.reading.lock().await;
        match slot.at_hand(fresh) {
            Some(snapshot) => Ok(snapshot),
            // Boxed, since few requests read and all would hold it.
            None => Box::pin(self.read_into(&slot, slug)).await,
        }
    }

    /// Reads the next snapshot while others still go by the last one.
    fn read_ahead(&self, slug: &Slug, slot: Arc<SnapshotSlot>) {
        let Ok(reading) = slot.reading.clone().try_lock_owned() else {
            return;
        };
        let broker = self.clone();
        let slug = slug.clone();
        self.tasks.spawn(async move {
            // Whoever comes when the last one is too old meets the same problem and is told.
            drop(broker.read_into(&slot, &slug).await);
            drop(reading);
        });
    }

    async fn read_into(
        &self,
        slot: &SnapshotSlot,
        slug: &Slug,
    ) -> Result<Arc<CandidateSnapshot>, Problem> {
        let before = lock(&slot.snapshot).clone();
        let begun = self.store.state.now();
        let read = self
            .read_snapshot(slug, before.as_ref().map(|snapshot| snapshot.origin))
            .await;
        let mut seated = lock(&slot.snapshot);
        // Not even an old one, where the stream has gone.
        let snapshot = Arc::new(read.inspect_err(|_| *seated = None)?);
        before.inspect(|before| snapshot.take_over(before, begun));
        *seated = Some(snapshot.clone());
        Ok(snapshot)
    }

    async fn read_snapshot(
        &self,
        slug: &Slug,
        before: Option<NodeId>,
    ) -> Result<CandidateSnapshot, Problem> {
        let (origin, epoch) = self.origin(slug, before).await?;
        let now = self.store.state.now();
        let mut carriers = self.store.nearest_candidates(slug, origin, now).await?;
        // An origin that has not told its bitrate yet is asked: until its next heartbeat each ticket would be charged too much.
        let known = |carrier: &Arc<Carrier>| {
            carrier.is_origin()
                && carrier.measured_kbps().is_some()
                && carrier
                    .carried
                    .as_ref()
                    .is_some_and(|carried| carried.epoch >= epoch)
        };
        if !carriers.get(&origin).is_some_and(known) {
            let probed = self.probe(origin, slug).await?;
            carriers.extend(probed.map(|carrier| (origin, Arc::new(carrier))));
        }
        carriers.retain(|node, carrier| *node == origin || !carrier.is_origin());
        Ok(CandidateSnapshot::of(
            origin,
            CandidateIndex::from(carriers),
        ))
    }

    /// The origin of a stream that is on air, and its epoch. Without a directory, the last one known is enough.
    async fn origin(&self, slug: &Slug, before: Option<NodeId>) -> Result<(NodeId, u64), Problem> {
        let get = GetStream { slug: slug.clone() };
        let stream = match self.bus.request(&get, DIRECTORY_ANSWERS_WITHIN).await {
            Ok(stream) => stream,
            Err(problem) if problem.code == Code::NotFound => return Err(problem),
            Err(problem) => {
                let origin = match before {
                    Some(origin) => Some(origin),
                    None => self.store.some_origin(slug).await?,
                };
                return origin.map(|origin| (origin, 0)).ok_or(problem);
            }
        };
        if stream.state == StreamState::Ended {
            let detail = format!("stream {:?} has ended", slug.as_str());
            return Err(Problem::new(Code::Gone, detail));
        }
        let not_live = || {
            Problem::new(
                Code::NotBegun,
                format!("stream {:?} is not live", slug.as_str()),
            )
        };
        Ok((stream.origin.ok_or_else(not_live)?, stream.epoch))
    }

    /// Asks a new origin how it carries the stream, which its next heartbeat will tell too. One that is not heard any more
    /// gives no tickets, and is not waited for.
    async fn probe(&self, origin: NodeId, slug: &Slug) -> Result<Option<Carrier>, Problem> {
        let known = self.store.relay(origin).await?;
        let now = self.store.state.now();
        let Some(relay) = known.filter(|relay| relay.is_heard(now)) else {
            return Ok(None);
        };
        let probe = Probe { slug: slug.clone() };
        let probed = self
            .bus
            .request_node(origin, &probe, ORIGIN_ANSWERS_WITHIN)
            .await
            .ok();
        let carried = probed
            .and_then(|probed| probed.carried)
            .filter(|carried| carried.slug == *slug);
        match carried {
            Some(carried) => self.hear_carried(relay.node, carried).await.map(Some),
            None => Ok(None),
        }
    }

    /// Takes in a relay's own word of how it carries a stream, out of turn.
    pub async fn hear_carried(&self, node: Node, carried: Carried) -> Result<Carrier, Problem> {
        let candidate = candidate_id(&node, &carried);
        let carrier = Carrier::said(node, carried, None, self.store.state.now());
        self.store
            .hear_carrier(&carrier, candidate.as_deref())
            .await?;
        Ok(carrier)
    }

    /// Has the snapshot know how these carry the stream, and through whom it comes to them.
    pub async fn load_ancestors(
        &self,
        slug: &Slug,
        snapshot: &CandidateSnapshot,
        nodes: impl IntoIterator<Item = NodeId>,
    ) -> Result<(), Problem> {
        let strangers: Vec<NodeId> = nodes
            .into_iter()
            .filter(|node| !snapshot.knows(*node))
            .collect();
        if !strangers.is_empty() {
            // Boxed, as the reading of a snapshot is.
            snapshot.add(
                Box::pin(
                    self.store
                        .with_ancestors(slug, strangers, self.store.state.now()),
                )
                .await?,
            );
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_granted_while_the_next_scene_is_read_is_known_in_it() {
        let [origin, early, late] = [(); 3].map(|()| NodeId::random());
        let before = CandidateSnapshot::of(origin, CandidateIndex::default());
        before.grant(early, origin, 1_000);
        before.grant(late, origin, 2_000);
        let next = CandidateSnapshot::of(origin, CandidateIndex::default());
        next.take_over(&before, 2_000);
        assert!(next.knows(late), "granted after the reading had begun");
        assert!(
            !next.knows(early),
            "what was granted before it, the reading tells"
        );
    }
}
