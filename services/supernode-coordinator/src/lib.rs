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

use astral_backend::{Backend, Serving, Truce};
use astral_proto::Problem;
use astral_proto::limits::CHILDREN_MAX;
use std::sync::Arc;

/// Settings of the supernode coordinator.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Children that a supernode admits
    #[arg(long, env = "ASTRAL_CHILDREN_LIMIT", value_name = "NODES", default_value_t = CHILDREN_MAX)]
    pub children_limit: usize,
}

/// Starts the coordinator: it serves once this returns, until `serving` stops.
///
/// # Errors
/// Those of the bus.
pub async fn start(config: Config, backend: Backend, serving: Serving) -> Result<(), Problem> {
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
