//! The directory's reads and writes.

use crate::audience::{Audience, NodeReport};
use crate::change::{Changed, Wish};
use crate::declared::{Declared, declared};
use crate::grant::{Heard, granted, next_grant};
use crate::liveness::{self, Report, Verdict};
use crate::lost::Memory;
use crate::notices::noted;
use crate::publish_key::StoredKey;
use crate::record::Record;
use astral_backend::{Change, State};
use astral_proto::limits::LEASE;
use astral_proto::message::{FenceReason, Grant, Heartbeat, PublisherGone, PublisherNotice};
use astral_proto::{Code, Incarnation, NodeId, Problem, Slug};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const STREAMS: &str = "streams";
/// The last epoch of each stream removed, by which an origin that goes on is told from the next one.
const REMOVED: &str = "removed-streams";
const REMOVED_KEPT: Duration = Duration::from_secs(24 * 3600);
/// The request that last removed each stream, so that it does not miss the stream when it is repeated.
const REMOVALS: &str = "removals";
const REMOVALS_KEPT: Duration = Duration::from_secs(60);
/// The names of streams on air, so that they are found without reading all others. It follows the records: who changes one
/// changes it next, and a sweep mends what was missed.
const ON_AIR: &str = "streams-on-air";
const REPORTS: &str = "directory-reports";
/// Entries read at once in a sweep.
const SWEEP_PAGE: usize = 1_000;

/// Streams in the shared state.
#[derive(Clone)]
pub struct Store {
    /// The state.
    pub state: State,
    /// Which streams must be in it.
    pub declared: Arc<Declared>,
    /// Which streams have keys, as far as this directory has seen them.
    pub memory: Arc<Memory>,
}

impl Store {
    /// The stream `slug`.
    pub async fn stream(&self, slug: &Slug) -> Result<Option<Record>, Problem> {
        self.state.get(STREAMS, slug.as_str()).await
    }

    /// Streams after `cursor`, at most `limit`.
    pub async fn streams(&self, cursor: Option<&str>, limit: usize) -> Result<Vec<Record>, Problem> {
        let found = self.state.list(STREAMS, cursor, limit).await?;
        Ok(found.into_iter().map(|(_, record)| record).collect())
    }

    /// Names in the index of streams on air, after `cursor`, at most `limit`.
    pub async fn names_on_air(&self, cursor: Option<&str>, limit: usize) -> Result<Vec<String>, Problem> {
        let found: Vec<(String, bool)> = self.state.list(ON_AIR, cursor, limit).await?;
        Ok(found.into_iter().map(|(name, _)| name).collect())
    }

    /// The streams of these names that are still there.
    pub async fn streams_named(&self, names: &[String]) -> Result<Vec<Record>, Problem> {
        let mut records = Vec::new();
        for some in names.chunks(State::GET_ITEMS_MAX) {
            records.extend(self.state.get_many::<Record>(STREAMS, some).await?.into_iter().flatten());
        }
        Ok(records)
    }

    /// Enters a stream in the index of those on air, or takes it out unless its record says otherwise by then.
    pub async fn index(&self, slug: &Slug, on_air: bool) -> Result<(), Problem> {
        if !on_air {
            self.state.remove(ON_AIR, slug.as_str()).await?;
            // Another writer may have put it on air, and in the index, after the caller looked and before the removal.
            if !self.stream(slug).await?.is_some_and(|record| record.on_air()) {
                return Ok(());
            }
        }
        let enter = |known: Option<bool>| match known {
            Some(_) => Change::Keep(()),
            None => Change::Put { value: true, ttl: None, result: () },
        };
        self.state.update(ON_AIR, slug.as_str(), enter).await
    }

    /// Every name in the index of streams on air.
    async fn all_names_on_air(&self) -> Result<BTreeSet<String>, Problem> {
        let mut names = BTreeSet::new();
        loop {
            let page = self.names_on_air(names.last().map(String::as_str), SWEEP_PAGE).await?;
            let is_last = page.len() < SWEEP_PAGE;
            names.extend(page);
            if is_last {
                return Ok(names);
            }
        }
    }

    /// Corrects the index for a stream as a sweep found it, and takes its name out of those `indexed`.
    async fn mend_index(&self, record: &Record, indexed: &mut BTreeSet<String>) -> Result<(), Problem> {
        if indexed.remove(record.slug.as_str()) != record.on_air() {
            self.index(&record.slug, record.on_air()).await?;
        }
        Ok(())
    }

