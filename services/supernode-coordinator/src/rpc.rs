//! Passes requests and the ticks of the clock to the [`Coordinator`].

use crate::Error;
use crate::coordinator::Coordinator;
use astral_proto::Problem;
use astral_runtime::{LogThrottle, TaskScope};
use astral_service::RequestServer;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// The service's name on the bus.
const SERVICE: &str = "supernode-coordinator";
/// Limits the log line that every sweep would write while the state is unreachable.
static SWEEP_FAILED: LogThrottle = LogThrottle::new();
/// The time between two sweeps.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// If the time between two sweeps is longer than this, the whole process stood still.
const STANDSTILL: Duration = Duration::from_secs(3);

/// Answers requests until `serving` stops.
///
/// # Errors
/// Those of the bus.
pub async fn serve(coordinator: Coordinator, serving: &TaskScope) -> Result<(), Problem> {
    let requests = RequestServer {
        service: &coordinator,
        name: SERVICE,
        bus: &coordinator.bus,
        scope: serving,
        on_problem: renew_truce,
    };
    requests.answer(Coordinator::register).await?;
    requests.answer(Coordinator::heartbeat).await?;
    requests.answer(Coordinator::leave).await?;
    requests.answer(Coordinator::get).await?;
    requests.answer(Coordinator::list).await?;
    serving.tasks.spawn(sweep(coordinator, serving.clone()));
    Ok(())
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Backend(problem) => problem,
            other => Problem::new(other.code(), other.to_string()),
        }
    }
}

/// While the state is unreachable, heartbeats are lost. So silence proves nothing for one lease.
fn renew_truce(coordinator: &Coordinator, problem: &Problem) {
    if problem.code.may_retry() {
        coordinator.truce.renew();
    }
}

/// Looks for silent nodes once a second.
async fn sweep(coordinator: Coordinator, serving: TaskScope) {
    let mut ticks = interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut finished_at = Instant::now();
    while serving
        .stopping
        .run_until_cancelled(ticks.tick())
        .await
        .is_some()
    {
        // A process that stood still, or is cut off, has received no heartbeats, so silence proves
        // nothing.
        if !coordinator.bus.is_connected() || finished_at.elapsed() > STANDSTILL {
            coordinator.truce.renew();
        }
        if let Err(error) = coordinator.sweep().await {
            if let Some(times) = SWEEP_FAILED.occurred(error.code().as_str()) {
                tracing::warn!(%error, times, "a sweep for silent nodes failed");
            }
            coordinator.truce.renew();
        }
        finished_at = Instant::now();
    }
}
