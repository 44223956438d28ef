//! The ticket broker: grants, confirms, renews, moves and revokes tickets, and owns the ledger of what each relay has
//! promised.
//!
//! It promises that no grant ever exceeds a relay's capacity as known then, whatever comes between; that no ticket
//! leads round to the relay that asked; and that no silence counts within one lease of its own start.
//!
//! The rules are public, and pure, so that the simulation runs them as they are.

mod broker;
pub mod candidate_index;
pub mod carrier;
pub mod judge;
mod keys;
mod lag;
pub mod ledger;
pub mod reparent;
mod rpc;
mod snapshot;
mod store;

use astral_backend::{Backend, Serving, State, Truce};
use astral_proto::{Problem, Recurring};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Requests that may wait for a supernode to fetch at a time. Below the number of requests that the bus lets one
/// broker handle, so that the requests which those fetches make are always answered.
const FETCHES_MAX: usize = 128;
/// Between two tries to get the ticket key from a state that is away.
const KEYS_RETRY: Duration = Duration::from_millis(250);

/// Settings of the ticket broker.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Ed25519 seed that signs tickets, as base64url; a second line holds the one before. Made at start if not given
    #[arg(long, env = "ASTRAL_TICKET_KEY_FILE", value_name = "FILE", value_parser = keys::key_file)]
    pub ticket_key_file: Option<PathBuf>,
}

/// Starts the broker: it serves once this returns, until `serving` stops. Waits for a state that is away.
///
/// Waits for a state that is away, which has the key that all replicas sign with.
///
/// # Errors
/// `bad_request` if the key file is none; those of the bus and the state.
pub async fn start(config: Config, backend: Backend, serving: Serving) -> Result<(), Problem> {
    let keys = load_keys(config, &backend.state).await?;
    let truce = Arc::new(Truce::begin(&backend.state));
    let broker = broker::Broker {
        store: store::Store::new(backend.state),
        snapshots: Arc::default(),
        bus: backend.bus,
        keys: Arc::new(keys),
        truce,
        generation: Arc::default(),
        fetches: Arc::new(Semaphore::new(FETCHES_MAX)),
        tasks: serving.tasks.clone(),
    };
    rpc::serve(broker, &serving).await
}

async fn load_keys(config: Config, state: &State) -> Result<keys::Keys, Problem> {
    let troubles = Recurring::new();
    loop {
        match keys::Keys::load(config.ticket_key_file.as_deref(), state).await {
            Err(problem) if problem.code.may_retry() => {
                if let Some(times) =
                    troubles.occurred(problem.code.as_str(), std::time::Instant::now())
                {
                    tracing::warn!(%problem, times, "waiting for the state, which has the ticket key");
                }
                tokio::time::sleep(KEYS_RETRY).await;
            }
            loaded => return loaded,
        }
    }
}
