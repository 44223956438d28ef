//! Streams with keys that the state has lost. A Redis that evicts entries, or that was emptied, forgets a stream and its key;
//! anyone could then publish the name where publishing is open. So each directory remembers the keys of the streams that
//! it has seen, and puts a stream back that has vanished without having been deleted. Heartbeats could bring the hashes
//! instead, but only live streams have any, and nodes outside the cluster would hold the hashes.

use crate::publish_key::StoredKey;
use crate::record::Record;
use astral_proto::model::StreamState;
use astral_proto::{Slug, UnixMillis};
use astral_runtime::{LogThrottle, lock};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// Most streams remembered, at about 200 bytes each. Of further ones the state alone knows the keys.
const REMEMBERED_MAX: usize = 65_536;

/// Every sweep would log it.
static TOO_MANY: LogThrottle = LogThrottle::new();

/// What is remembered of a stream with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    key: StoredKey,
    declared_at: UnixMillis,
    is_paused: bool,
    /// The newest epoch known under this name. A deletion of that one or a later one takes the stream away for good.
    epoch: u64,
}

/// The streams with keys that this directory has seen, up to [`REMEMBERED_MAX`].
#[derive(Debug, Default)]
pub struct Memory(Mutex<Streams>);

#[derive(Debug, Default)]
struct Streams {
    /// What is remembered of each, and in which sweep it was last seen.
    known: BTreeMap<Slug, (Remembered, u64)>,
    /// Counts sweeps.
    sweep: u64,
}

impl Remembered {
    fn of(record: &Record) -> Option<Self> {
        let key = record.key.clone()?;
        let is_paused = record.state == StreamState::Paused;
        Some(Self {
            key,
            declared_at: record.declared_at,
            is_paused,
            epoch: record.epoch,
        })
    }

    /// Whether it is the one that was deleted, of which `removed` was the last epoch.
    pub fn was_deleted(&self, removed: Option<u64>) -> bool {
        removed.is_some_and(|removed| removed >= self.epoch)
    }

    /// `fresh`, a stream of which nothing is known, with what is remembered. Its epoch is left to heartbeats: an origin that
    /// goes on states a higher one, and is origin again by it.
    pub fn restored(self, mut fresh: Record, now: UnixMillis) -> Record {
        fresh.key = Some(self.key);
        fresh.declared_at = self.declared_at;
        if self.is_paused {
            fresh.enter(StreamState::Paused, now);
        }
        fresh
    }
}

impl Memory {
    /// Begins a sweep: each stream that is there will be noted.
    pub fn begin_sweep(&self) {
        self.lock().sweep += 1;
    }

    /// Remembers the stream as it is now, if it has a key.
    pub fn note(&self, record: &Record) {
        let mut streams = self.lock();
        let sweep = streams.sweep;
        let Some(remembered) = Remembered::of(record) else {
            streams.known.remove(&record.slug);
            return;
        };
        if let Some(known) = streams.known.get_mut(&record.slug) {
            *known = (remembered, sweep);
        } else if streams.known.len() < REMEMBERED_MAX {
            streams
                .known
                .insert(record.slug.clone(), (remembered, sweep));
        } else if let Some(times) = TOO_MANY.occurred("full") {
            let most = REMEMBERED_MAX;
            tracing::warn!(
                times,
                most,
                "more streams have keys than are remembered should the state lose them"
            );
        }
    }

    /// Forgets a stream that was deleted.
    pub fn forget(&self, slug: &Slug) {
        self.lock().known.remove(slug);
    }

    /// What is remembered of a stream.
    pub fn of(&self, slug: &Slug) -> Option<Remembered> {
        self.lock()
            .known
            .get(slug)
            .map(|(remembered, _)| remembered.clone())
    }

    /// Streams that are remembered and were not seen in this sweep.
    pub fn unseen(&self) -> Vec<Slug> {
        let streams = self.lock();
        let unseen = streams
            .known
            .iter()
            .filter(|(_, (_, sweep))| *sweep < streams.sweep);
        unseen.map(|(slug, _)| slug.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(slug: &str, key: Option<&str>) -> Record {
        let key = key.map(|key| StoredKey::new(key, [7; 16]).unwrap());
        Record::new(slug.parse().unwrap(), key, 3, UnixMillis::new(0))
    }

    #[test]
    fn a_stream_with_a_key_is_remembered_and_one_without_is_not() {
        let memory = Memory::default();
        memory.note(&record("keyed", Some("secret")));
        memory.note(&record("open", None));
        assert!(memory.unseen().is_empty());
        memory.begin_sweep();
        assert_eq!(memory.unseen(), ["keyed".parse().unwrap()]);
        let restored = memory
            .of(&"keyed".parse().unwrap())
            .unwrap()
            .restored(record("keyed", None), UnixMillis::new(7));
        assert!(restored.key.unwrap().opens("secret"));
        memory.note(&record("keyed", None));
        assert!(memory.unseen().is_empty(), "it is open now");
    }

    #[test]
    fn a_paused_stream_comes_back_paused() {
        let mut paused = record("demo", Some("secret"));
        paused.enter(StreamState::Paused, UnixMillis::new(5));
        let restored = Remembered::of(&paused)
            .unwrap()
            .restored(record("demo", None), UnixMillis::new(7));
        assert_eq!(
            (restored.state, restored.state_since),
            (StreamState::Paused, UnixMillis::new(7))
        );
    }

    #[test]
    fn a_deletion_counts_for_the_stream_that_was_there_and_not_for_one_made_after() {
        let remembered = Remembered::of(&record("demo", Some("secret"))).unwrap();
        assert!(!remembered.was_deleted(None));
        assert!(!remembered.was_deleted(Some(2)), "it was made after that");
        assert!(remembered.was_deleted(Some(3)));
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let memory = Memory::default();
        for number in 0..=REMEMBERED_MAX {
            memory.note(&record(&format!("s{number}"), Some("k")));
        }
        memory.begin_sweep();
        assert_eq!(memory.unseen().len(), REMEMBERED_MAX);
    }
}
