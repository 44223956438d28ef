//! The control services on one bus and state within this process, and relays that speak as real ones do.

mod relay;

use astral_backend::Backend;
use astral_proto::message::Request;
use astral_proto::{Problem, Slug};
use astral_runtime::TaskScope;
use std::sync::Arc;
use std::time::Duration;

pub use relay::Relay;

/// How long a condition may take to come true, on paused time.
const PATIENCE: Duration = Duration::from_secs(60);

/// The three control services, past the lease after their start in which they take nobody for dead.
pub struct Control {
    /// Their bus and state.
    pub backend: Backend,
    /// Their tasks.
    pub serving: TaskScope,
    links: relay::Links,
}

impl Control {
    /// Starts them, with supernodes that admit so many children.
    pub async fn start(children_limit: usize, open_publishing: bool) -> Self {
        Self::start_on(Backend::local(), children_limit, open_publishing).await
    }

    /// The same, on another bus and state.
    pub async fn start_on(backend: Backend, children_limit: usize, open_publishing: bool) -> Self {
        let directory = astral_directory::Config {
            open_publishing,
            streams_file: None,
        };
        Self::start_with(backend, children_limit, directory).await
    }

    /// The same, with a directory that is set up so.
    pub async fn start_with(
        backend: Backend,
        children_limit: usize,
        directory: astral_directory::Config,
    ) -> Self {
        let serving = TaskScope::default();
        let bus = || backend.clone();
        let on = || serving.clone();
        astral_directory::start(directory, bus(), on())
            .await
            .expect("the local bus takes all");
        let config = astral_supernode_coordinator::Config { children_limit };
        astral_supernode_coordinator::start(config, bus(), on())
            .await
            .expect("the local bus takes all");
        let config = astral_ticket_broker::Config {
            ticket_key_file: None,
        };
        astral_ticket_broker::start(config, bus(), on())
            .await
            .expect("the local bus takes all");
        pass(Duration::from_secs(7)).await;
        Self {
            backend,
            serving,
            links: Arc::default(),
        }
    }

    /// Empties the shared state, as a Redis that lost its memory.
    ///
    /// # Panics
    /// If the state is not one within the process.
    pub async fn wipe(&self) {
        let is_empty = self.backend.state.forget_everything();
        assert!(is_empty, "only a state within the process can be emptied");
    }

    /// Asks a service.
    ///
    /// # Errors
    /// The service's.
    pub async fn ask<R: Request>(&self, request: R) -> Result<R::Reply, Problem> {
        self.backend
            .bus
            .request(&request, Duration::from_secs(10))
            .await
    }
}

/// Lets so much paused time pass, with all that is due in it.
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Waits until `seen` gives something.
///
/// # Panics
/// If it does not within a minute of paused time.
pub async fn eventually<T>(what: &str, mut seen: impl AsyncFnMut() -> Option<T>) -> T {
    let tries = async {
        loop {
            if let Some(seen) = seen().await {
                return seen;
            }
            pass(Duration::from_millis(100)).await;
        }
    };
    let given_up = tokio::time::timeout(PATIENCE, tries).await;
    given_up.unwrap_or_else(|_| panic!("{what}: not within {} s", PATIENCE.as_secs()))
}

/// The stream that most tests are about.
pub fn demo() -> Slug {
    "demo".parse().expect("demo is a slug")
}
