//! What a process hands to its services.

use crate::readiness::{Readiness, ReadyLatch};
use astral_runtime::{TaskScope, lock};
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Time for the drain of a context without a process.
const DETACHED_GRACE: Duration = Duration::from_secs(20);
/// How `/readyz` shows a system that cannot be reached.
const AWAY: &str = "away";

/// What a process hands to its services: when to stop, where to spawn tasks, and how to report
/// their health.
#[derive(Clone)]
pub struct Context {
    /// Its `stopping` is cancelled when the drain begins. The drain waits for its `tasks`.
    pub scope: TaskScope,
    shared: Arc<Shared>,
}

/// Returns what still keeps a part of the process from ending, such as `2 viewers`; None if nothing
/// does.
type Waiting = Box<dyn Fn() -> Option<String> + Send + Sync>;

struct Shared {
    grace: Duration,
    readiness: Arc<Readiness>,
    /// The end of the drain, once it has begun.
    deadline: OnceLock<Instant>,
    failed: CancellationToken,
    /// Each of them explains what the drain waits for. There is one for each relay of the process.
    waiting: Mutex<Vec<Waiting>>,
}

impl Context {
    /// A context without a process, for services in a test or in another program: no signals, no
    /// ops listener.
    pub fn detached() -> Self {
        Self::new(DETACHED_GRACE)
    }

    pub(crate) fn new(grace: Duration) -> Self {
        let shared = Shared {
            grace,
            readiness: Arc::default(),
            deadline: OnceLock::new(),
            failed: CancellationToken::new(),
            waiting: Mutex::default(),
        };
        Self {
            scope: TaskScope::default(),
            shared: Arc::new(shared),
        }
    }

    /// Spawns a task that the drain waits for. Its log lines have the field `task` with this name,
    /// at every level.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.scope
            .tasks
            .spawn(future.instrument(tracing::error_span!("task", task = name)))
    }

    /// Spawns a task that the process cannot do without. If it ends or panics before the drain, the
    /// process drains and exits with 1.
    pub fn spawn_critical<F>(&self, name: &'static str, future: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let guard = CriticalTask {
            name,
            context: self.clone(),
        };
        self.spawn(name, async move {
            let _guard = guard;
            future.await;
        })
    }

    /// Adds something that must happen once before the process is ready.
    pub fn ready_latch(&self, name: &'static str) -> ReadyLatch {
        self.shared.readiness.latch(name)
    }

    /// Adds a system outside the process, such as a bus. The process is ready only after the system
    /// has been reachable once. `/readyz` shows whether it is.
    pub fn dependency(&self, name: &'static str) -> Dependency {
        self.status(name, AWAY);
        Dependency {
            name,
            reached: self.ready_latch(name),
            context: self.clone(),
        }
    }

    /// Adds a source that explains what the drain waits for, such as `1 publisher, 2 viewers`; None
    /// if it waits for nothing there. During the drain, the process asks it about once a second and
    /// logs the answer.
    pub fn explain_drain(&self, waiting: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.waiting().push(Box::new(waiting));
    }

    /// What the drain waits for, in words: the answers of all sources, or else the number of tasks.
    pub(crate) fn waiting_for(&self) -> String {
        let answers: Vec<String> = self
            .waiting()
            .iter()
            .filter_map(|waiting| waiting())
            .collect();
        match answers.is_empty() {
            true => format!("{} tasks", self.scope.tasks.len()),
            false => answers.join(", "),
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        lock(&self.shared.waiting)
    }

    /// Whether every latch has been released and the drain has not begun.
    pub fn is_ready(&self) -> bool {
        self.shared.readiness.is_ready()
    }

    /// Sets a line in the body of `/readyz`, such as `control_plane: away`. Does not change
    /// readiness.
    pub fn status(&self, name: &'static str, value: impl Into<String>) {
        self.shared.readiness.set_status(name, value.into());
    }

    /// When the drain must be over; None before it has begun.
    pub fn deadline(&self) -> Option<Instant> {
        self.shared.deadline.get().copied()
    }

    /// Starts the drain, as the first signal does: not ready, deadline set, `stopping` cancelled.
    pub fn stop(&self) {
        self.shared.readiness.drain();
        self.shared
            .deadline
            .get_or_init(|| Instant::now() + self.shared.grace);
        self.scope.stopping.cancel();
    }

    /// Waits for every task, until the deadline of a drain that has begun. Returns whether all have
    /// ended.
    pub async fn drained(&self) -> bool {
        self.scope.tasks.close();
        let deadline = self
            .deadline()
            .unwrap_or_else(|| Instant::now() + self.shared.grace);
        tokio::time::timeout_at(deadline, self.scope.tasks.wait())
            .await
            .is_ok()
    }

    pub(crate) fn grace(&self) -> Duration {
        self.shared.grace
    }

    pub(crate) fn readiness(&self) -> Arc<Readiness> {
        Arc::clone(&self.shared.readiness)
    }

    /// Cancelled when a critical task has ended too early.
    pub(crate) fn failed(&self) -> &CancellationToken {
        &self.shared.failed
    }
}

