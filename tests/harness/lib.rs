//! The library for tests: a [`Cluster`] of real relays in this process, a [`Deployment`] of real
//! processes, a [`Publisher`] that is a real ffmpeg, a [`Viewer`] and a [`Link`] that check every
//! frame, and [`eventually`], which waits for a condition and never for a fixed time.

pub mod chain;
mod cluster;
pub mod collector;
pub mod conformance;
mod edge;
mod gateway;
pub mod hls;
pub mod http;
mod link;
pub mod player;
pub mod processes;
pub mod publisher;
mod rtmp;
pub mod splice;
pub mod tape;
pub mod viewer;

pub use chain::Chain;
pub use cluster::Cluster;
pub use collector::Collector;
pub use edge::Edge;
pub use gateway::Gateway;
pub use link::{Brought, Link};
pub use processes::Deployment;
pub use publisher::Publisher;
pub use rtmp::Rtmp;
use std::time::Duration;
pub use viewer::{Ending, Viewer, assert_same_frames};

/// Longest time for a condition on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two checks of a condition.
pub(crate) const ASK_EVERY: Duration = Duration::from_millis(20);

/// Calls `condition` until it returns a value. Returns that value.
///
/// # Panics
/// With `what`, if that does not happen within [`PATIENCE`].
pub async fn eventually<T, F>(what: &str, mut condition: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let asking = async {
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .unwrap_or_else(|_| panic!("in {PATIENCE:?} never: {what}"))
}
