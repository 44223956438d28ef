//! Whether bus and state are there.

use crate::Backend;
use astral_proto::Code;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks while one of them was never there: a process waits for it to be ready.
const FIRST_LOOK: Duration = Duration::from_millis(100);

impl Backend {
    /// Tells `tell` again and again whether the bus is there, and whether the state is, until `stopping`.
    pub async fn watch(self, stopping: CancellationToken, tell: impl Fn(bool, bool)) {
        let watching = async {
            let mut were_there = false;
            loop {
                let (bus, state) = (self.bus.is_connected(), self.has_state().await);
                tell(bus, state);
                were_there |= bus && state;
                tokio::time::sleep(if were_there { LOOK } else { FIRST_LOOK }).await;
            }
        };
        stopping.run_until_cancelled(watching).await;
    }

    async fn has_state(&self) -> bool {
        let asked = self.state.probe().await;
        asked.err().is_none_or(|problem| !matches!(problem.code, Code::ControlPlaneAway | Code::Timeout))
    }
}
