//! The index of streams on air, by which they are listed without reading all others.

use super::{STREAMS, SWEEP_PAGE, Store};
use crate::record::Record;
use astral_backend::{Change, State};
use astral_proto::{Problem, Slug};
use std::collections::BTreeSet;

/// The names of streams on air, so that they are found without reading all others. It follows the records: who changes one
/// changes it next, and a sweep mends what was missed.
const ON_AIR: &str = "streams-on-air";

impl Store {
    /// Names in the index of streams on air, after `cursor`, at most `limit`.
    pub async fn names_on_air(
        &self,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Problem> {
        let found: Vec<(String, bool)> = self.state.list(ON_AIR, cursor, limit).await?;
        Ok(found.into_iter().map(|(name, _)| name).collect())
    }

    /// The streams of these names that are still there.
    pub async fn streams_named(&self, names: &[String]) -> Result<Vec<Record>, Problem> {
        let mut records = Vec::new();
        for some in names.chunks(State::GET_ITEMS_MAX) {
            records.extend(
                self.state
                    .get_many::<Record>(STREAMS, some)
                    .await?
                    .into_iter()
                    .flatten(),
            );
        }
        Ok(records)
    }

    /// Enters a stream in the index of those on air, or takes it out unless its record says otherwise by then.
    pub async fn index(&self, slug: &Slug, on_air: bool) -> Result<(), Problem> {
        if !on_air {
            self.state.remove(ON_AIR, slug.as_str()).await?;
            // Another writer may have put it on air, and in the index, after the caller looked and before the removal.
            if !self
                .stream(slug)
                .await?
                .is_some_and(|record| record.on_air())
            {
                return Ok(());
            }
        }
        let enter = |known: Option<bool>| match known {
            Some(_) => Change::Keep(()),
            None => Change::Put {
                value: true,
                ttl: None,
                result: (),
            },
        };
        self.state.update(ON_AIR, slug.as_str(), enter).await
    }

    /// Every name in the index of streams on air.
    pub(super) async fn all_names_on_air(&self) -> Result<BTreeSet<String>, Problem> {
        let mut names = BTreeSet::new();
        loop {
            let page = self
                .names_on_air(names.last().map(String::as_str), SWEEP_PAGE)
                .await?;
            let is_last = page.len() < SWEEP_PAGE;
            names.extend(page);
            if is_last {
                return Ok(names);
            }
        }
    }

    /// Corrects the index for a stream as a sweep found it, and takes its name out of those `indexed`.
    pub(super) async fn mend_index(
        &self,
        record: &Record,
        indexed: &mut BTreeSet<String>,
    ) -> Result<(), Problem> {
        if indexed.remove(record.slug.as_str()) != record.on_air() {
            self.index(&record.slug, record.on_air()).await?;
        }
        Ok(())
    }

    /// Takes names out of the index of which a sweep found no stream.
    pub(super) async fn forget_names(&self, names: BTreeSet<String>) -> Result<(), Problem> {
        for name in names {
            match name.parse() {
                Ok(slug) => self.index(&slug, false).await?,
                // No stream has such a name, whoever has entered it.
                Err(_) => drop(self.state.remove(ON_AIR, &name).await?),
            }
        }
        Ok(())
    }
}
