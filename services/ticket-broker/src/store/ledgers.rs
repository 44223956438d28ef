//! The ledgers in the shared state, and how they are written.

use crate::error::Error;
use crate::ledger::heartbeat::{LinkChanges, apply_provider};
use crate::ledger::{Entry, Ledger, Moment, Refusal};
use astral_backend::{State, Version};
use astral_env::Env;
use astral_proto::message::RenewTickets;
use astral_proto::{Kbps, NodeId, TicketId, UnixMillis};
use astral_runtime::lock;
use rand::Rng;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;

const COLLECTION: &str = "ledgers";
/// Most writers that a broker keeps. When it needs more, it drops those that nobody uses. Their
/// ledgers are read from the state again when they are needed.
const WRITERS_MAX: usize = 4_096;
/// Most changes in one write.
const BATCH_MAX: usize = 128;
/// Attempts to write a ledger that other brokers keep changing.
const ATTEMPTS_MAX: u32 = 64;
/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_millis(8);
/// How long a ledger stays after the last write. Each heartbeat of its provider writes it.
const LEDGER_KEPT: Duration = Duration::from_secs(60);

/// What a change did to its ledger, and its answer for the caller.
pub enum Outcome<R> {
    /// The ledger is to be written.
    Changed(R),
    /// The ledger is as it was.
    Same(R),
}

impl<R> Outcome<R> {
    fn map<T>(self, answer: impl FnOnce(R) -> T) -> Outcome<T> {
        match self {
            Self::Changed(result) => Outcome::Changed(answer(result)),
            Self::Same(result) => Outcome::Same(answer(result)),
        }
    }
}

impl<R> From<Result<R, Error>> for Outcome<Result<R, Error>> {
    /// A change that alters the ledger unless it fails.
    fn from(result: Result<R, Error>) -> Self {
        if result.is_ok() {
            Self::Changed(result)
        } else {
            Self::Same(result)
        }
    }
}

/// The ledgers of all providers. Cheap to clone.
#[derive(Clone)]
pub struct Ledgers {
    state: State,
    env: Env,
    writers: Arc<Mutex<HashMap<NodeId, Arc<LedgerWriter>>>>,
}

/// Writes the ledger of one provider, as a group commit.
///
/// A caller adds its change to `queue`, then waits for the lock on `cached`. The caller that holds
/// the lock takes up to [`BATCH_MAX`] changes from the queue, runs them against the cached ledger,
/// and writes the result once, by compare-and-set. So all changes that arrive during a write share
/// the next write. Without this, a popular provider would need one round trip per ticket.
///
/// Several brokers write the same ledger. If another broker was faster, the compare-and-set fails.
/// Then the cache is dropped, the ledger is read again, and all changes of the batch run again. So
/// a change may run several times, and only its last answer counts: it must do nothing but change
/// the ledger that it is given.
#[derive(Default)]
struct LedgerWriter {
    queue: Mutex<Vec<QueuedChange>>,
    /// The ledger as this broker last read or wrote it. None if that is unknown.
    cached: tokio::sync::Mutex<Option<CachedLedger>>,
}

/// A ledger, None if the provider has none, and the version that a write must replace.
type CachedLedger = (Option<Ledger>, Version);

/// Applies a change, and returns whether the ledger is different now.
type Change = Box<dyn FnMut(&mut Option<Ledger>) -> bool + Send>;

struct QueuedChange {
    change: Change,
    done: oneshot::Sender<Result<(), Error>>,
}

