//! Streams that must be there: those that are declared, and those with keys that the state has lost.

use super::{REMOVED, STREAMS, Store};
use crate::change::Changed;
use crate::declared::declared;
use crate::publish_key::StoredKey;
use crate::record::Record;
use astral_backend::Change;
use astral_proto::{Problem, Slug, UnixMillis};

/// What became of a declared stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The stream now, and whose publisher must stop.
    pub changed: Changed,
    /// Whether it was not there before.
    pub made: bool,
}

impl Store {
    /// Puts a declared stream in place, as [`declared`] has it; what it is now if that changed it.
    pub async fn declare(
        &self,
        slug: &Slug,
        overrule: bool,
        now: UnixMillis,
    ) -> Result<Option<Declaration>, Problem> {
        let fresh = self.fresh(slug, now).await?;
        let decided = self
            .state
            .update(STREAMS, slug.as_str(), |known: Option<Record>| {
                let made = known.is_none();
                match declared(known, &fresh, overrule, now) {
                    None => Change::Keep(None),
                    Some(changed) => {
                        let value = changed.record.clone();
                        Change::Put {
                            value,
                            ttl: None,
                            result: Some(Declaration { changed, made }),
                        }
                    }
                }
            });
        decided.await
    }

    /// Puts a stream back that has a key and that the state has lost, and its place in the list if it has lost that alone;
    /// the stream if it was made anew. One that was deleted is forgotten.
    pub async fn restore(&self, slug: &Slug, now: UnixMillis) -> Result<Option<Record>, Problem> {
        if !self.is_lost(slug).await? {
            return Ok(None);
        }
        let fresh = self.fresh(slug, now).await?;
        let decided = self
            .state
            .update(STREAMS, slug.as_str(), |known: Option<Record>| {
                let result = known.is_none().then(|| fresh.clone());
                Change::Put {
                    value: known.unwrap_or_else(|| fresh.clone()),
                    ttl: None,
                    result,
                }
            });
        decided.await
    }

    /// Whether a stream that is not in the state ought to be there, because it has a key and was not deleted.
    async fn is_lost(&self, slug: &Slug) -> Result<bool, Problem> {
        let Some(remembered) = self.memory.of(slug) else {
            return Ok(false);
        };
        let deleted = remembered.was_deleted(self.removed_epoch(slug).await?);
        if deleted {
            self.memory.forget(slug);
        }
        Ok(!deleted)
    }

    /// A stream that is not known, with the key that it is declared with, or had before the state lost it.
    pub(super) async fn fresh(&self, slug: &Slug, now: UnixMillis) -> Result<Record, Problem> {
        let removed = self.removed_epoch(slug).await?;
        let declared = self.declared.streams().get(slug).cloned().flatten();
        if declared.is_some() {
            let declared_at = self.declared.as_of();
            return Ok(Record {
                declared_at,
                ..self.unpublished_after(slug, declared, removed, now)
            });
        }
        let fresh = self.unpublished_after(slug, None, removed, now);
        let remembered = self
            .memory
            .of(slug)
            .filter(|remembered| !remembered.was_deleted(removed));
        Ok(match remembered {
            Some(remembered) => remembered.restored(fresh, now),
            None => fresh,
        })
    }

    /// A stream that nobody has published, with `key`.
    pub(super) async fn unpublished(
        &self,
        slug: &Slug,
        key: Option<StoredKey>,
        now: UnixMillis,
    ) -> Result<Record, Problem> {
        let removed = self.removed_epoch(slug).await?;
        Ok(self.unpublished_after(slug, key, removed, now))
    }

    /// The last epoch of the stream that was removed under this name, if one was.
    async fn removed_epoch(&self, slug: &Slug) -> Result<Option<u64>, Problem> {
        self.state.get(REMOVED, slug.as_str()).await
    }

    /// A stream that nobody has published yet.
    ///
    /// If a stream of this name was removed before, with `removed` as its last epoch, the new one gets a higher epoch and a
    /// new incarnation. Otherwise relays that still carry the old one would take the two for the same.
    fn unpublished_after(
        &self,
        slug: &Slug,
        key: Option<StoredKey>,
        removed: Option<u64>,
        now: UnixMillis,
    ) -> Record {
        let fresh = Record::new(slug.clone(), key, 0, now);
        match removed {
            None => fresh,
            Some(epoch) => Record {
                incarnation: self.env.incarnation(),
                epoch: epoch + 1,
                ..fresh
            },
        }
    }
}
