//! Shared state: JSON values in named collections, any of them on a lease.

mod faults;
mod local;
mod redis;
mod unknown;
mod versioned;

use crate::clock::Clock;
use crate::injection::{FaultInjector, Process};
use crate::observe::Operation;
use astral_env::Env;
use astral_proto::{Code, Problem, UnixMillis};
use bytes::Bytes;
pub use faults::StateFaults;
pub(crate) use redis::UrlError;
use serde::{Serialize, de::DeserializeOwned};
use std::{sync::Arc, time::Duration};
use unknown::Unknown;
pub use versioned::Version;

/// Times [`State::update`] decides anew because another writer came between.
const UPDATE_TRIES_MAX: u32 = 128;
/// Longest pause before that, where the state is elsewhere.
const UPDATE_PAUSE_MAX: Duration = Duration::from_millis(16);
/// Largest value, in bytes of JSON.
const VALUE_BYTES_MAX: usize = astral_proto::limits::MESSAGE_BYTES_MAX;

/// A handle on the shared state, cheap to clone.
#[derive(Clone)]
pub struct State {
    store: Store,
    /// The clock by which everything in the state expires.
    clock: Arc<Clock>,
    /// How operations reach the store; None where nothing is in their way.
    way: Option<faults::Way>,
}

#[derive(Clone)]
enum Store {
    Local(Arc<local::Store>),
    Redis(Arc<redis::Store>),
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

impl Write {
    /// What the entry is afterwards; None if there is none.
    fn value(&self) -> Option<Bytes> {
        match self {
            Write::Put { bytes, .. } => Some(bytes.clone()),
            Write::Remove => None,
        }
    }
}

impl State {
    /// Most entries that one [`State::list`] gives.
    pub const LIST_ITEMS_MAX: usize = 10_000;

    /// An empty state within this process.
    pub(crate) fn local(env: Env) -> Self {
        Self {
            store: Store::Local(Arc::default()),
            clock: Arc::new(Clock::new(env)),
            way: None,
        }
    }

    /// An empty state within this process that fails as `injector` decides.
    pub(crate) fn with_faults(injector: &FaultInjector, env: Env) -> Self {
        let way = faults::Way::new(injector.clone(), Process::default(), env);
        Self {
            store: Store::Local(Arc::new(local::Store::observed_by(injector.clone()))),
            clock: Arc::clone(&way.clock),
            way: Some(way),
        }
    }

    /// The same state as another process has it.
    pub(crate) fn of_process(&self, process: Process, env: Env) -> Self {
        let way = self.way.as_ref().map(|way| way.of(process, env));
        Self {
            store: self.store.clone(),
            clock: match &way {
                Some(way) => Arc::clone(&way.clock),
                None => Arc::clone(&self.clock),
            },
            way,
        }
    }

    /// Removes every entry, as a Redis that restarts without its data. Returns whether it did: only a state within the
    /// process can.
    pub fn forget_everything(&self) -> bool {
        match &self.store {
            Store::Local(store) => {
                store.forget_everything();
                true
            }
            Store::Redis(_) => false,
        }
    }

    /// The state on the Redis at `url`, whether or not it is there yet.
    pub(crate) fn redis(url: &str, env: Env) -> Result<Self, UrlError> {
        let store = redis::Store::open(url, env)?;
        Ok(Self {
            clock: store.clock(),
            store: Store::Redis(Arc::new(store)),
            way: None,
        })
    }

    /// The date by the clock of the state, which all processes share: their own clocks may differ.
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    pub(crate) fn clock(&self) -> Arc<Clock> {
        Arc::clone(&self.clock)
    }

    /// Asks whether the state is there and takes writes, and reads its clock.
    pub(crate) async fn probe(&self) -> Result<(), Problem> {
        match (&self.store, &self.way) {
            (Store::Redis(store), _) => store.probe().await,
            (Store::Local(_), Some(way)) => way.probe(),
            (Store::Local(_), None) => Ok(()),
        }
    }

    /// The entry `id`, none if there is none or its lease has ended.
    ///
    /// # Errors
    /// `internal` if the entry is not a `T`; as all calls, `control_plane_away` or `timeout` where the state is
    /// elsewhere and away. A state that refuses writes is away: what nobody can renew ends.
    pub async fn get<T: DeserializeOwned>(
        &self,
        collection: &str,
        id: &str,
    ) -> Result<Option<T>, Problem> {
        let found = self.read(collection, id).await?;
        self.refuse_half_truths()?;
        found
            .map(|found| decode(collection, id, &found.bytes))
            .transpose()
    }

