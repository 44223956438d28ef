//! Which relays carry a stream, as of at most 200 ms ago.

use crate::candidate_index::CandidateIndex;
use crate::carrier::{Carrier, Carriers};
use crate::error::Error;
use crate::judge::Asker;
use crate::reparent::MoveBudget;
use crate::store::Store;
use astral_backend::Bus;
use astral_proto::message::{GetStream, Probe};
use astral_proto::model::StreamState;
use astral_proto::{Code, Kbps, NodeId, Slug, UnixMillis};
use astral_runtime::lock;
use rand::Rng;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// How long requests use one snapshot.
const USED_FOR: Duration = Duration::from_millis(200);
/// A request that finds a snapshot older than this uses it, and starts a refresh in the background.
/// So while requests keep coming, none of them waits for a refresh.
const REFRESHED_AFTER: Duration = Duration::from_millis(120);
/// Oldest snapshot that a request accepts after it found no provider with room.
const NEWER: Duration = Duration::from_millis(20);
/// Streams whose snapshots are kept. Beyond that, those that no request uses are dropped.
const SNAPSHOTS_MAX: usize = 4_096;
/// How long the broker waits for an answer of the directory.
const DIRECTORY_ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// How long the broker waits for an answer of an origin that has not reported the stream yet.
const ORIGIN_ANSWERS_WITHIN: Duration = Duration::from_millis(300);

/// The relays among which providers of one stream are chosen, for up to 200 ms.
///
/// All requests in that time share it, so a crowd that asks at once costs one read of the state.
/// Each request notes in it what it reserves, so that the next ones see it. A snapshot only guides
/// the choice: the ledger of a provider decides whether it has room.
pub struct CandidateSnapshot {
    /// The origin of the stream.
    pub origin: NodeId,
    read_at: Instant,
    index: Mutex<CandidateIndex>,
    grants: Mutex<Vec<Grant>>,
}

/// A ticket that was granted from a snapshot.
#[derive(Clone, Copy)]
struct Grant {
    node: NodeId,
    provider: NodeId,
    at: UnixMillis,
}

/// The snapshots of all streams that are asked for. Cheap to clone.
#[derive(Clone)]
pub struct Snapshots {
    store: Store,
    bus: Bus,
    tasks: TaskTracker,
    slots: Arc<Mutex<HashMap<Slug, Arc<SnapshotSlot>>>>,
}

/// The latest snapshot of one stream.
///
/// The lock `refresh` is held while the next snapshot is read. Requests that find no usable
/// snapshot wait for this lock and then share the new snapshot. A request that finds an ageing
/// snapshot starts a task that reads the next one, unless the lock is held already.
#[derive(Default)]
struct SnapshotSlot {
    latest: Mutex<Option<Arc<CandidateSnapshot>>>,
    refresh: Arc<tokio::sync::Mutex<()>>,
    moves: Mutex<MoveBudget>,
}

impl SnapshotSlot {
    fn younger_than(&self, age: Duration) -> Option<Arc<CandidateSnapshot>> {
        lock(&self.latest)
            .clone()
            .filter(|snapshot| snapshot.read_at.elapsed() < age)
    }
}

impl CandidateSnapshot {
    fn new(origin: NodeId, index: CandidateIndex) -> Self {
        Self {
            origin,
            read_at: Instant::now(),
            index: Mutex::new(index),
            grants: Mutex::default(),
        }
    }

    /// The carriers among which a provider for `asker` is chosen.
    pub fn shortlist(&self, asker: &Asker, rng: &mut impl Rng) -> Carriers {
        lock(&self.index).shortlist(self.origin, asker, rng)
    }

    /// The relays `nodes` and the origin, with the relays above each.
    pub fn with_ancestors(&self, nodes: &[NodeId]) -> Carriers {
        lock(&self.index).with_ancestors(nodes.iter().copied().chain([self.origin]))
    }

    /// Whether it contains the relay `node`.
    pub fn knows(&self, node: NodeId) -> bool {
        lock(&self.index).get(node).is_some()
    }

    /// Adds what was read of further relays. Former origins are left out.
    pub fn add(&self, carriers: Carriers) {
        let mut index = lock(&self.index);
        for carrier in carriers.into_values() {
            if !carrier.is_origin() || carrier.node.uuid == self.origin {
                index.insert(carrier);
            }
        }
    }

    /// Notes that a relay has promised `kbps` more.
    pub fn charge(&self, provider: NodeId, kbps: Kbps) {
        lock(&self.index).charge(provider, kbps);
    }

