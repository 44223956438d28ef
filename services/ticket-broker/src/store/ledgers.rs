//! Ledgers, each one entry of the state. Rules that come for one at the same moment are applied one after the other and
//! written together, and nothing is read that was last written from here.

use crate::ledger::Ledger;
use astral_backend::{State, Version};
use astral_proto::{Code, NodeId, Problem};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

const LEDGERS: &str = "ledgers";
/// Ledgers remembered; over that, those that nobody uses are read again.
const WRITERS_MAX: usize = 4_096;
/// Most rules applied in one write.
const JOBS_MAX: usize = 128;
/// Times a write is tried again because another broker's came between.
const TRIES_MAX: u32 = 64;
/// Longest pause before that.
const PAUSE_MAX: Duration = Duration::from_millis(8);
/// How long a ledger outlives its provider's last word.
const LEDGER_KEPT: Duration = Duration::from_secs(60);

/// What a rule has done to a ledger, and what it answers.
pub enum Outcome<R> {
    /// It is to be written.
    Changed(R),
    /// It is as it was.
    Same(R),
}

/// Every ledger that is in use here.
#[derive(Default)]
pub struct Ledgers {
    open: Mutex<HashMap<NodeId, Arc<LedgerWriter>>>,
}

#[derive(Default)]
struct LedgerWriter {
    waiting: Mutex<Vec<Job>>,
    /// The ledger as last read or written here; none if that is not known.
    seen: tokio::sync::Mutex<Option<Seen>>,
}

type Seen = (Option<Ledger>, Version);
/// Applies its rule; whether the ledger has changed. May run several times, and only the last counts.
type Rule = Box<dyn FnMut(&mut Option<Ledger>) -> bool + Send>;

struct Job {
    rule: Rule,
    done: oneshot::Sender<Result<(), Problem>>,
}

impl Ledgers {
    /// Applies a rule to a provider's ledger, none if there is none, as one step.
    ///
    /// # Errors
    /// Those of the state; `unavailable` if other brokers came between again and again.
    pub async fn apply<R: Send + 'static>(
        &self,
        state: &State,
        provider: NodeId,
        mut rule: impl FnMut(&mut Option<Ledger>) -> Outcome<R> + Send + 'static,
    ) -> Result<R, Problem> {
        let answer = Arc::new(Mutex::new(None));
        let (done, mut written) = oneshot::channel();
        let slot = answer.clone();
        let rule = Box::new(move |ledger: &mut Option<Ledger>| {
            let (answer, changed) = match rule(ledger) {
                Outcome::Changed(answer) => (answer, true),
                Outcome::Same(answer) => (answer, false),
            };
            *lock(&slot) = Some(answer);
            changed
        });
        let writer = self.writer(provider);
        lock(&writer.waiting).push(Job { rule, done });
        let mut seen = writer.seen.lock().await;
        let written = loop {
            match written.try_recv() {
                Ok(written) => break written,
                Err(oneshot::error::TryRecvError::Empty) => {
                    writer.work(state, provider, &mut seen).await
                }
                Err(oneshot::error::TryRecvError::Closed) => break Err(dropped(provider)),
            }
        };
        drop(seen);
        written?;
        lock(&answer).take().ok_or_else(|| dropped(provider))
    }

    /// Takes a provider's ledger away.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn remove(&self, state: &State, provider: NodeId) -> Result<Option<Ledger>, Problem> {
        let writer = self.writer(provider);
        let mut seen = writer.seen.lock().await;
        *seen = None;
        let ledger = state.get(LEDGERS, &provider.to_string()).await?;
        state.remove(LEDGERS, &provider.to_string()).await?;
        drop(seen);
        lock(&self.open).remove(&provider);
        Ok(ledger)
    }

    fn writer(&self, provider: NodeId) -> Arc<LedgerWriter> {
        let mut open = lock(&self.open);
        if open.len() >= WRITERS_MAX && !open.contains_key(&provider) {
            open.retain(|_, writer| Arc::strong_count(writer) > 1);
        }
        open.entry(provider).or_default().clone()
    }
}

impl LedgerWriter {
    /// Does what waits, in one write.
    async fn work(&self, state: &State, provider: NodeId, seen: &mut Option<Seen>) {
        let mut jobs: Vec<Job> = {
            let mut waiting = lock(&self.waiting);
            let some = waiting.len().min(JOBS_MAX);
            waiting.drain(..some).collect()
        };
        let written = write(state, provider, seen, &mut jobs).await;
        for job in jobs {
            // Whoever asked may have gone.
            drop(job.done.send(written.clone()));
        }
    }
}

async fn write(
    state: &State,
    provider: NodeId,
    seen: &mut Option<Seen>,
    jobs: &mut [Job],
) -> Result<(), Problem> {
    let id = provider.to_string();
    for tries in 0..TRIES_MAX {
        // What is seen stays unknown if this is broken off.
        let fresh = seen.is_none();
        let known = seen.take();
        let (mut ledger, version) = match known {
            Some(seen) => seen,
            None => state.get_versioned::<Ledger>(LEDGERS, &id).await?,
        };
        let mut changed = false;
        for job in jobs.iter_mut() {
            changed |= (job.rule)(&mut ledger);
        }
        match ledger.as_ref().filter(|_| changed) {
            // An answer by what was there some time ago is not good enough.
            None if !fresh => continue,
            None => {
                *seen = Some((ledger, version));
                return Ok(());
            }
            Some(now) => {
                if let Some(version) = state
                    .put_if(LEDGERS, &id, &version, now, Some(LEDGER_KEPT))
                    .await?
                {
                    *seen = Some((ledger, version));
                    return Ok(());
                }
            }
        }
        if fresh {
            let most = Duration::from_millis(1 << tries.min(8)).min(PAUSE_MAX);
            tokio::time::sleep(most.mul_f64(rand::random())).await;
        }
    }
    let detail =
        format!("the ledger of {provider} was changed by others {TRIES_MAX} times in a row");
    Err(Problem::new(Code::Unavailable, detail))
}

fn dropped(provider: NodeId) -> Problem {
    Problem::new(
        Code::Unavailable,
        format!("a change to the ledger of {provider} was broken off"),
    )
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