    /// Entries ordered by id, from the first one `after` the given id, at most `limit` of them; fewer only at the end.
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
            let detail = format!(
                "a list of {limit} entries is over the limit of {}",
                Self::LIST_ITEMS_MAX
            );
            return Err(Problem::new(Code::BadRequest, detail));
        }
        let listing = async {
            match &self.store {
                Store::Local(store) => Ok(store.list(collection, after, limit)),
                Store::Redis(store) => store.list(collection, after, limit).await,
            }
        };
        let entries = self.run("list", collection, listing).await?;
        self.refuse_half_truths()?;
        let decoded = entries.into_iter().map(|(id, bytes)| {
            let value = decode(collection, &id, &bytes)?;
            Ok((id, value))
        });
        decoded.collect()
    }

    /// Reads the entry `id`, lets `decide` choose, and writes the choice, as one step: no other writer comes between.
    /// `decide` may run several times, each time with the entry as it is then, and only its last choice counts.
    /// Fields and enum values of the entry that `T` does not know are kept.
    ///
    /// # Errors
    /// `unavailable` if other writers came between again and again; `bad_request` if the value is over 1 MiB;
    /// `internal` if the entry is not a `T`. After `timeout` it is not known whether the choice was written.
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
        for tries in 0..UPDATE_TRIES_MAX {
            let found = self.read(collection, id).await?;
            let version = found.as_ref().map(|found| found.version);
            let value = found
                .as_ref()
                .map(|found| decode::<T>(collection, id, &found.bytes))
                .transpose()?;
            let unknown = Unknown::of(found.as_ref().map(|found| &found.bytes), value.as_ref());
            let (write, result) = match decide(value) {
                Change::Keep(result) => return Ok(result),
                Change::Put { value, ttl, result } => {
                    let bytes = encode(collection, id, &value, unknown.as_ref())?;
                    (Write::Put { bytes, ttl }, result)
                }
                Change::Remove(result) => (Write::Remove, result),
            };
            if self.write_if(collection, id, version, write).await? {
                return Ok(result);
            }
            self.step_back(tries).await;
        }
        let detail =
            format!("{collection}/{id} was changed by others {UPDATE_TRIES_MAX} times in a row");
        Err(Problem::new(Code::Unavailable, detail))
    }

    /// Removes the entry `id`; says whether there was one.
    ///
    /// # Errors
    /// Those of every call; none within one process.
    pub async fn remove(&self, collection: &str, id: &str) -> Result<bool, Problem> {
        let removing = async {
            match &self.store {
                Store::Local(store) => Ok(store.remove(collection, id)),
                Store::Redis(store) => Ok(store.remove(collection, &[id]).await? > 0),
            }
        };
        self.run("remove", collection, removing).await
    }

    fn refuse_half_truths(&self) -> Result<(), Problem> {
        match &self.store {
            Store::Local(_) => Ok(()),
            Store::Redis(store) => store.refuse_half_truths(),
        }
    }

    async fn read(&self, collection: &str, id: &str) -> Result<Option<Versioned>, Problem> {
        let reading = async {
            match &self.store {
                Store::Local(store) => Ok(store.read(collection, id)),
                Store::Redis(store) => store.read(collection, id).await,
            }
        };
        self.run("read", collection, reading).await
    }

    /// Writes if the entry is still at `version`, none meaning absent; says whether it did.
    async fn write_if(
        &self,
        collection: &str,
        id: &str,
        version: Option<u64>,
        write: Write,
    ) -> Result<bool, Problem> {
        let writing = async {
            match &self.store {
                Store::Local(store) => Ok(store.write_if(collection, id, version, write).is_some()),
                Store::Redis(store) => Ok(store
                    .write_if(collection, id, version, write)
                    .await?
                    .is_some()),
            }
        };
        self.run("write", collection, writing).await
    }

    /// Does `work` as an operation that is counted and traced, and that faults may meet.
    async fn run<T>(
        &self,
        name: &'static str,
        collection: &str,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let system = match &self.store {
            Store::Local(_) => "local",
            Store::Redis(_) => "redis",
        };
        let operation = Operation::begun(system, name, collection);
        match &self.way {
            None => operation.run(work).await,
            Some(way) => operation.run(way.carry(name, collection, work)).await,
        }
    }

    /// Lets the writer that came between get on with it.
    async fn step_back(&self, tries: u32) {
        match &self.store {
            Store::Local(_) => tokio::task::yield_now().await,
            Store::Redis(_) => {
                let most = Duration::from_millis(1 << tries.min(16)).min(UPDATE_PAUSE_MAX);
                tokio::time::sleep(most.mul_f64(rand::random_range(0.0..=1.0))).await;
            }
        }
    }
}

fn encode<T: Serialize>(
    collection: &str,
    id: &str,
    value: &T,
    unknown: Option<&Unknown>,
) -> Result<Bytes, Problem> {
    let written = unknown.map_or_else(|| serde_json::to_vec(value), |unknown| unknown.write(value));
    let bytes = written.map_err(|error| {
        Problem::new(
            Code::Internal,
            format!("{collection}/{id} cannot be written as JSON: {error}"),
        )
    })?;
    if bytes.len() > VALUE_BYTES_MAX {
        let detail = format!(
            "{} bytes for {collection}/{id} are over the limit of {VALUE_BYTES_MAX}",
            bytes.len()
        );
        return Err(Problem::new(Code::BadRequest, detail));
    }
    Ok(bytes.into())
}

fn decode<T: DeserializeOwned>(collection: &str, id: &str, bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        Problem::new(
            Code::Internal,
            format!("{collection}/{id} cannot be read: {error}"),
        )
    })
}