impl Ledgers {
    pub(super) fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            writers: Arc::default(),
        }
    }

    /// The ledger of a provider. None if it has none.
    ///
    /// # Errors
    /// As [`Ledgers::update_or_create`].
    pub async fn get(&self, provider: NodeId) -> Result<Option<Ledger>, Error> {
        let read = |ledger: &mut Option<Ledger>| Outcome::Same(ledger.clone());
        self.update_or_create(provider, read).await
    }

    /// What a provider has promised. Zero if it has no ledger.
    ///
    /// # Errors
    /// As [`Ledgers::update_or_create`].
    pub async fn promised_kbps(&self, provider: NodeId) -> Result<Kbps, Error> {
        let ledger = self.get(provider).await?;
        Ok(ledger.as_ref().map_or(Kbps::ZERO, Ledger::promised_kbps))
    }

    /// Applies a change to the ledger of a provider as one step. None if there is no such ledger.
    ///
    /// # Errors
    /// As [`Ledgers::update_or_create`].
    pub async fn update<R: Send + 'static>(
        &self,
        provider: NodeId,
        mut change: impl FnMut(&mut Ledger) -> Outcome<R> + Send + 'static,
    ) -> Result<Option<R>, Error> {
        let change = move |ledger: &mut Option<Ledger>| match ledger {
            None => Outcome::Same(None),
            Some(ledger) => change(ledger).map(Some),
        };
        self.update_or_create(provider, change).await
    }

    /// Applies the heartbeat of a provider to its ledger, and removes the tickets that have
    /// expired. Returns what it has promised now, the links that were unknown, and the removed
    /// tickets.
    ///
    /// # Errors
    /// As [`Ledgers::update_or_create`].
    pub async fn apply_heartbeat(
        &self,
        ask: &Arc<RenewTickets>,
        at: Moment,
    ) -> Result<(Kbps, LinkChanges, Vec<(TicketId, Entry)>), Error> {
        let provider = ask.heartbeat.node;
        let ask = ask.clone();
        let change = move |ledger: &mut Option<Ledger>| {
            let ledger = ledger.get_or_insert_with(|| Ledger::new(&ask.node));
            ledger.current = at.generation;
            let links = apply_provider(ledger, &ask.node, &ask.heartbeat, at.now);
            let removed = ledger.remove_expired(at.now, at.truce);
            Outcome::Changed((ledger.promised_kbps(), links, removed))
        };
        self.update_or_create(provider, change).await
    }

    /// Adds a ticket to the ledger of a provider if it has room. Returns the address to pull from,
    /// or why the provider gives no ticket.
    ///
    /// # Errors
    /// As [`Ledgers::update_or_create`].
    pub async fn offer(
        &self,
        id: TicketId,
        entry: &Entry,
        provider: NodeId,
        now: UnixMillis,
        truce: bool,
    ) -> Result<Result<String, Refusal>, Error> {
        let entry = entry.clone();
        let offered = self.update(provider, move |ledger| {
            // `current` is still the generation in force: if the state had been lost since the
            // provider's last heartbeat, this ledger would be gone too.
            let at = Moment {
                now,
                truce,
                generation: ledger.current,
            };
            match ledger.offer(id, entry.clone(), at) {
                Ok(()) => Outcome::Changed(Ok(ledger.advertise.clone())),
                Err(refusal) => Outcome::Same(Err(refusal)),
            }
        });
        Ok(offered.await?.unwrap_or(Err(Refusal::Lost)))
    }

    /// Applies a change to the ledger of a provider as one step. The change receives None if there
    /// is no ledger, and may create it. It may run several times: see [`LedgerWriter`].
    ///
    /// # Errors
    /// Those of the state. [`Error::LedgerContended`] if other brokers were faster each time.
    pub async fn update_or_create<R: Send + 'static>(
        &self,
        provider: NodeId,
        mut change: impl FnMut(&mut Option<Ledger>) -> Outcome<R> + Send + 'static,
    ) -> Result<R, Error> {
        let answer = Arc::new(Mutex::new(None));
        let last_answer = answer.clone();
        let change = Box::new(move |ledger: &mut Option<Ledger>| {
            let (answer, changed) = match change(ledger) {
                Outcome::Changed(answer) => (answer, true),
                Outcome::Same(answer) => (answer, false),
            };
            *lock(&last_answer) = Some(answer);
            changed
        });
        let writer = self.writer(provider);
        writer.commit(self, provider, change).await?;
        lock(&answer)
            .take()
            .ok_or(Error::LedgerInterrupted(provider))
    }

    /// Removes and returns the ledger of a provider.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn remove(&self, provider: NodeId) -> Result<Option<Ledger>, Error> {
        let writer = self.writer(provider);
        let mut cached = writer.cached.lock().await;
        *cached = None;
        let id = provider.to_string();
        let ledger = self.state.get(COLLECTION, &id).await?;
        self.state.remove(COLLECTION, &id).await?;
        drop(cached);
        lock(&self.writers).remove(&provider);
        Ok(ledger)
    }

    fn writer(&self, provider: NodeId) -> Arc<LedgerWriter> {
        let mut writers = lock(&self.writers);
        if writers.len() >= WRITERS_MAX && !writers.contains_key(&provider) {
            writers.retain(|_, writer| Arc::strong_count(writer) > 1);
        }
        writers.entry(provider).or_default().clone()
    }
}

