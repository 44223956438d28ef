//! State within one process. Leases run on tokio's clock, so that tests can pause it.

use super::{Versioned, Write};
use crate::injection::{FaultInjector, Observation};
use astral_runtime::lock;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// Every collection of this process.
#[derive(Default)]
pub(super) struct Store {
    tables: Mutex<Tables>,
    /// Whose observer hears of every change; None if nobody listens.
    injector: Option<FaultInjector>,
}

#[derive(Default)]
struct Tables {
    collections: HashMap<String, BTreeMap<String, Entry>>,
    /// Entries on a lease by its end and their version, so that what has ended is found without a scan.
    leases: BTreeMap<(Instant, u64), (String, String)>,
    last_version: u64,
}

struct Entry {
    bytes: Bytes,
    version: u64,
    lease_end: Option<Instant>,
}

impl Store {
    pub(super) fn observed_by(injector: FaultInjector) -> Self {
        Self {
            tables: Mutex::default(),
            injector: Some(injector),
        }
    }

    pub(super) fn forget_everything(&self) {
        let mut tables = self.tables();
        tables.collections.clear();
        tables.leases.clear();
    }

    pub(super) fn read(&self, collection: &str, id: &str) -> Option<Versioned> {
        let tables = self.tables();
        let entry = tables.entry(collection, id)?;
        Some(Versioned {
            bytes: entry.bytes.clone(),
            version: entry.version,
        })
    }

    pub(super) fn read_many(&self, collection: &str, ids: &[String]) -> Vec<Option<Bytes>> {
        let tables = self.tables();
        ids.iter()
            .map(|id| {
                tables
                    .entry(collection, id)
                    .map(|entry| entry.bytes.clone())
            })
            .collect()
    }

    pub(super) fn list(
        &self,
        collection: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<(String, Bytes)> {
        let tables = self.tables();
        let Some(entries) = tables.collections.get(collection) else {
            return Vec::new();
        };
        let from = after.map_or(Unbounded, Excluded);
        let range = entries.range::<str, _>((from, Unbounded)).take(limit);
        range
            .map(|(id, entry)| (id.clone(), entry.bytes.clone()))
            .collect()
    }

    /// The new version if it has written: a removal's is the last one given.
    pub(super) fn write_if(
        &self,
        collection: &str,
        id: &str,
        version: Option<u64>,
        write: Write,
    ) -> Option<u64> {
        let mut tables = self.tables();
        if tables.entry(collection, id).map(|entry| entry.version) != version {
            return None;
        }
        let value = write.value();
        let version = tables.write(collection, id, write);
        drop(tables);
        self.tell(collection, id, value.as_deref());
        Some(version)
    }

    pub(super) fn write(&self, collection: &str, id: &str, write: Write) {
        let value = write.value();
        self.tables().write(collection, id, write);
        self.tell(collection, id, value.as_deref());
    }

    pub(super) fn remove(&self, collection: &str, id: &str) -> bool {
        let was_there = self.tables().remove(collection, id);
        if was_there {
            self.tell(collection, id, None);
        }
        was_there
    }

    fn tell(&self, collection: &str, id: &str, value: Option<&[u8]>) {
        if let Some(injector) = &self.injector {
            injector.tell(Observation::Written {
                collection,
                id,
                value,
            });
        }
    }

    /// The tables, without the entries whose lease has ended.
    fn tables(&self) -> MutexGuard<'_, Tables> {
        let mut tables = lock(&self.tables);
        tables.end_leases(Instant::now());
        tables
    }
}

impl Tables {
    fn entry(&self, collection: &str, id: &str) -> Option<&Entry> {
        self.collections.get(collection)?.get(id)
    }

    fn write(&mut self, collection: &str, id: &str, write: Write) -> u64 {
        self.remove(collection, id);
        if let Write::Put { bytes, ttl } = write {
            // A lease too long for the clock never ends.
            let lease_end = ttl.and_then(|ttl| Instant::now().checked_add(ttl));
            self.put(collection, id, bytes, lease_end);
        }
        self.last_version
    }

    fn put(&mut self, collection: &str, id: &str, bytes: Bytes, lease_end: Option<Instant>) {
        self.last_version += 1;
        let version = self.last_version;
        if let Some(end) = lease_end {
            self.leases
                .insert((end, version), (collection.into(), id.into()));
        }
        let entries = self.collections.entry(collection.into()).or_default();
        entries.insert(
            id.into(),
            Entry {
                bytes,
                version,
                lease_end,
            },
        );
    }

    fn remove(&mut self, collection: &str, id: &str) -> bool {
        let Some(entries) = self.collections.get_mut(collection) else {
            return false;
        };
        let Some(entry) = entries.remove(id) else {
            return false;
        };
        if entries.is_empty() {
            self.collections.remove(collection);
        }
        if let Some(end) = entry.lease_end {
            self.leases.remove(&(end, entry.version));
        }
        true
    }

    fn end_leases(&mut self, now: Instant) {
        while let Some(first) = self.leases.first_entry()
            && first.key().0 <= now
        {
            let (collection, id) = first.remove();
            self.remove(&collection, &id);
        }
    }
}