    /// Takes names out of the index of which a sweep found no stream.
    async fn forget_names(&self, names: BTreeSet<String>) -> Result<(), Problem> {
        for name in names {
            self.index(&name.parse()?, false).await?;
        }
        Ok(())
    }

    /// Makes a stream.
    ///
    /// # Errors
    /// `conflict` if it is there already.
    pub async fn create(
        &self,
        slug: &Slug,
        key: Option<StoredKey>,
        request: Uuid,
        now: u64,
    ) -> Result<Record, Problem> {
        let made_for = Some(request);
        let record = self.unpublished(slug, key, now).await?;
        let record = Record { made_for, ..record };
        let created = self.state.update(STREAMS, slug.as_str(), |known: Option<Record>| match known {
            Some(known) if known.made_for == made_for => Change::Keep(Some(known)),
            Some(_) => Change::Keep(None),
            None => Change::Put { value: record.clone(), ttl: None, result: Some(record.clone()) },
        });
        created
            .await?
            .ok_or_else(|| Problem::new(Code::Conflict, format!("stream {:?} exists already", slug.as_str())))
    }

    /// Puts a declared stream in place, as [`declared`] has it; what it is now if that changed it.
    pub async fn declare(
        &self,
        slug: &Slug,
        overrule: bool,
        now: u64,
    ) -> Result<Option<Declaration>, Problem> {
        let fresh = self.fresh(slug, now).await?;
        let decided = self.state.update(STREAMS, slug.as_str(), |known: Option<Record>| {
            let made = known.is_none();
            match declared(known, &fresh, overrule, now) {
                None => Change::Keep(None),
                Some(changed) => {
                    let value = changed.record.clone();
                    Change::Put { value, ttl: None, result: Some(Declaration { changed, made }) }
                }
            }
        });
        decided.await
    }

    /// Puts a stream back that has a key and that the state has lost, and its place in the list if it has lost that alone;
    /// the stream if it was made anew. One that was deleted is forgotten.
    pub async fn restore(&self, slug: &Slug, now: u64) -> Result<Option<Record>, Problem> {
        if !self.is_lost(slug).await? {
            return Ok(None);
        }
        let fresh = self.fresh(slug, now).await?;
        let decided = self.state.update(STREAMS, slug.as_str(), |known: Option<Record>| {
            let result = known.is_none().then(|| fresh.clone());
            Change::Put { value: known.unwrap_or_else(|| fresh.clone()), ttl: None, result }
        });
        decided.await
    }

    /// Whether a stream that is not in the state ought to be there, because it has a key and was not deleted.
    async fn is_lost(&self, slug: &Slug) -> Result<bool, Problem> {
        let Some(remembered) = self.memory.of(slug) else { return Ok(false) };
        let deleted = remembered.was_deleted(self.removed_epoch(slug).await?);
        if deleted {
            self.memory.forget(slug);
        }
        Ok(!deleted)
    }

    /// Keeps what `node` says of publishers of the stream `slug`, as [`noted`] has it; what it is now if that changed it.
    /// A stream that is not known stays so.
    pub async fn note(
        &self,
        slug: &Slug,
        node: NodeId,
        notices: &[&PublisherNotice],
    ) -> Result<Option<Record>, Problem> {
        let now = self.state.now();
        let decided = self.state.update(STREAMS, slug.as_str(), |known: Option<Record>| {
            match known.and_then(|record| noted(&record, node, notices, now)) {
                None => Change::Keep(None),
                Some(value) => Change::Put { value: value.clone(), ttl: None, result: Some(value) },
            }
        });
        decided.await
    }

    /// Removes a stream and gives what it was.
    pub async fn remove(&self, slug: &Slug) -> Result<Option<Record>, Problem> {
        let Some(record) = self.stream(slug).await? else { return Ok(None) };
        let epoch = record.epoch;
        let kept = self.state.update(REMOVED, slug.as_str(), |known: Option<u64>| Change::Put {
            value: known.unwrap_or(0).max(epoch),
            ttl: Some(REMOVED_KEPT),
            result: (),
        });
        kept.await?;
        self.memory.forget(slug);
        Ok(self.state.remove(STREAMS, slug.as_str()).await?.then_some(record))
    }

    /// Notes that `request` is about to remove a stream.
    pub async fn note_removal(&self, slug: &Slug, request: Uuid) -> Result<(), Problem> {
        let noted = self.state.update(REMOVALS, slug.as_str(), |_: Option<Uuid>| Change::Put {
            value: request,
            ttl: Some(REMOVALS_KEPT),
            result: (),
        });
        noted.await
    }

