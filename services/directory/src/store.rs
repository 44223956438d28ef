//! The directory's reads and writes.

use crate::audience::{Audience, NodeReport};
use crate::change::{Changed, Wish};
use crate::grant::{Heard, granted, next_grant};
use crate::liveness::{self, Report, Verdict};
use crate::publish_key::StoredKey;
use crate::record::Record;
use astral_backend::{Change, State};
use astral_proto::limits::LEASE;
use astral_proto::message::{Grant, Heartbeat, PublisherGone};
use astral_proto::{Code, NodeId, Problem, Slug};
use std::time::Duration;

const STREAMS: &str = "streams";
/// The last epoch of each stream removed, so that its URLs are not used again while caches hold them.
const REMOVED: &str = "removed-streams";
const REMOVED_KEPT: Duration = Duration::from_secs(24 * 3600);
const REPORTS: &str = "directory-reports";
/// Entries read at once in a sweep.
const SWEEP_PAGE: usize = 1_000;

/// Streams in the shared state.
#[derive(Clone)]
pub struct Store(pub State);

impl Store {
    /// The stream `slug`.
    pub async fn stream(&self, slug: &Slug) -> Result<Option<Record>, Problem> {
        self.0.get(STREAMS, slug.as_str()).await
    }

    /// Streams after `cursor`, at most `limit`.
    pub async fn streams(&self, cursor: Option<&str>, limit: usize) -> Result<Vec<Record>, Problem> {
        let found = self.0.list(STREAMS, cursor, limit).await?;
        Ok(found.into_iter().map(|(_, record)| record).collect())
    }

    /// Makes a stream.
    ///
    /// # Errors
    /// `conflict` if it is there already.
    pub async fn create(&self, slug: &Slug, key: Option<StoredKey>, now: u64) -> Result<Record, Problem> {
        let record = Record::new(slug.clone(), key, self.last_removed_epoch(slug).await?, now);
        let created = self.0.update(STREAMS, slug.as_str(), |known: Option<Record>| match known {
            Some(_) => Change::Keep(None),
            None => Change::Put { value: record.clone(), ttl: None, result: Some(record.clone()) },
        });
        created
            .await?
            .ok_or_else(|| Problem::new(Code::Conflict, format!("stream {:?} exists already", slug.as_str())))
    }

    /// Removes a stream and gives what it was.
    pub async fn remove(&self, slug: &Slug) -> Result<Option<Record>, Problem> {
        let Some(record) = self.stream(slug).await? else { return Ok(None) };
        let epoch = record.epoch;
        let kept = self.0.update(REMOVED, slug.as_str(), |known: Option<u64>| Change::Put {
            value: known.unwrap_or(0).max(epoch),
            ttl: Some(REMOVED_KEPT),
            result: (),
        });
        kept.await?;
        Ok(self.0.remove(STREAMS, slug.as_str()).await?.then_some(record))
    }

    /// Grants `node` the next publish of `slug`, unless another was granted since the caller saw `seen`: then none.
    pub async fn grant(
        &self,
        slug: &Slug,
        node: NodeId,
        seen: Option<&Record>,
        heard: &[Heard],
        now: u64,
    ) -> Result<Option<(Record, Grant)>, Problem> {
        let fresh = Record::new(slug.clone(), None, self.last_removed_epoch(slug).await?, now);
        let seen_at = seen.map(|record| (record.epoch, record.origin));
        let decided = self.0.update(STREAMS, slug.as_str(), |known: Option<Record>| {
            if known.as_ref().map(|record| (record.epoch, record.origin)) != seen_at {
                return Change::Keep(None);
            }
            let record = known.unwrap_or_else(|| fresh.clone());
            let grant = next_grant(&record, heard, now);
            let value = granted(record, grant.clone(), node, now);
            Change::Put { value: value.clone(), ttl: None, result: Some((value, grant)) }
        });
        decided.await
    }

    /// Keeps what a node says of its viewers; whether that is news and not a late message.
    pub async fn hear_node(&self, heartbeat: &Heartbeat) -> Result<bool, Problem> {
        let report = NodeReport::of(heartbeat);
        let id = heartbeat.node.to_string();
        let heard = self.0.update(REPORTS, &id, |known: Option<NodeReport>| match known {
            Some(known) if known.sent_at >= report.sent_at => Change::Keep(false),
            _ => Change::Put { value: report.clone(), ttl: Some(LEASE), result: true },
        });
        heard.await
    }

    /// Takes in what an origin says; gives the epoch to fence it by, or the stream if users see it changed.
    pub async fn hear_origin(&self, said: &Report, now: u64) -> Result<Outcome, Problem> {
        let removed = self.last_removed_epoch(&said.slug).await?;
        let fresh = Record::new(said.slug.clone(), None, removed, now);
        let decided = self.0.update(STREAMS, said.slug.as_str(), |known: Option<Record>| {
            let record = known.unwrap_or_else(|| fresh.clone());
            let before = (record.state, record.epoch, record.origin);
            match liveness::report(record, said, now) {
                Verdict::Fence(epoch) => Change::Keep(Outcome::Fence(epoch)),
                Verdict::HeldBack(value) => {
                    Change::Put { result: Outcome::Fence(value.epoch), value: *value, ttl: None }
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
        let decided = self.0.update(STREAMS, slug.as_str(), |known: Option<Record>| match known {
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

    /// Lets time pass over every stream; those it changed.
    pub async fn sweep(&self, now: u64, truce: bool) -> Result<Vec<Record>, Problem> {
        let mut changed = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = self.streams(cursor.as_deref(), SWEEP_PAGE).await?;
            for record in &page {
                if liveness::time_passed(record.clone(), now, truce).is_some() {
                    let rule = |record| liveness::time_passed(record, now, truce);
                    changed.extend(self.change(&record.slug, rule).await?);
                }
            }
            match page.last() {
                Some(last) if page.len() == SWEEP_PAGE => cursor = Some(last.slug.as_str().into()),
                _ => return Ok(changed),
            }
        }
    }

    /// Sums up what every living node last said.
    pub async fn audience(&self) -> Result<Audience, Problem> {
        let mut audience = Audience::default();
        let mut cursor: Option<String> = None;
        loop {
            let page: Vec<(String, NodeReport)> = self.0.list(REPORTS, cursor.as_deref(), SWEEP_PAGE).await?;
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
        let decided =
            self.0.update(STREAMS, slug.as_str(), |known: Option<Record>| match known.and_then(&mut rule) {
                Some(value) => Change::Put { value: value.clone(), ttl: None, result: Some(value) },
                None => Change::Keep(None),
            });
        decided.await
    }

    async fn last_removed_epoch(&self, slug: &Slug) -> Result<u64, Problem> {
        Ok(self.0.get(REMOVED, slug.as_str()).await?.unwrap_or(0))
    }
}

/// What a word of an origin came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is no longer origin, and must hear of this epoch.
    Fence(u64),
    /// Users see the stream changed.
    Changed(Box<Record>),
    /// Taken in.
    Same,
}
