//! The model of scale: how flat and how calm the tree of one stream is with very many relays.
//!
//! The directory, the coordinator and the broker are those that ship, on a bus and a state within the process and on
//! simulated time. Only the relays are a model (`relay.rs`), since ten thousand of them with sockets and media do not fit
//! into one process; what they do about failing providers follows the shipped rule, [`astral_relay::Failover`]. Faults are
//! not the subject here: `tests/storm` has them, with relays that ship.

mod depth;
mod links;
mod relay;
mod requests;
mod world;

pub use depth::{Depth, Look};
use std::time::Duration;
use world::World;

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Everything that the model's chance decides follows from it.
    pub seed: u64,
    /// How many nodes, 20 or more.
    pub nodes: usize,
    /// Whether nodes are killed and started again for a minute, once all have come.
    pub kills: bool,
}

/// How a run went.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The tree when the crowd had come.
    pub joined: Look,
    /// The tree at the end.
    pub end: Look,
    /// From the last kill until the tree was as flat as promised and stayed so; None if it did not become so.
    pub flat_after: Option<Duration>,
    /// How many nodes wanted the stream at the end, and how many of them had it.
    pub served: (usize, usize),
    /// Links that were moved to a better place.
    pub moves: u64,
    /// Most of them in one second.
    pub moves_in_a_second: u64,
    /// Requests for tickets.
    pub requests: u64,
    /// How long everything took, simulated.
    pub took: Duration,
}

impl Scenario {
    /// Nodes that are supernodes from the start.
    pub fn supernodes(&self) -> usize {
        (self.nodes * 3 / 200).max(4)
    }
}

impl Outcome {
    /// Whether the tree was as flat as promised when the crowd had come, and again in the mean at the end: after many
    /// deaths a few of a hundred thousand are still on their way back.
    pub fn keeps_its_promise(&self) -> bool {
        self.joined.is_flat() && self.end.is_flat_in_the_mean() && self.served.0 == self.served.1
    }
}

/// Is told of the tree every few seconds, with how many want the stream and how many have it.
pub type Watch = Box<dyn Fn(&Look, (usize, usize))>;

/// Runs a scenario to its end on a runtime of its own.
///
/// # Panics
/// If the runtime cannot be built.
pub fn run(scenario: &Scenario, watch: Option<Watch>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing");
    let outcome = runtime.block_on(async {
        let mut world = World::start(scenario, watch).await;
        world.run().await
    });
    runtime.shutdown_background();
    outcome
}
