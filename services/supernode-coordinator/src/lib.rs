//! The supernode coordinator: which nodes live, who is a supernode, and which one each other node hangs off.
//!
//! It promises that a supernode never has more children than its limit, that a node silent for one lease is given up
//! and its children are homed elsewhere, and that no silence counts within one lease of its own start.
//!
//! The rules are public, and pure, so that the simulation runs them as they are.

mod coordinator;
pub mod member;
pub mod placement;
mod rpc;
mod store;

use astral_backend::{Backend, Truce};
use astral_chassis::{Context, Program, Threads, parse_number};
use astral_proto::Problem;
use astral_proto::limits::CHILDREN_MAX;
use astral_runtime::TaskScope;
use astral_service::{Dependency, Service};
use std::sync::Arc;

/// Largest value of `--children-limit`.
const CHILDREN_LIMIT_MAX: usize = u32::MAX as usize;

/// Settings of the supernode coordinator.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Children that a supernode admits
    #[arg(
        long, env = "ASTRAL_CHILDREN_LIMIT", value_name = "NODES", default_value_t = CHILDREN_MAX,
        value_parser = parse_number(0..=CHILDREN_LIMIT_MAX)
    )]
    pub children_limit: usize,
}

/// The coordinator as a process of its own.
pub struct CoordinatorService;

impl Service for CoordinatorService {
    const PROGRAM: Program = Program {
        name: "astral-supernode-coordinator",
        component: "supernode-coordinator",
        about: "Keeps which nodes are alive, and which supernode each one belongs to",
        threads: Threads::PerCore,
    };
    const WAITS_FOR: &'static [Dependency] = &[Dependency::Bus, Dependency::State];
    type Config = Config;
    type Error = Problem;

    async fn start(config: Config, backend: Backend, context: Context) -> Result<(), Problem> {
        start(config, backend, context.scope).await
    }
}

/// Starts the coordinator: it serves once this returns, until `serving` stops.
///
/// # Errors
/// Those of the bus.
pub async fn start(config: Config, backend: Backend, serving: TaskScope) -> Result<(), Problem> {
    let truce = Arc::new(Truce::begin(&backend.state));
    let coordinator = coordinator::Coordinator {
        store: store::Store(backend.state),
        bus: backend.bus,
        children_limit: config.children_limit,
        landmarks: Arc::default(),
        truce,
    };
    rpc::serve(coordinator, &serving).await
}
