//! The directory's reads and writes.

mod index;
mod kept;

use crate::Error;
use crate::audience::{Audience, NodeReport};
use crate::change::{Changed, Wish};
use crate::declared::Declared;
use crate::grant::{Heard, granted, next_grant};
use crate::liveness::{self, Report, Verdict};
use crate::lost::Memory;
use crate::notices::noted;
use crate::publish_key::StoredKey;
use crate::record::Record;
use astral_backend::{Change, State};
use astral_env::Env;
use astral_proto::limits::LEASE;
use astral_proto::message::{FenceReason, Grant, Heartbeat, PublisherGone, PublisherNotice};
use astral_proto::{NodeId, Problem, Slug, UnixMillis};
pub use kept::Declaration;
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
const REPORTS: &str = "directory-reports";
/// Entries read at once in a sweep.
const SWEEP_PAGE: usize = 1_000;

/// Streams in the shared state.
#[derive(Clone)]
pub struct Store {
    /// The state.
    pub state: State,
    /// The clock and the random source.
    pub env: Env,
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
    pub async fn streams(
        &self,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, Problem> {
        let found = self.state.list(STREAMS, cursor, limit).await?;
        Ok(found.into_iter().map(|(_, record)| record).collect())
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
        now: UnixMillis,
    ) -> Result<Record, Error> {
        let made_for = Some(request);
        let record = self.unpublished(slug, key, now).await?;
        let record = Record { made_for, ..record };
        let created = self.state.update(
            STREAMS,
            slug.as_str(),
            |known: Option<Record>| match known {
                Some(known) if known.made_for == made_for => Change::Keep(Some(known)),
                Some(_) => Change::Keep(None),
                None => Change::Put {
                    value: record.clone(),
                    ttl: None,
                    result: Some(record.clone()),
                },
            },
        );
        created
            .await?
            .ok_or_else(|| Error::StreamExists(slug.clone()))
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
        let decided =
            self.state
                .update(STREAMS, slug.as_str(), |known: Option<Record>| match known
                    .and_then(|record| noted(&record, node, notices, now))
                {
                    None => Change::Keep(None),
                    Some(value) => Change::Put {
                        value: value.clone(),
                        ttl: None,
                        result: Some(value),
                    },
                });
        decided.await
    }

    /// Removes a stream and gives what it was.
    pub async fn remove(&self, slug: &Slug) -> Result<Option<Record>, Problem> {
        let Some(record) = self.stream(slug).await? else {
            return Ok(None);
        };
        let epoch = record.epoch;
        let kept = self
            .state
            .update(REMOVED, slug.as_str(), |known: Option<u64>| Change::Put {
                value: known.unwrap_or(0).max(epoch),
                ttl: Some(REMOVED_KEPT),
                result: (),
            });
        kept.await?;
        self.memory.forget(slug);
        Ok(self
            .state
            .remove(STREAMS, slug.as_str())
            .await?
            .then_some(record))
    }

    /// Notes that `request` is about to remove a stream.
    pub async fn note_removal(&self, slug: &Slug, request: Uuid) -> Result<(), Problem> {
        let noted = self
            .state
            .update(REMOVALS, slug.as_str(), |_: Option<Uuid>| Change::Put {
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
        now: UnixMillis,
    ) -> Result<Option<(Record, Grant)>, Problem> {
        let fresh = self.fresh(slug, now).await?;
        let drawn = self.env.incarnation();
        let seen_at = seen.map(|record| (record.epoch, record.origin));
        let decided = self
            .state
            .update(STREAMS, slug.as_str(), |known: Option<Record>| {
                if known.as_ref().map(|record| (record.epoch, record.origin)) != seen_at {
                    return Change::Keep(None);
                }
                let record = known.unwrap_or_else(|| fresh.clone());
                let grant = next_grant(&record, heard, drawn, now);
                let granted_for = Some(request);
                let value = Record {
                    granted_for,
                    ..granted(record, grant.clone(), node, now)
                };
                Change::Put {
                    value: value.clone(),
                    ttl: None,
                    result: Some((value, grant)),
                }
            });
        decided.await
    }

    /// Keeps what a node says of its viewers and of how far it is; whether that is news and not a late message.
    pub async fn hear_node(&self, heartbeat: &Heartbeat) -> Result<bool, Problem> {
        let id = heartbeat.node.to_string();
        let now = self.state.now();
        let heard = self
            .state
            .update(REPORTS, &id, |known: Option<NodeReport>| match known {
                Some(known) if known.sent_at >= heartbeat.sent_at => Change::Keep(false),
                known => {
                    let value = NodeReport::of(heartbeat, known.as_ref(), now);
                    Change::Put {
                        value,
                        ttl: Some(LEASE),
                        result: true,
                    }
                }
            });
        heard.await
    }

    /// Takes in what an origin says; gives the epoch to fence it by, or the stream if users see it changed.
    pub async fn hear_origin(&self, said: &Report, now: UnixMillis) -> Result<Outcome, Problem> {
        let fresh = self.fresh(&said.slug, now).await?;
        let decided = self
            .state
            .update(STREAMS, said.slug.as_str(), |known: Option<Record>| {
                let record = known.unwrap_or_else(|| fresh.clone());
                let before = (record.state, record.epoch, record.origin);
                let reason = record.fence_reason;
                match liveness::report(record, said, now) {
                    Verdict::Fence(epoch) => Change::Keep(Outcome::Fence(epoch, reason)),
                    Verdict::HeldBack(value) => {
                        let result = Outcome::Fence(value.epoch, FenceReason::Paused);
                        Change::Put {
                            result,
                            value: *value,
                            ttl: None,
                        }
                    }
                    Verdict::Keep(value) => {
                        let changed = (value.state, value.epoch, value.origin) != before;
                        let result = if changed {
                            Outcome::Changed(value.clone())
                        } else {
                            Outcome::Same
                        };
                        Change::Put {
                            value: *value,
                            ttl: None,
                            result,
                        }
                    }
                }
            });
        decided.await
    }

    /// Changes a stream as its owner wants; what that comes to, none if there is no such stream.
    pub async fn owner_wants(
        &self,
        wish: &Wish,
        slug: &Slug,
        now: UnixMillis,
    ) -> Result<Option<Changed>, Problem> {
        let decided = self.state.update(
            STREAMS,
            slug.as_str(),
            |known: Option<Record>| match known {
                Some(record) => {
                    let changed = wish.clone().of(record, now);
                    Change::Put {
                        value: changed.record.clone(),
                        ttl: None,
                        result: Some(changed),
                    }
                }
                None => Change::Keep(None),
            },
        );
        decided.await
    }

    /// Takes in that a publisher has gone; the stream if that changed it.
    pub async fn publisher_gone(
        &self,
        gone: &PublisherGone,
        now: UnixMillis,
    ) -> Result<Option<Record>, Problem> {
        self.change(&gone.slug, |record| {
            liveness::publisher_gone(record, gone, now)
        })
        .await
    }

    /// Lets time pass over every stream; those it changed, and those that ought to be there and are not in place.
    pub async fn sweep(
        &self,
        now: UnixMillis,
        truce: bool,
        audience: &Audience,
    ) -> Result<Swept, Problem> {
        let passed = |record: Record| {
            let carried_at = audience.advanced_at(&record.slug, record.epoch);
            liveness::time_passed(record, now, truce, carried_at)
        };
        let mut changed = Vec::new();
        let declared = self.declared.streams();
        let mut indexed = self.all_names_on_air().await?;
        let mut undeclared: BTreeSet<Slug> = declared.keys().cloned().collect();
        self.memory.begin_sweep();
        let mut cursor: Option<String> = None;
        loop {
            let page = self.streams(cursor.as_deref(), SWEEP_PAGE).await?;
            for record in &page {
                self.mend_index(record, &mut indexed).await?;
                if record.key.is_some() || declared.get(&record.slug).is_some_and(Option::is_none) {
                    undeclared.remove(&record.slug);
                }
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
        Ok(Swept {
            changed,
            undeclared,
            lost: self.memory.unseen(),
        })
    }

    /// Sums up what every living node last said.
    pub async fn audience(&self) -> Result<Audience, Problem> {
        let mut audience = Audience::default();
        let mut cursor: Option<String> = None;
        loop {
            let page: Vec<(String, NodeReport)> = self
                .state
                .list(REPORTS, cursor.as_deref(), SWEEP_PAGE)
                .await?;
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
            self.state
                .update(STREAMS, slug.as_str(), |known: Option<Record>| match known
                    .and_then(&mut rule)
                {
                    Some(value) => Change::Put {
                        value: value.clone(),
                        ttl: None,
                        result: Some(value),
                    },
                    None => Change::Keep(None),
                });
        decided.await
    }
}

/// What a look at every stream came to.
pub struct Swept {
    /// Streams that time has changed.
    pub changed: Vec<Record>,
    /// Streams that are declared and are not in place.
    pub undeclared: BTreeSet<Slug>,
    /// Streams that have keys and are not listed.
    pub lost: Vec<Slug>,
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
