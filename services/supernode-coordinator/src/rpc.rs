//! Requests and the clock in; calls on the [`Coordinator`] out.

use crate::coordinator::Coordinator;
use astral_backend::Serving;
use astral_proto::message::Request;
use astral_proto::{Problem, Recurring};
use std::{future::Future, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// The service's name on the bus.
const SERVICE: &str = "supernode-coordinator";
/// What each sweep would log while the state is away.
static BROKEN_OFF: Recurring = Recurring::new();
/// Between two looks at who has been silent for too long.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// A pause between two of them that is longer than this is one in which the whole process stood still.
const STOOD_STILL: Duration = Duration::from_secs(3);

/// Serves until told to stop.
///
/// # Errors
/// Those of the bus.
pub async fn serve(coordinator: Coordinator, serving: &Serving) -> Result<(), Problem> {
    answer(&coordinator, serving, Coordinator::register).await?;
    answer(&coordinator, serving, Coordinator::heartbeat).await?;
    answer(&coordinator, serving, Coordinator::leave).await?;
    answer(&coordinator, serving, Coordinator::get).await?;
    answer(&coordinator, serving, Coordinator::list).await?;
    serving.tasks.spawn(sweep(coordinator, serving.clone()));
    Ok(())
}

async fn answer<R: Request, Fut>(
    coordinator: &Coordinator,
    serving: &Serving,
    call: fn(Coordinator, R) -> Fut,
) -> Result<(), Problem>
where
    Fut: Future<Output = Result<R::Reply, Problem>> + Send + 'static,
{
    let handler = coordinator.clone();
    let truce = coordinator.truce.clone();
    let handle = move |request| {
        let answered = call(handler.clone(), request);
        let truce = truce.clone();
        async move {
            // A state that cannot be reached hides heartbeats: silence then is no sign of death.
            answered.await.inspect_err(|error| {
                if error.code.may_retry() {
                    truce.renew();
                }
            })
        }
    };
    coordinator.bus.serve(SERVICE, serving, handle).await
}

async fn sweep(coordinator: Coordinator, serving: Serving) {
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
            if let Some(times) = BROKEN_OFF.occurred(error.code.as_str(), std::time::Instant::now())
            {
                tracing::warn!(%error, times, "a sweep broke off");
            }
            coordinator.truce.renew();
        }
        rested = Instant::now();
    }
}