    /// Whether it was `request` that removed the stream.
    pub async fn was_removed_by(&self, slug: &Slug, request: Uuid) -> Result<bool, Problem> {
        Ok(self.state.get::<Uuid>(REMOVALS, slug.as_str()).await? == Some(request))
    }

    /// Grants `node` the next publish of `slug`, on `request`, unless another was granted since the caller saw `seen`: then none.
    pub async fn grant(
        &self,
        slug: &Slug,
        node: NodeId,
        request: Uuid,
        seen: Option<&Record>,
        heard: &[Heard],
        now: u64,
    ) -> Result<Option<(Record, Grant)>, Problem> {
        let fresh = self.fresh(slug, now).await?;
        let drawn = Incarnation::random();
        let seen_at = seen.map(|record| (record.epoch, record.origin));
        let decided = self.state.update(STREAMS, slug.as_str(), |known: Option<Record>| {
            if known.as_ref().map(|record| (record.epoch, record.origin)) != seen_at {
                return Change::Keep(None);
            }
            let record = known.unwrap_or_else(|| fresh.clone());
            let grant = next_grant(&record, heard, drawn, now);
            let granted_for = Some(request);
            let value = Record { granted_for, ..granted(record, grant.clone(), node, now) };
            Change::Put { value: value.clone(), ttl: None, result: Some((value, grant)) }
        });
        decided.await
    }

    /// Keeps what a node says of its viewers and of how far it is; whether that is news and not a late message.
    pub async fn hear_node(&self, heartbeat: &Heartbeat) -> Result<bool, Problem> {
        let (id, now) = (heartbeat.node.to_string(), self.state.now());
        let heard = self.state.update(REPORTS, &id, |known: Option<NodeReport>| match known {
            Some(known) if known.sent_at >= heartbeat.sent_at => Change::Keep(false),
            known => {
                let value = NodeReport::of(heartbeat, known.as_ref(), now);
                Change::Put { value, ttl: Some(LEASE), result: true }
            }
        });
        heard.await
    }

    /// Takes in what an origin says; gives the epoch to fence it by, or the stream if users see it changed.
    pub async fn hear_origin(&self, said: &Report, now: u64) -> Result<Outcome, Problem> {
        let fresh = self.fresh(&said.slug, now).await?;
        let decided = self.state.update(STREAMS, said.slug.as_str(), |known: Option<Record>| {
            let record = known.unwrap_or_else(|| fresh.clone());
            let before = (record.state, record.epoch, record.origin);
            let reason = record.fence_reason;
            match liveness::report(record, said, now) {
                Verdict::Fence(epoch) => Change::Keep(Outcome::Fence(epoch, reason)),
                Verdict::HeldBack(value) => {
                    let result = Outcome::Fence(value.epoch, FenceReason::Paused);
                    Change::Put { result, value: *value, ttl: None }
                }
                Verdict::Keep(value) => {
                    let changed = (value.state, value.epoch, value.origin) != before;
                    let result = if changed { Outcome::Changed(value.clone()) } else { Outcome::Same };
                    Change::Put { value: *value, ttl: None, result }
                }
            }
        });
        decided.await
    }

    /// Changes a stream as its owner wants; what that comes to, none if there is no such stream.
    pub async fn owner_wants(&self, wish: &Wish, slug: &Slug, now: u64) -> Result<Option<Changed>, Problem> {
        let decided = self.state.update(STREAMS, slug.as_str(), |known: Option<Record>| match known {
            Some(record) => {
                let changed = wish.clone().of(record, now);
                Change::Put { value: changed.record.clone(), ttl: None, result: Some(changed) }
            }
            None => Change::Keep(None),
        });
        decided.await
    }

    /// Takes in that a publisher has gone; the stream if that changed it.
    pub async fn publisher_gone(&self, gone: &PublisherGone, now: u64) -> Result<Option<Record>, Problem> {
        self.change(&gone.slug, |record| liveness::publisher_gone(record, gone, now)).await
    }

