//! The ticket broker grants, confirms, renews, moves and revokes tickets, and keeps the ledger of
//! what each relay has promised.
//!
//! It guarantees three things:
//!
//! - No grant exceeds the capacity of a relay that is known at that time, whatever fails in
//!   between.
//! - No ticket leads back to the relay that asked for it.
//! - For one lease (6 s) after an outage of the broker itself, no ticket ends because a heartbeat
//!   is missing. This time is the *truce*.
//!
//! A broker has nothing of its own but caches: every replica reads and writes the shared state.
//! `store.rs` lists what is stored there.
//!
//! Start reading at `Broker::request` in `broker.rs`. The rules (`judge`, `ledger`, `reparent`) are
//! pure functions. `tests/storm` also reads ledgers, to check that no relay promises more than it
//! has.

mod broker;
mod candidate_index;
mod carrier;
pub mod error;
mod fetch;
mod flowing;
mod gather;
mod heartbeat;
mod judge;
mod keys;
mod lag;
pub mod ledger;
mod list;
mod move_to_supernode;
mod push;
mod record;
mod reparent;
mod repeat;
mod replace;
mod reserve;
mod rpc;
mod snapshot;
mod store;
mod tickets;
mod tree;

use astral_backend::{Backend, State, Truce};
use astral_chassis::{Context, Program, Threads};
use astral_env::Env;
use astral_proto::Problem;
use astral_runtime::{LogThrottle, TaskScope};
use astral_service::{Dependency, Service};
use error::Error;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Requests that may wait for a supernode to fetch at the same time. This is less than the number
/// of requests that the bus lets one broker handle at a time, because a supernode that fetches a
/// stream requests a ticket itself. The broker must have room for that request.
const FETCHES_MAX: usize = 128;
/// While the state cannot be reached, the broker tries to read the ticket key at this interval.
const KEYS_RETRY: Duration = Duration::from_millis(250);

/// Settings of the ticket broker.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Ed25519 seed that signs tickets, as base64url; a second line holds the one before. Made at
    /// start if not given
    #[arg(long, env = "ASTRAL_TICKET_KEY_FILE", value_name = "FILE", value_parser = keys::key_file)]
    pub ticket_key_file: Option<PathBuf>,
}

/// The ticket broker as a process of its own.
pub struct BrokerService;

impl Service for BrokerService {
    const PROGRAM: Program = Program {
        name: "astral-ticket-broker",
        component: "ticket-broker",
        about: "Grants tickets between relays, and keeps the ledger of what each relay has promised",
        // Granting a ticket is half a dozen short waits, and waking another thread for each costs a
        // quarter more CPU than it gains. For more throughput, add replicas.
        threads: Threads::One,
    };
    const WAITS_FOR: &'static [Dependency] = &[Dependency::Bus, Dependency::State];
    type Config = Config;
    type Error = Problem;

    async fn start(config: Config, backend: Backend, context: Context) -> Result<(), Problem> {
        start(config, backend, context.scope).await
    }
}

/// Starts the broker. Once this returns, it serves until `serving` stops.
///
/// Without a key file, it first waits until the state can be reached: the state has the key with
/// which all replicas sign.
///
/// # Errors
/// `bad_request` if the key file is malformed; those of the bus and the state.
pub async fn start(config: Config, backend: Backend, serving: TaskScope) -> Result<(), Problem> {
    let env = backend.env.split("ticket-broker");
    let keys = load_keys(config, &backend.state, &env).await?;
    let truce = Arc::new(Truce::begin(&backend.state));
    let store = store::Store::new(backend.state, &env);
    let tasks = serving.tasks.clone();
    let broker = broker::Broker {
        env,
        snapshots: snapshot::Snapshots::new(store.clone(), backend.bus.clone(), tasks.clone()),
        store,
        bus: backend.bus,
        keys: Arc::new(keys),
        truce,
        generation: Arc::default(),
        fetches: Arc::new(Semaphore::new(FETCHES_MAX)),
        tasks,
    };
    rpc::serve(broker, &serving).await
}

async fn load_keys(config: Config, state: &State, env: &Env) -> Result<keys::Keys, Error> {
    let file = config.ticket_key_file.as_deref();
    let warnings = LogThrottle::new();
    loop {
        match keys::Keys::load(file, state, env).await {
            Err(error) if error.code().may_retry() => {
                let code = error.code().as_str();
                if let Some(times) = warnings.occurred(code) {
                    let message = "waiting for the state, which has the ticket key";
                    tracing::warn!(%error, times, "{message}");
                }
                tokio::time::sleep(KEYS_RETRY).await;
            }
            loaded => return loaded,
        }
    }
}
