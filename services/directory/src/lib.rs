//! The directory: which streams exist, who may publish them, where each is ingested and how far it is.
//!
//! It promises one origin at a time, by epochs that only grow; that numbering and timeline of a stream go on over
//! every change of publisher; and that a publisher which sends is never pushed aside. Publish keys rest hashed.
//! Streams declared in a file are there whatever becomes of the state, and one with a key is never an open one.
//!
//! The rules are public, and pure, so that the simulation runs them as they are.

mod audience;
pub mod change;
pub mod declared;
mod directory;
mod error;
pub mod grant;
pub mod liveness;
mod lost;
mod notices;
pub mod publish_key;
pub mod record;
mod rpc;
mod store;

use astral_backend::{Backend, Truce};
use astral_chassis::{Context, Program, Threads};
use astral_proto::Problem;
use astral_runtime::TaskScope;
use astral_service::{Dependency, Service};
use declared::{Declared, StreamsError};
pub use error::Error;
use std::path::PathBuf;
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
    /// TOML file of streams that are always there, with the hashes of their keys
    #[arg(long, env = "ASTRAL_STREAMS_FILE", value_name = "FILE")]
    pub streams_file: Option<PathBuf>,
}

/// The directory cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The declared streams are no good.
    #[error(transparent)]
    Streams(#[from] StreamsError),
    /// The bus does not take its subscriptions.
    #[error(transparent)]
    Bus(#[from] Problem),
}

/// The directory as a process of its own.
pub struct DirectoryService;

impl Service for DirectoryService {
    const PROGRAM: Program = Program {
        name: "astral-directory",
        component: "directory",
        about: "Keeps which streams exist, who may publish them, and where each is ingested",
        threads: Threads::PerCore,
    };
    const WAITS_FOR: &'static [Dependency] = &[Dependency::Bus, Dependency::State];
    type Config = Config;
    type Error = StartError;

    async fn start(config: Config, backend: Backend, context: Context) -> Result<(), StartError> {
        start(config, backend, context.scope).await
    }
}

/// Starts the directory: it serves once this returns, until `serving` stops.
///
/// # Errors
/// [`StartError::Streams`] if the file of streams is no good; those of the bus.
pub async fn start(config: Config, backend: Backend, serving: TaskScope) -> Result<(), StartError> {
    let env = backend.env.split("directory");
    let declared = match config.streams_file.as_deref() {
        Some(path) => Declared::read(path, env.clone())?,
        None => Declared::none(env.clone()),
    };
    let truce = Arc::new(Truce::begin(&backend.state));
    let directory = directory::Directory {
        store: store::Store {
            state: backend.state,
            env: env.clone(),
            declared: Arc::new(declared),
            memory: Arc::default(),
        },
        bus: backend.bus,
        env,
        open_publishing: config.open_publishing,
        audience: Arc::default(),
        truce,
        tasks: serving.tasks.clone(),
    };
    Ok(rpc::serve(directory, &serving).await?)
}