    /// Notes that a relay has no room.
    pub fn mark_full(&self, provider: NodeId) {
        lock(&self.index).mark_full(provider);
    }

    /// Notes that a relay has been given a ticket of `provider`, before it reports so itself.
    pub fn note_grant(&self, node: NodeId, provider: NodeId, at: UnixMillis) {
        lock(&self.grants).push(Grant { node, provider, at });
        lock(&self.index).note_grant(node, provider, at);
    }

    /// Takes over the tickets that were granted from the snapshot `before` at `since` or later.
    /// This snapshot may have been read before those grants were written.
    fn take_over_grants(&self, before: &Self, since: UnixMillis) {
        let grants = lock(&before.grants).clone();
        for Grant { node, provider, at } in grants {
            if at >= since {
                self.note_grant(node, provider, at);
            }
        }
    }
}

impl Snapshots {
    /// No snapshots yet.
    pub fn new(store: Store, bus: Bus, tasks: TaskTracker) -> Self {
        Self {
            store,
            bus,
            tasks,
            slots: Arc::default(),
        }
    }

    /// A snapshot of a stream that is on air, at most 200 ms old.
    ///
    /// # Errors
    /// `not_found` if there is no such stream, [`Error::StreamEnded`], [`Error::NotLive`], and
    /// those of the state.
    pub async fn current(&self, slug: &Slug) -> Result<Arc<CandidateSnapshot>, Error> {
        self.younger_than(slug, USED_FOR).await
    }

    /// A snapshot for a request that found no provider with room in the current one.
    ///
    /// # Errors
    /// As [`Snapshots::current`].
    pub async fn newer(&self, slug: &Slug) -> Result<Arc<CandidateSnapshot>, Error> {
        self.younger_than(slug, NEWER).await
    }

