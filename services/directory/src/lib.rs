//! The directory: which streams exist, who may publish them, where each is ingested and how far it is.
//!
//! It promises one origin at a time, by epochs that only grow; that numbering and timeline of a stream go on over
//! every change of publisher; and that a publisher which sends is never pushed aside. Publish keys rest hashed.
//!
//! The rules are public, and pure, so that the simulation runs them as they are.

mod audience;
pub mod change;
mod directory;
pub mod grant;
pub mod liveness;
pub mod publish_key;
pub mod record;
mod rpc;
mod store;

use astral_backend::{Backend, Serving, Truce};
use astral_proto::Problem;
use std::sync::Arc;

/// Settings of the directory.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Let anyone publish a stream that has no key; an unknown one is made
    #[arg(
        long, env = "ASTRAL_OPEN_PUBLISHING", value_name = "BOOL", default_value_t = true,
        action = clap::ArgAction::Set
    )]
    pub open_publishing: bool,
}

/// Starts the directory: it serves once this returns, until `serving` stops.
///
/// # Errors
/// Those of the bus.
pub async fn start(config: Config, backend: Backend, serving: Serving) -> Result<(), Problem> {
    let directory = directory::Directory {
        store: store::Store(backend.state),
        bus: backend.bus,
        open_publishing: config.open_publishing,
        audience: Arc::default(),
        truce: Arc::new(Truce::begin()),
        tasks: serving.tasks.clone(),
    };
    rpc::serve(directory, &serving).await
}