impl LedgerWriter {
    /// Queues a change, and returns once it is written: by this caller, or by another one that held
    /// the lock before.
    async fn commit(
        &self,
        ledgers: &Ledgers,
        provider: NodeId,
        change: Change,
    ) -> Result<(), Error> {
        let (done, mut written) = oneshot::channel();
        lock(&self.queue).push(QueuedChange { change, done });
        let mut cached = self.cached.lock().await;
        loop {
            match written.try_recv() {
                Ok(written) => return written,
                // The queue may be longer than one batch, and this change behind the first.
                Err(oneshot::error::TryRecvError::Empty) => {
                    self.write_batch(ledgers, provider, &mut cached).await;
                }
                // Another caller took the change from the queue and was cancelled before it was
                // written.
                Err(oneshot::error::TryRecvError::Closed) => {
                    return Err(Error::LedgerInterrupted(provider));
                }
            }
        }
    }

    /// Applies the first changes of the queue in one write, and tells their callers.
    async fn write_batch(
        &self,
        ledgers: &Ledgers,
        provider: NodeId,
        cached: &mut Option<CachedLedger>,
    ) {
        let mut batch: Vec<QueuedChange> = {
            let mut queue = lock(&self.queue);
            let length = queue.len().min(BATCH_MAX);
            queue.drain(..length).collect()
        };
        let written = write(ledgers, provider, cached, &mut batch).await;
        for queued in batch {
            // The caller may have been cancelled.
            drop(queued.done.send(written.clone()));
        }
    }
}

/// Applies `batch` to the ledger and writes it, until no other broker comes in between.
async fn write(
    ledgers: &Ledgers,
    provider: NodeId,
    cached: &mut Option<CachedLedger>,
    batch: &mut [QueuedChange],
) -> Result<(), Error> {
    let state = &ledgers.state;
    let id = provider.to_string();
    for attempt in 0..ATTEMPTS_MAX {
        // Taken out of the cache, so that the cache stays empty if this future is cancelled before
        // it ends.
        let from_cache = cached.take();
        let is_fresh = from_cache.is_none();
        let (mut ledger, version) = match from_cache {
            Some(known) => known,
            None => state.get_versioned::<Ledger>(COLLECTION, &id).await?,
        };
        let mut changed = false;
        for queued in batch.iter_mut() {
            changed |= (queued.change)(&mut ledger);
        }
        let written = match ledger.as_ref().filter(|_| changed) {
            Some(ledger) => {
                state
                    .put_if(COLLECTION, &id, &version, ledger, Some(LEDGER_KEPT))
                    .await?
            }
            // Nothing to write. The answers are right if the ledger was just read. If it came from
            // the cache, it may be out of date, and there is no write that would fail. So the next
            // attempt reads it.
            None => is_fresh.then_some(version),
        };
        if let Some(version) = written {
            *cached = Some((ledger, version));
            return Ok(());
        }
        // With a stale cache the next attempt reads the ledger, so there is no need to wait for the
        // other brokers.
        if is_fresh {
            pause(&ledgers.env, attempt).await;
        }
    }
    Err(Error::LedgerContended {
        provider,
        attempts: ATTEMPTS_MAX,
    })
}

/// A random pause, longer after more attempts, so that the brokers do not collide again.
async fn pause(env: &Env, attempt: u32) {
    let longest = Duration::from_millis(1 << attempt.min(8)).min(PAUSE_MAX);
    let share: f64 = env.random().random();
    tokio::time::sleep(longest.mul_f64(share)).await;
}