    /// Adds to a snapshot those of `nodes` that it does not contain, and the relays above them.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn load_ancestors(
        &self,
        slug: &Slug,
        snapshot: &CandidateSnapshot,
        nodes: impl IntoIterator<Item = NodeId>,
    ) -> Result<(), Error> {
        let unknown: Vec<NodeId> = nodes
            .into_iter()
            .filter(|node| !snapshot.knows(*node))
            .collect();
        if !unknown.is_empty() {
            let now = self.store.state.now();
            let carriers = self.store.carriers.with_ancestors(slug, unknown, now);
            // Boxed: only few requests read here, but without a box the future of every request
            // would be as large as this one.
            snapshot.add(Box::pin(carriers).await?);
        }
        Ok(())
    }

    /// Takes one of the moves that a stream has left in this second. Returns whether there was one.
    pub fn take_move(&self, slug: &Slug, take: impl FnOnce(&mut MoveBudget) -> bool) -> bool {
        take(&mut lock(&self.slot(slug).moves))
    }

    fn slot(&self, slug: &Slug) -> Arc<SnapshotSlot> {
        let mut slots = lock(&self.slots);
        if slots.len() >= SNAPSHOTS_MAX && !slots.contains_key(slug) {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        slots.entry(slug.clone()).or_default().clone()
    }

    async fn younger_than(
        &self,
        slug: &Slug,
        age: Duration,
    ) -> Result<Arc<CandidateSnapshot>, Error> {
        let slot = self.slot(slug);
        if let Some(snapshot) = slot.younger_than(age) {
            if snapshot.read_at.elapsed() > REFRESHED_AFTER {
                self.refresh_in_background(slug, slot);
            }
            return Ok(snapshot);
        }
        let _refresh = slot.refresh.lock().await;
        // Another request may have read one while this one waited.
        match slot.younger_than(age) {
            Some(snapshot) => Ok(snapshot),
            None => Box::pin(self.refresh(&slot, slug)).await,
        }
    }

    fn refresh_in_background(&self, slug: &Slug, slot: Arc<SnapshotSlot>) {
        let Ok(refresh) = slot.refresh.clone().try_lock_owned() else {
            return;
        };
        let snapshots = self.clone();
        let slug = slug.clone();
        self.tasks.spawn(async move {
            // An error empties the slot. Then the next request reads too, and reports the error to
            // its caller.
            drop(snapshots.refresh(&slot, &slug).await);
            drop(refresh);
        });
    }

    /// Reads the next snapshot into its slot. On an error the slot is emptied, so that a stream
    /// that has ended gives no more tickets.
    async fn refresh(
        &self,
        slot: &SnapshotSlot,
        slug: &Slug,
    ) -> Result<Arc<CandidateSnapshot>, Error> {
        let before = lock(&slot.latest).clone();
        let begun = self.store.state.now();
        let last_origin = before.as_ref().map(|snapshot| snapshot.origin);
        let read = self.read(slug, last_origin).await;
        let mut latest = lock(&slot.latest);
        let snapshot = Arc::new(read.inspect_err(|_| *latest = None)?);
        if let Some(before) = before {
            snapshot.take_over_grants(&before, begun);
        }
        *latest = Some(snapshot.clone());
        Ok(snapshot)
    }

    async fn read(
        &self,
        slug: &Slug,
        last_origin: Option<NodeId>,
    ) -> Result<CandidateSnapshot, Error> {
        let (origin, epoch) = self.find_origin(slug, last_origin).await?;
        let now = self.store.state.now();
        let candidates = &self.store.carriers;
        let mut carriers = candidates.nearest_candidates(slug, origin, now).await?;
        let is_known = carriers
            .get(&origin)
            .is_some_and(|carrier| has_reported_epoch(carrier, epoch));
        if !is_known {
            let probed = self.probe(origin, slug).await?;
            carriers.extend(probed.map(|carrier| (origin, Arc::new(carrier))));
        }
        carriers.retain(|node, carrier| *node == origin || !carrier.is_origin());
        Ok(CandidateSnapshot::new(
            origin,
            CandidateIndex::from(carriers),
        ))
    }

    /// The origin of a stream that is on air, and its epoch. If the directory does not answer, the
    /// last known origin with epoch 0, so that any epoch that this origin has reported counts.
    async fn find_origin(
        &self,
        slug: &Slug,
        last_origin: Option<NodeId>,
    ) -> Result<(NodeId, u64), Error> {
        let get = GetStream { slug: slug.clone() };
        let stream = match self.bus.request(&get, DIRECTORY_ANSWERS_WITHIN).await {
            Ok(stream) => stream,
            Err(problem) if problem.code == Code::NotFound => return Err(problem.into()),
            Err(problem) => {
                let origin = match last_origin {
                    Some(origin) => Some(origin),
                    None => self.store.carriers.some_origin(slug).await?,
                };
                return origin.map(|origin| (origin, 0)).ok_or(problem.into());
            }
        };
        if stream.state == StreamState::Ended {
            return Err(Error::StreamEnded(slug.clone()));
        }
        match stream.origin {
            Some(origin) => Ok((origin, stream.epoch)),
            None => Err(Error::NotLive(slug.clone())),
        }
    }

    /// Asks an origin how it carries the stream, instead of waiting for its next heartbeat. None if
    /// it does not answer. An origin whose lease has ended gives no tickets, so it is not asked.
    async fn probe(&self, origin: NodeId, slug: &Slug) -> Result<Option<Carrier>, Error> {
        let known = self.store.relays.get(origin).await?;
        let now = self.store.state.now();
        let Some(relay) = known.filter(|relay| relay.is_heard(now)) else {
            return Ok(None);
        };
        let probe = Probe { slug: slug.clone() };
        let answer = self
            .bus
            .request_node(origin, &probe, ORIGIN_ANSWERS_WITHIN)
            .await;
        let carried = answer
            .ok()
            .and_then(|answer| answer.carried)
            .filter(|carried| carried.slug == *slug);
        match carried {
            Some(carried) => {
                let carrier = self.store.carriers.put_answer(relay.node, carried).await?;
                Ok(Some(carrier))
            }
            None => Ok(None),
        }
    }
}

/// Whether an origin has reported this epoch of its stream, with a bitrate. Without a bitrate every
/// ticket would be charged too much until the next heartbeat.
fn has_reported_epoch(carrier: &Carrier, epoch: u64) -> bool {
    let reported = carrier.carried.as_ref().map(|carried| carried.epoch);
    carrier.is_origin()
        && carrier.measured_kbps().is_some()
        && reported.is_some_and(|reported| reported >= epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_that_is_made_while_the_next_snapshot_is_read_is_in_that_snapshot_too() {
        let [origin, early, late] = [(); 3].map(|()| NodeId::random());
        let before = CandidateSnapshot::new(origin, CandidateIndex::default());
        before.note_grant(early, origin, UnixMillis::new(1_000));
        before.note_grant(late, origin, UnixMillis::new(2_000));
        let next = CandidateSnapshot::new(origin, CandidateIndex::default());
        next.take_over_grants(&before, UnixMillis::new(2_000));
        assert!(next.knows(late), "granted after the reading had begun");
        assert!(
            !next.knows(early),
            "what was granted earlier has been read from the state"
        );
    }
}
