//! Whether bus and state are there.

use crate::Backend;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks while one of them was never there: a process waits for it to be ready.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// That a system is there, or why it is not.
pub type Presence = Result<(), String>;

impl Backend {
    /// Tells `tell` again and again whether the bus is there, and whether the state is there and takes writes, or else why
    /// not, until `stopping`.
    pub async fn watch(self, stopping: CancellationToken, tell: impl Fn(Presence, Presence)) {
        let watching = async {
            let mut were_there = false;
            loop {
                let bus = self.bus.presence();
                let state = self.state.probe().await.map_err(|problem| problem.detail);
                were_there |= bus.is_ok() && state.is_ok();
                tell(bus, state);
                tokio::time::sleep(if were_there { LOOK } else { FIRST_LOOK }).await;
            }
        };
        stopping.run_until_cancelled(watching).await;
    }
}
