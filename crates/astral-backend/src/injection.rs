//! Fault injection: what goes wrong with the bus and the state of several processes within one program, decided by a seed.
//!
//! A [`FaultInjector`] is put under a backend by [`crate::Backend::with_faults`]. The services above it are the shipped
//! ones and do not know of it. Each fate is drawn from the seed, the two ends, and the number of messages between them, so
//! it does not depend on what others do at the same moment.

use crate::bus::BusFaults;
use crate::state::StateFaults;
use astral_runtime::lock;
use rand::{SeedableRng, rngs::StdRng};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A process that is cut off from the bus notices it after this long.
const NOTICED_AFTER: Duration = Duration::from_secs(4);

/// One of the processes that share a bus and a state within this program; the first has number 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process(pub u32);

impl fmt::Display for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "p{}", self.0)
    }
}

/// What an observer sees below the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation<'a> {
    /// An event or a request has reached the queue of a process.
    Delivered {
        /// Who sent it.
        from: Process,
        /// Who has it now.
        to: Process,
        /// Its subject.
        subject: &'a str,
        /// Its JSON.
        payload: &'a [u8],
    },
    /// An event, a request or an answer is lost.
    Lost {
        /// Who sent it.
        from: Process,
        /// Who does not get it.
        to: Process,
        /// Its subject; `answer` if it is one.
        subject: &'a str,
    },
    /// An answer has reached whoever asked.
    Answered {
        /// Who answered.
        from: Process,
        /// Who asked.
        to: Process,
        /// The JSON of the reply or of the problem.
        payload: &'a [u8],
    },
    /// An operation on the state has ended.
    Operation {
        /// Whose it was.
        process: Process,
        /// `read`, `list`, `write` or `remove`.
        name: &'a str,
        /// On which collection.
        collection: &'a str,
        /// What its caller was told.
        outcome: StateOutcome,
    },
    /// An entry of the state has changed.
    Written {
        /// In which collection.
        collection: &'a str,
        /// Which entry.
        id: &'a str,
        /// Its JSON; None if it was removed.
        value: Option<&'a [u8]>,
    },
}

/// What the caller of an operation on the state was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateOutcome {
    /// What the state answered.
    Answered,
    /// The state is away; nothing was done.
    Refused,
    /// Nothing within its time, although it was done.
    AnswerLost,
}

type Observer = Box<dyn Fn(Observation<'_>) + Send + Sync>;

/// Decides what goes wrong, and when. Cheap to clone; all clones are the same injector.
#[derive(Clone)]
pub struct FaultInjector(Arc<Shared>);

struct Shared {
    seed: u64,
    conditions: Mutex<Conditions>,
    /// Notified whenever a process goes on or crashes.
    resumed: Notify,
    observer: OnceLock<Observer>,
    /// How far the clock of the state is ahead of this program's, milliseconds.
    state_ahead_ms: AtomicI64,
}

#[derive(Default)]
struct Conditions {
    bus: BusFaults,
    state: StateFaults,
    state_is_away: bool,
    partitions: BTreeSet<(Process, Process)>,
    cut_off_since: BTreeMap<Process, Instant>,
    frozen: BTreeSet<Process>,
    crashed: BTreeSet<Process>,
    lags: BTreeMap<Process, Duration>,
    /// How many fates have been drawn for each lane.
    drawn: BTreeMap<Lane, u64>,
}

/// What fates are drawn for: messages from one process to another, or the operations of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    Message(Process, Process),
    Operation(Process),
}

impl Lane {
    fn number(self) -> u64 {
        match self {
            Lane::Message(from, to) => (u64::from(from.0) << 32) | u64::from(to.0),
            Lane::Operation(process) => u64::MAX - u64::from(process.0),
        }
    }
}

