//! Shared state: JSON values in named collections, any of them on a lease.

mod local;

use astral_proto::{Code, Problem};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use std::{sync::Arc, time::Duration};

/// Times [`State::update`] decides anew because another writer came between.
const UPDATE_TRIES_MAX: usize = 128;
/// Largest value, in bytes of JSON.
const VALUE_BYTES_MAX: usize = astral_proto::limits::MESSAGE_BYTES_MAX;

/// A handle on the shared state, cheap to clone.
#[derive(Clone)]
pub struct State {
    store: Store,
}

#[derive(Clone)]
enum Store {
    Local(Arc<local::Store>),
}

/// What becomes of an entry, and what its [`State::update`] answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<T, R> {
    /// It stays as it is, on the lease it has.
    Keep(R),
    /// It is now `value`.
    Put {
        /// The new value.
        value: T,
        /// How long it lives unless put again; for ever if none.
        ttl: Option<Duration>,
        /// The answer.
        result: R,
    },
    /// It goes.
    Remove(R),
}

/// A value as stored, with the version that a conditional write names.
struct Versioned {
    bytes: Bytes,
    version: u64,
}

/// A change as stored.
enum Write {
    Put { bytes: Bytes, ttl: Option<Duration> },
    Remove,
}

impl State {
    /// Most entries that one [`State::list`] gives.
    pub const LIST_ITEMS_MAX: usize = 10_000;

    /// An empty state within this process.
    pub(crate) fn local() -> Self {
        Self { store: Store::Local(Arc::default()) }
    }

    /// The entry `id`, none if there is none or its lease has ended.
    ///
    /// # Errors
    /// `internal` if the entry is not a `T`.
    pub async fn get<T: DeserializeOwned>(&self, collection: &str, id: &str) -> Result<Option<T>, Problem> {
        let found = self.read(collection, id).await?;
        found.map(|found| decode(collection, id, &found.bytes)).transpose()
    }

    /// Entries ordered by id, from the first one `after` the given id, at most `limit` of them.
    ///
    /// # Errors
    /// `bad_request` if `limit` is over [`State::LIST_ITEMS_MAX`]; `internal` if an entry is not a `T`.
    pub async fn list<T: DeserializeOwned>(
        &self,
        collection: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, T)>, Problem> {
        if limit > Self::LIST_ITEMS_MAX {
            let detail = format!("a list of {limit} entries is over the limit of {}", Self::LIST_ITEMS_MAX);
            return Err(Problem::new(Code::BadRequest, detail));
        }
        let entries = match &self.store {
            Store::Local(store) => store.list(collection, after, limit),
        };
        let decoded = entries.into_iter().map(|(id, bytes)| {
            let value = decode(collection, &id, &bytes)?;
            Ok((id, value))
        });
        decoded.collect()
    }

    /// Reads the entry `id`, lets `decide` choose, and writes the choice, as one step: no other writer comes between.
    /// `decide` may run several times, each time with the entry as it is then, and only its last choice counts.
    ///
    /// # Errors
    /// `unavailable` if other writers came between again and again; `bad_request` if the value is over 1 MiB;
    /// `internal` if the entry is not a `T`.
    pub async fn update<T, R>(
        &self,
        collection: &str,
        id: &str,
        mut decide: impl FnMut(Option<T>) -> Change<T, R> + Send,
    ) -> Result<R, Problem>
    where
        T: Serialize + DeserializeOwned + Send,
        R: Send,
    {
        for _ in 0..UPDATE_TRIES_MAX {
            let found = self.read(collection, id).await?;
            let version = found.as_ref().map(|found| found.version);
            let value = found.map(|found| decode(collection, id, &found.bytes)).transpose()?;
            let (write, result) = match decide(value) {
                Change::Keep(result) => return Ok(result),
                Change::Put { value, ttl, result } => {
                    (Write::Put { bytes: encode(collection, id, &value)?, ttl }, result)
                }
                Change::Remove(result) => (Write::Remove, result),
            };
            if self.write_if(collection, id, version, write).await? {
                return Ok(result);
            }
            tokio::task::yield_now().await;
        }
        let detail = format!("{collection}/{id} was changed by others {UPDATE_TRIES_MAX} times in a row");
        Err(Problem::new(Code::Unavailable, detail))
    }

    /// Removes the entry `id`; says whether there was one.
    ///
    /// # Errors
    /// None within one process; `unavailable` where the state is elsewhere and cannot be reached.
    pub async fn remove(&self, collection: &str, id: &str) -> Result<bool, Problem> {
        match &self.store {
            Store::Local(store) => Ok(store.remove(collection, id)),
        }
    }

    async fn read(&self, collection: &str, id: &str) -> Result<Option<Versioned>, Problem> {
        match &self.store {
            Store::Local(store) => Ok(store.read(collection, id)),
        }
    }

    /// Writes if the entry is still at `version`, none meaning absent; says whether it did.
    async fn write_if(
        &self,
        collection: &str,
        id: &str,
        version: Option<u64>,
        write: Write,
    ) -> Result<bool, Problem> {
        match &self.store {
            Store::Local(store) => Ok(store.write_if(collection, id, version, write)),
        }
    }
}

fn encode<T: Serialize>(collection: &str, id: &str, value: &T) -> Result<Bytes, Problem> {
    let bytes = serde_json::to_vec(value).map_err(|error| {
        Problem::new(Code::Internal, format!("{collection}/{id} cannot be written as JSON: {error}"))
    })?;
    if bytes.len() > VALUE_BYTES_MAX {
        let detail =
            format!("{} bytes for {collection}/{id} are over the limit of {VALUE_BYTES_MAX}", bytes.len());
        return Err(Problem::new(Code::BadRequest, detail));
    }
    Ok(bytes.into())
}

fn decode<T: DeserializeOwned>(collection: &str, id: &str, bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::new(Code::Internal, format!("{collection}/{id} cannot be read: {error}")))
}