    /// Lets time pass over every stream; those it changed, and those that ought to be there and are not in place.
    pub async fn sweep(&self, now: u64, truce: bool, audience: &Audience) -> Result<Swept, Problem> {
        let passed = |record: Record| {
            let carried_at = audience.advanced_at(&record.slug, record.epoch);
            liveness::time_passed(record, now, truce, carried_at)
        };
        let mut changed = Vec::new();
        let declared = self.declared.streams();
        let mut indexed = self.all_names_on_air().await?;
        let mut undeclared: BTreeSet<Slug> = declared.keys().cloned().collect();
        let mut lost: BTreeSet<Slug> = self.memory.slugs().into_iter().collect();
        let mut cursor: Option<String> = None;
        loop {
            let page = self.streams(cursor.as_deref(), SWEEP_PAGE).await?;
            for record in &page {
                self.mend_index(record, &mut indexed).await?;
                if record.key.is_some() || declared.get(&record.slug).is_some_and(Option::is_none) {
                    undeclared.remove(&record.slug);
                }
                lost.remove(&record.slug);
                self.memory.note(record);
                if passed(record.clone()).is_some() {
                    changed.extend(self.change(&record.slug, passed).await?);
                }
            }
            match page.last() {
                Some(last) if page.len() == SWEEP_PAGE => cursor = Some(last.slug.as_str().into()),
                _ => break,
            }
        }
        self.forget_names(indexed).await?;
        Ok(Swept { changed, undeclared, lost })
    }

    /// Sums up what every living node last said.
    pub async fn audience(&self) -> Result<Audience, Problem> {
        let mut audience = Audience::default();
        let mut cursor: Option<String> = None;
        loop {
            let page: Vec<(String, NodeReport)> =
                self.state.list(REPORTS, cursor.as_deref(), SWEEP_PAGE).await?;
            cursor = page.last().map(|(id, _)| id.clone());
            let full = page.len() == SWEEP_PAGE;
            for (id, report) in page {
                audience.add(id.parse()?, report);
            }
            if !full {
                return Ok(audience);
            }
        }
    }

    async fn change(
        &self,
        slug: &Slug,
        mut rule: impl FnMut(Record) -> Option<Record> + Send,
    ) -> Result<Option<Record>, Problem> {
        let decided = self.state.update(STREAMS, slug.as_str(), |known: Option<Record>| {
            match known.and_then(&mut rule) {
                Some(value) => Change::Put { value: value.clone(), ttl: None, result: Some(value) },
                None => Change::Keep(None),
            }
        });
        decided.await
    }

    /// A stream that is not known, with the key that it is declared with, or had before the state lost it.
    async fn fresh(&self, slug: &Slug, now: u64) -> Result<Record, Problem> {
        let key = self.declared.streams().get(slug).cloned().flatten();
        let declared_at = if key.is_some() { self.declared.as_of() } else { 0 };
        let is_declared = key.is_some();
        let fresh = Record { declared_at, ..self.unpublished(slug, key, now).await? };
        match self.memory.of(slug) {
            Some(remembered) if !is_declared && self.is_lost(slug).await? => {
                Ok(remembered.restored(fresh, now))
            }
            _ => Ok(fresh),
        }
    }

    /// A stream that nobody has published. One that was removed before has a new incarnation, although relays may still
    /// carry the one before.
    async fn unpublished(&self, slug: &Slug, key: Option<StoredKey>, now: u64) -> Result<Record, Problem> {
        let removed = self.removed_epoch(slug).await?;
        let incarnation = if removed.is_some() { Incarnation::random() } else { Incarnation::default() };
        // Past the one that was removed, so that its removal is not taken for that of this one.
        let epoch = removed.map_or(0, |epoch| epoch + 1);
        Ok(Record { incarnation, ..Record::new(slug.clone(), key, epoch, now) })
    }

    /// The last epoch of the stream that was removed under this name, if one was.
    async fn removed_epoch(&self, slug: &Slug) -> Result<Option<u64>, Problem> {
        self.state.get(REMOVED, slug.as_str()).await
    }
}

/// What a look at every stream came to.
pub struct Swept {
    /// Streams that time has changed.
    pub changed: Vec<Record>,
    /// Streams that are declared and are not in place.
    pub undeclared: BTreeSet<Slug>,
    /// Streams that have keys and are not listed.
    pub lost: BTreeSet<Slug>,
}

/// What became of a declared stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The stream now, and whose publisher must stop.
    pub changed: Changed,
    /// Whether it was not there before.
    pub made: bool,
}

/// What a word of an origin came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is no longer origin, and must hear of this epoch, and why.
    Fence(u64, FenceReason),
    /// Users see the stream changed.
    Changed(Box<Record>),
    /// Taken in.
    Same,
}