impl FaultInjector {
    /// One that lets everything pass until it is told otherwise. The same seed draws the same fates.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Shared {
            seed,
            conditions: Mutex::default(),
            resumed: Notify::new(),
            observer: OnceLock::new(),
            state_ahead_ms: AtomicI64::new(0),
        }))
    }

    /// Has `observer` called with everything that happens from now on. It must not use the backend itself. Only the first
    /// observer is kept.
    pub fn observe(&self, observer: impl Fn(Observation<'_>) + Send + Sync + 'static) {
        drop(self.0.observer.set(Box::new(observer)));
    }

    /// Sets what happens to messages from now on.
    pub fn set_bus(&self, faults: BusFaults) {
        self.conditions().bus = faults;
    }

    /// Sets what happens to operations on the state from now on.
    pub fn set_state(&self, faults: StateFaults) {
        self.conditions().state = faults;
    }

    /// Has the state refuse everything, or answer again.
    pub fn set_state_away(&self, is_away: bool) {
        self.conditions().state_is_away = is_away;
    }

    /// Sets the clock of the state, by how many milliseconds it is ahead of this program's.
    pub fn set_state_clock(&self, ahead_ms: i64) {
        self.0.state_ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }

    /// Lets no message pass between two processes, either way.
    pub fn part(&self, one: Process, other: Process) {
        self.conditions().partitions.insert(pair(one, other));
    }

    /// Lets messages pass between two processes again.
    pub fn rejoin(&self, one: Process, other: Process) {
        self.conditions().partitions.remove(&pair(one, other));
    }

    /// Cuts a process off from the bus, or connects it again.
    pub fn cut_off(&self, process: Process, is_cut_off: bool) {
        let mut conditions = self.conditions();
        if is_cut_off {
            conditions
                .cut_off_since
                .entry(process)
                .or_insert_with(Instant::now);
        } else {
            conditions.cut_off_since.remove(&process);
        }
    }

    /// Has events and requests arrive at a process so much later; zero ends it.
    pub fn set_lag(&self, process: Process, lag: Duration) {
        self.conditions().lags.insert(process, lag);
    }

    /// Has a process stand still: what it sends and what is sent to it waits, and so does what it does to the state.
    pub fn freeze(&self, process: Process) {
        self.conditions().frozen.insert(process);
    }

    /// Lets a frozen process go on.
    pub fn thaw(&self, process: Process) {
        self.conditions().frozen.remove(&process);
        self.0.resumed.notify_waiters();
    }

    /// Ends a process between two of its operations: nothing that it does from now on is seen by anybody. Its tasks are the
    /// caller's to stop.
    pub fn crash(&self, process: Process) {
        self.conditions().crashed.insert(process);
        self.0.resumed.notify_waiters();
    }

    /// How far the clock of the state is ahead, milliseconds.
    pub(crate) fn state_ahead_ms(&self) -> i64 {
        self.0.state_ahead_ms.load(Ordering::Relaxed)
    }

    /// Tells the observer, if there is one.
    pub(crate) fn tell(&self, observation: Observation<'_>) {
        if let Some(observer) = self.0.observer.get() {
            observer(observation);
        }
    }

    /// Waits until `process` is not frozen; whether it still runs.
    pub(crate) async fn until_it_runs(&self, process: Process) -> bool {
        loop {
            let mut resumed = pin!(self.0.resumed.notified());
            resumed.as_mut().enable();
            match self.run_state(process) {
                RunState::Runs => return true,
                RunState::Crashed => return false,
                RunState::Frozen => resumed.await,
            }
        }
    }

    pub(crate) fn runs(&self, process: Process) -> bool {
        self.run_state(process) == RunState::Runs
    }

    fn run_state(&self, process: Process) -> RunState {
        let conditions = self.conditions();
        if conditions.crashed.contains(&process) {
            RunState::Crashed
        } else if conditions.frozen.contains(&process) {
            RunState::Frozen
        } else {
            RunState::Runs
        }
    }

    /// Whether messages pass between two processes, faults of single messages aside.
    pub(crate) fn is_parted(&self, from: Process, to: Process) -> bool {
        let conditions = self.conditions();
        let is_gone = |process| {
            conditions.cut_off_since.contains_key(&process) || conditions.crashed.contains(&process)
        };
        from != to
            && (is_gone(from) || is_gone(to) || conditions.partitions.contains(&pair(from, to)))
    }

    /// Whether a process knows of no trouble with the bus.
    pub(crate) fn seems_connected(&self, process: Process) -> bool {
        let since = self.conditions().cut_off_since.get(&process).copied();
        since.is_none_or(|since| since.elapsed() < NOTICED_AFTER)
    }

    /// What happens to the next message on a lane.
    pub(crate) fn bus(&self, from: Process, to: Process) -> (BusFaults, Duration, StdRng) {
        let mut conditions = self.conditions();
        let lag = conditions.lags.get(&to).copied().unwrap_or_default();
        let random = self.draw(&mut conditions, Lane::Message(from, to));
        (conditions.bus, lag, random)
    }

    /// What happens to the next operation of a process on the state; None while the state is away.
    pub(crate) fn state(&self, process: Process) -> Option<(StateFaults, StdRng)> {
        let mut conditions = self.conditions();
        let random = self.draw(&mut conditions, Lane::Operation(process));
        (!conditions.state_is_away).then_some((conditions.state, random))
    }

    pub(crate) fn state_is_away(&self) -> bool {
        self.conditions().state_is_away
    }

    fn draw(&self, conditions: &mut Conditions, lane: Lane) -> StdRng {
        let drawn = conditions.drawn.entry(lane).or_default();
        *drawn += 1;
        let mixed = [lane.number(), *drawn]
            .into_iter()
            .fold(self.0.seed, |seed, part| mix(seed ^ part));
        StdRng::seed_from_u64(mixed)
    }

    fn conditions(&self) -> MutexGuard<'_, Conditions> {
        lock(&self.0.conditions)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunState {
    Runs,
    Frozen,
    Crashed,
}

fn pair(one: Process, other: Process) -> (Process, Process) {
    (one.min(other), one.max(other))
}

/// One round of SplitMix64, which spreads neighbouring numbers.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
