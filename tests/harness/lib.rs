//! What scenarios are written with: a [`Cluster`] of real relays in this process, a [`Publisher`] that is a real ffmpeg,
//! and [`eventually`], which waits for conditions and never for time.

mod cluster;
mod publisher;

pub use cluster::Cluster;
pub use publisher::Publisher;
use std::time::Duration;

/// How long a condition may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` gives something, asking every 20 ms.
///
/// # Panics
/// With `what` if it does not within [`PATIENCE`].
pub async fn eventually<T, F>(what: &str, mut condition: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let asking = async {
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("in {PATIENCE:?} never: {what}"))
}
