//! Requests and the clock in; calls on the [`Coordinator`] out.

use crate::coordinator::Coordinator;
use astral_proto::Problem;
use astral_runtime::{LogThrottle, TaskScope};
use astral_service::RequestServer;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// The service's name on the bus.
const SERVICE: &str = "supernode-coordinator";
/// What each sweep would log while the state is away.
static BROKEN_OFF: LogThrottle = LogThrottle::new();
/// Between two looks at who has been silent for too long.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// A pause between two of them that is longer than this is one in which the whole process stood still.
const STOOD_STILL: Duration = Duration::from_secs(3);

/// Serves until told to stop.
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

/// A state that cannot be reached hides heartbeats, so silence is no sign of death then.
fn renew_truce(coordinator: &Coordinator, problem: &Problem) {
    if problem.code.may_retry() {
        coordinator.truce.renew();
    }
}

async fn sweep(coordinator: Coordinator, serving: TaskScope) {
    let mut ticks = interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut rested = Instant::now();
    while serving
        .stopping
        .run_until_cancelled(ticks.tick())
        .await
        .is_some()
    {
        // Who stood still, or is cut off, has heard nobody: silence is no sign of death.
        if !coordinator.bus.is_connected() || rested.elapsed() > STOOD_STILL {
            coordinator.truce.renew();
        }
        if let Err(error) = coordinator.sweep().await {
            if let Some(times) = BROKEN_OFF.occurred(error.code.as_str()) {
                tracing::warn!(%error, times, "a sweep broke off");
            }
            coordinator.truce.renew();
        }
        rested = Instant::now();
    }
}
