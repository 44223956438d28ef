//! Sees every message and every write, logs them, and has the invariants checked on them.

use crate::health::Health;
use crate::invariants::Invariants;
use crate::log::{Log, digest};
use crate::plan::Plan;
use crate::{Broken, Outcome};
use astral_backend::{FaultInjector, Observation, StateOutcome};
use astral_proto::NodeId;
use astral_ticket_broker::ledger::Ledger;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Sees everything of one run. Cheap to clone; all clones are the same recorder.
#[derive(Clone)]
pub struct Recorder(Arc<Mutex<Inner>>);

struct Inner {
    begun: Instant,
    log: Log,
    invariants: Invariants,
    health: Health,
    pictures: u64,
    broken: Option<Broken>,
}

impl Inner {
    fn break_with(&mut self, what: String) {
        let at = self.begun.elapsed();
        self.log.add(at, format!("BROKEN {what}"));
        self.broken.get_or_insert(Broken { at, what });
    }
}

impl Recorder {
    /// A recorder for a run that begins now.
    pub fn new(keeps_log: bool) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            begun: Instant::now(),
            log: Log::new(keeps_log),
            invariants: Invariants::default(),
            health: Health::default(),
            pictures: 0,
            broken: None,
        })))
    }

    /// Sees what happens under `injector` from now on.
    pub fn watch(&self, injector: &FaultInjector) {
        let recorder = self.clone();
        injector.observe(move |seen| recorder.observe(seen));
    }

    /// Logs something that the world does.
    pub fn note(&self, what: &dyn Display) {
        let mut inner = self.inner();
        let at = inner.begun.elapsed();
        inner.log.add(at, what.to_string());
    }

    /// Notes a broken invariant; the first one counts.
    pub fn break_with(&self, what: String) {
        self.inner().break_with(what);
    }

    /// Whether an invariant is broken.
    pub fn is_broken(&self) -> bool {
        self.inner().broken.is_some()
    }

    /// How long the run has gone on.
    pub fn elapsed(&self) -> Duration {
        self.inner().begun.elapsed()
    }

    /// Lets the world tell what it knows.
    pub fn health<R>(&self, tell: impl FnOnce(&mut Health) -> R) -> R {
        tell(&mut self.inner().health)
    }

    /// The state has lost everything.
    pub fn forgot(&self) {
        self.inner().invariants.forgot();
    }

    /// Shows the ledgers as they were last written.
    pub fn ledgers<R>(&self, look: impl FnOnce(&BTreeMap<NodeId, Ledger>) -> R) -> R {
        look(self.inner().invariants.ledgers())
    }

    /// Notes how many pictures viewers have got.
    pub fn set_pictures(&self, pictures: u64) {
        self.inner().pictures = pictures;
    }

    /// How the run went.
    pub fn outcome(&self, plan: &Plan, healed_after: Option<Duration>) -> Outcome {
        let inner = self.inner();
        Outcome {
            faults: plan.counts(),
            events: inner.log.count(),
            trace: inner.log.trace(),
            healed_after,
            frames: inner.pictures,
            broken: inner.broken.clone(),
            log: inner.log.lines(),
        }
    }

    fn observe(&self, seen: Observation<'_>) {
        let mut inner = self.inner();
        let at = inner.begun.elapsed();
        inner.log.add(at, describe(seen));
        let Inner {
            invariants, health, ..
        } = &mut *inner;
        if let Err(what) = invariants.check(seen, health) {
            inner.break_with(what);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn describe(seen: Observation<'_>) -> String {
    match seen {
        Observation::Delivered {
            from,
            to,
            subject,
            payload,
        } => format!("{from}>{to} {subject} {}", digest(payload)),
        Observation::Lost { from, to, subject } => format!("{from}>{to} {subject} is lost"),
        Observation::Answered { from, to, payload } => {
            format!("{from}>{to} answer {}", digest(payload))
        }
        Observation::Operation {
            process,
            name,
            collection,
            outcome,
        } => {
            let outcome = match outcome {
                StateOutcome::Answered => "",
                StateOutcome::Refused => " is refused",
                StateOutcome::AnswerLost => " answer is lost",
            };
            format!("{process} {name} {collection}{outcome}")
        }
        Observation::Written {
            collection,
            id,
            value,
        } => match value {
            Some(value) => format!("{collection}/{id} is {}", digest(value)),
            None => format!("{collection}/{id} is removed"),
        },
    }
}
