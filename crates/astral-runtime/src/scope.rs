//! Tasks that belong together.

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The tasks of a service, a relay or a process: how to tell them to stop, and how to wait for
/// them.
///
/// Clones share both.
#[derive(Clone, Debug, Default)]
pub struct TaskScope {
    /// Cancelled when the tasks are to stop. They take no new work then, and finish what they have.
    pub stopping: CancellationToken,
    /// Tracks the tasks, so that a drain can wait until all have ended.
    pub tasks: TaskTracker,
}
