//! The supernode coordinator decides which nodes are alive, which of them are supernodes, and to
//! which supernode each other node is attached.
//!
//! It promises:
//! - A supernode never has more children than its limit.
//! - A node whose lease has ended and whose links do not flow is lost, and its children are attached
//!   elsewhere.
//! - Nobody is lost because of silence within one lease of the coordinator's own start.
//!
//! The rules ([`member`], [`placement`]) are pure functions and public, so that the simulation uses
//! them unchanged.

mod coordinator;
mod error;
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
pub use error::Error;
use std::sync::Arc;

/// The largest value of `--children-limit`.
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
        about: "Decides which nodes are alive, and attaches them to supernodes",
        threads: Threads::PerCore,
    };
    const WAITS_FOR: &'static [Dependency] = &[Dependency::Bus, Dependency::State];
    type Config = Config;
    type Error = Problem;

    async fn start(config: Config, backend: Backend, context: Context) -> Result<(), Problem> {
        start(config, backend, context.scope).await
    }
}

/// Starts the coordinator. It answers requests from when this returns until `serving` stops.
///
/// # Errors
/// Those of the bus.
pub async fn start(config: Config, backend: Backend, serving: TaskScope) -> Result<(), Problem> {
    let truce = Arc::new(Truce::begin(&backend.state));
    let coordinator = coordinator::Coordinator {
        store: store::Store(backend.state),
        bus: backend.bus,
        env: backend.env.split("supernode-coordinator"),
        children_limit: config.children_limit,
        landmarks: Arc::default(),
        truce,
    };
    rpc::serve(coordinator, &serving).await
}
