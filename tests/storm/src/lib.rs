//! The storm: the directory, coordinators and brokers that ship, three of each, and relays that ship, in one process on
//! simulated time, while faults from a seed meet them. After every message and every write of the state the invariants are
//! checked; after the faults stop, everything must heal within a bounded time.
//!
//! Nothing of Astral is modelled here. Only what surrounds it is: the bus and the state within the process with a fault
//! injector under them, wires in place of sockets, a publisher whose pictures are a few bytes, and viewers that count frames.

mod audit;
mod health;
mod invariants;
mod log;
mod plan;
mod publisher;
mod recorder;
mod relays;
mod replicas;
mod viewer;
mod wires;
mod world;

pub use log::Line;
pub use plan::{Action, Class, Plan};
use recorder::Recorder;
use std::fmt;
use std::time::Duration;
use world::World;

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Everything that chance decides follows from it.
    pub seed: u64,
    /// How many relays; one in thirty and at least four are supernodes.
    pub relays: usize,
    /// How many streams.
    pub streams: usize,
    /// For how long faults come.
    pub storm: Duration,
    /// Whether the whole log is kept, or only its end.
    pub keeps_log: bool,
}

/// How a run went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How many faults came, by what they were.
    pub faults: Vec<(Class, usize)>,
    /// How many messages and operations were seen.
    pub events: u64,
    /// The same for the same scenario, always.
    pub trace: u64,
    /// How long it took until everything had healed, once the faults had stopped; None if it broke before that.
    pub healed_after: Option<Duration>,
    /// Frames that viewers got.
    pub frames: u64,
    /// The broken invariant.
    pub broken: Option<Broken>,
    /// What happened: everything if the scenario keeps the log, else the end of it.
    pub log: Vec<Line>,
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// When, since the beginning.
    pub at: Duration,
    /// What was wrong.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "at {} ms: {}", self.at.as_millis(), self.what)
    }
}

impl Scenario {
    /// The usual one for a seed.
    pub fn of_seed(seed: u64) -> Self {
        Self {
            seed,
            relays: 200,
            streams: 3,
            storm: Duration::from_secs(40),
            keeps_log: false,
        }
    }

    /// How many of the relays are supernodes.
    pub fn supernodes(&self) -> usize {
        (self.relays / 30).max(4)
    }
}

/// Runs a scenario on a runtime of its own, to its end or to the first broken invariant.
///
/// # Panics
/// If the runtime cannot be built.
pub fn run(scenario: &Scenario) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing");
    let outcome = runtime.block_on(run_here(scenario));
    runtime.shutdown_background();
    outcome
}

async fn run_here(scenario: &Scenario) -> Outcome {
    let plan = Plan::of(scenario);
    let recorder = Recorder::new(scenario.keeps_log);
    let healed_after = Box::pin(World::weather(scenario, &plan, &recorder)).await;
    recorder.outcome(&plan, healed_after)
}