/// A system outside the process, such as a bus.
pub struct Dependency {
    name: &'static str,
    reached: ReadyLatch,
    context: Context,
}

impl Dependency {
    /// Reports whether the system is reachable, or why it is not. The first success counts for
    /// readiness.
    pub fn report(&self, reachable: Result<(), String>) {
        match reachable {
            Ok(()) => {
                self.context.status(self.name, "up");
                self.reached.release();
            }
            Err(why) => self.context.status(self.name, format!("{AWAY}: {why}")),
        }
    }
}

/// Dropped when its task ends, for any reason.
struct CriticalTask {
    name: &'static str,
    context: Context,
}

impl Drop for CriticalTask {
    fn drop(&mut self) {
        if !self.context.scope.stopping.is_cancelled() {
            tracing::error!(task = self.name, "a task that the process needs has ended");
            self.context.shared.failed.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_critical_task_fails_the_process_only_if_it_ends_before_the_drain() {
        let context = Context::detached();
        let stopping = context.scope.stopping.clone();
        context.spawn_critical("waits", async move { stopping.cancelled().await });
        context.stop();
        assert!(context.drained().await);
        assert!(!context.failed().is_cancelled());

        let context = Context::detached();
        context.spawn_critical("ends", async {});
        context.failed().cancelled().await;
    }

    #[tokio::test]
    async fn a_critical_task_that_panics_fails_the_process() {
        let context = Context::detached();
        let ended = context
            .spawn_critical("panics", async { panic!("on purpose") })
            .await;
        assert!(ended.is_err() && context.failed().is_cancelled());
    }

    #[tokio::test]
    async fn a_process_is_ready_once_what_is_outside_was_there_and_stays_so() {
        let context = Context::detached();
        let bus = context.dependency("bus");
        assert_eq!(
            context.readiness().report(),
            (false, "not ready\nwaiting for bus\nbus: away\n".into())
        );
        bus.report(Err("no such host".into()));
        let report = "not ready\nwaiting for bus\nbus: away: no such host\n";
        assert_eq!(context.readiness().report(), (false, report.into()));
        bus.report(Ok(()));
        assert_eq!(
            context.readiness().report(),
            (true, "ready\nbus: up\n".into())
        );
        bus.report(Err("it is gone".into()));
        assert_eq!(
            context.readiness().report(),
            (true, "ready\nbus: away: it is gone\n".into())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_drain_waits_up_to_its_deadline_and_no_longer() {
        let context = Context::detached();
        assert_eq!(context.deadline(), None);
        context.spawn("never ends", std::future::pending::<()>());
        let begun = Instant::now();
        context.stop();
        context.stop();
        assert_eq!(context.deadline(), Some(begun + DETACHED_GRACE));
        assert!(!context.drained().await);
        assert!((DETACHED_GRACE..DETACHED_GRACE * 2).contains(&begun.elapsed()));
    }
}
