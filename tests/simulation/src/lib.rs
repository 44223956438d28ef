//! The simulation: up to a hundred thousand nodes in one process, on simulated time, from one seed.
//!
//! Nodes join, fail, come back; their messages are lost, doubled and late. What the control services decide is decided
//! by production's own rules: `choose`, `index`, `carrier` and `ledger` of the ticket broker, `member` and `placement`
//! of the coordinator, `grant` and `liveness` of the directory, `Failover` of the relay. Only what stands around them
//! is modelled here: messages, links, sockets, one state that all replicas see. There is no media and no signature.

mod audit;
mod broker;
mod check;
mod control;
mod depth;
mod figures;
mod life;
mod message;
mod node;
mod queue;
mod relay;
mod renew;
mod replace;
mod serve;
mod world;

pub use check::Fault;
pub use depth::{Depth, Look};
pub use figures::Figures;
pub use world::Watch;
use world::{BEGIN, World};

/// What is simulated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Everything that chance decides follows from it.
    pub seed: u64,
    /// How many nodes, 20 or more.
    pub nodes: usize,
    /// How many streams, 1 to 255; the first is the most wanted.
    pub streams: usize,
    /// Whether messages get lost and nodes fail.
    pub faults: bool,
}

/// When what happens, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Supernodes are there; the crowd comes.
    pub crowd: u64,
    /// All have come; nodes begin to fail.
    pub joined: u64,
    /// Faults stop.
    pub calm: u64,
    /// Everything must have settled.
    pub end: u64,
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was measured.
    pub figures: Figures,
    /// How deep each stream's tree was.
    pub trees: Vec<Tree>,
    /// The same for the same scenario, always.
    pub trace: u64,
    /// Events.
    pub steps: u64,
    /// Simulated seconds.
    pub seconds: u64,
    /// The broken invariant, and when it broke, in milliseconds from the beginning.
    pub broken: Option<(Fault, u64)>,
}

/// How deep a stream's tree was in the course of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// When the crowd had come.
    pub joined: Look,
    /// At the end.
    pub end: Look,
    /// From the end of the faults until the tree was as flat as promised and stayed so, milliseconds; none if it did not
    /// become so.
    pub flat_after: Option<u64>,
}

impl Scenario {
    /// When what happens.
    pub fn plan(&self) -> Plan {
        let crowd = BEGIN + 5_000;
        let joined = crowd + 60_000;
        let calm = joined + if self.faults { 60_000 } else { 0 };
        // Every relay has its turn to go back once a minute, and one above it may first have to.
        let settles = if self.faults { 150_000 } else { 40_000 };
        Plan {
            crowd,
            joined,
            calm,
            end: calm + settles,
        }
    }

    /// Nodes that are supernodes from birth.
    pub fn supernodes(&self) -> usize {
        (self.nodes * 3 / 200).max(4)
    }
}

/// Runs a scenario to its end, or to the first broken invariant; `watch` is told how it goes on.
pub fn run(scenario: &Scenario, watch: Option<Watch>) -> Outcome {
    let mut world = World::new(scenario);
    world.watch = watch;
    let broken = world.run().err().map(|fault| (fault, world.now - BEGIN));
    let plan = scenario.plan();
    Outcome {
        trees: world
            .looks
            .iter()
            .map(|looks| Tree::seen(looks, &plan))
            .collect(),
        trace: world.trace,
        steps: world.step,
        seconds: (world.now - BEGIN) / 1_000,
        broken,
        figures: world.figures,
    }
}

impl Tree {
    fn seen(looks: &[Look], plan: &Plan) -> Self {
        let joined = plan.joined - BEGIN;
        let calm = plan.calm - BEGIN;
        let flat = looks
            .iter()
            .rev()
            .take_while(|look| look.at >= calm && look.is_flat())
            .last();
        Self {
            joined: looks
                .iter()
                .rfind(|look| look.at <= joined)
                .copied()
                .unwrap_or_default(),
            end: looks.last().copied().unwrap_or_default(),
            flat_after: flat.map(|look| look.at - calm),
        }
    }

    /// Whether it was as flat as promised when the crowd had come, and again in the mean at the end: after a storm a few
    /// of a hundred thousand are yet on their way back.
    pub fn keeps_its_promise(&self) -> bool {
        self.joined.is_flat() && self.end.is_flat_in_the_mean()
    }
}
