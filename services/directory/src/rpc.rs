//! Requests, heartbeats and the clock in; calls on the [`Directory`] out.

use crate::Error;
use crate::directory::Directory;
use astral_proto::Problem;
use astral_proto::message::ForwardHeartbeat;
use astral_runtime::{LogThrottle, TaskScope};
use astral_service::RequestServer;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// The service's name on the bus.
const SERVICE: &str = "directory";
/// What each heartbeat, look and sweep would log while the state is away.
static NOT_KEPT: LogThrottle = LogThrottle::new();
static NOT_DECLARED: LogThrottle = LogThrottle::new();
static BROKEN_OFF: LogThrottle = LogThrottle::new();
/// Between two looks at who has been silent for too long.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// A pause between two of them that is longer than this is one in which the whole process stood still.
const STOOD_STILL: Duration = Duration::from_secs(3);
/// Between two looks at whether the file of declared streams has changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Serves until told to stop.
///
/// # Errors
/// Those of the bus.
pub async fn serve(directory: Directory, serving: &TaskScope) -> Result<(), Problem> {
    let requests = RequestServer {
        service: &directory,
        name: SERVICE,
        bus: &directory.bus,
        scope: serving,
        on_problem: |_, _| {},
    };
    requests.answer_repeatable(Directory::go_live).await?;
    requests.answer(Directory::publisher_gone).await?;
    requests.answer_repeatable(Directory::create).await?;
    requests.answer(Directory::change).await?;
    requests.answer(Directory::get).await?;
    requests.answer(Directory::list).await?;
    requests.answer_repeatable(Directory::delete).await?;
    requests.answer(hear).await?;
    serving
        .tasks
        .spawn(declare(directory.clone(), serving.clone()));
    serving.tasks.spawn(sweep(directory, serving.clone()));
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

async fn hear(
    directory: Directory,
    ForwardHeartbeat { heartbeat }: ForwardHeartbeat,
) -> Result<(), Problem> {
    let heard = directory.hear(&heartbeat).await;
    heard.inspect_err(|error| {
        if let Some(times) = NOT_KEPT.occurred(error.code.as_str()) {
            tracing::warn!(node.id = %heartbeat.node, %error, times, "a heartbeat was not kept");
        }
        directory.truce.renew();
    })
}

/// Puts in place what the file declares, at start and whenever it changes. What is lost in between, sweeps put back.
async fn declare(directory: Directory, serving: TaskScope) {
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due = true;
    while serving
        .stopping
        .run_until_cancelled(ticks.tick())
        .await
        .is_some()
    {
        due |= directory.store.declared.look();
        if !due {
            continue;
        }
        due = false;
        if let Err(error) = directory.declare_all().await {
            if let Some(times) = NOT_DECLARED.occurred(error.code.as_str()) {
                tracing::warn!(%error, times, "declared streams are not all in place");
            }
            due = true;
        }
    }
}

async fn sweep(directory: Directory, serving: TaskScope) {
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
        if !directory.bus.is_connected() || rested.elapsed() > STOOD_STILL {
            directory.truce.renew();
        }
        if let Err(error) = directory.sweep().await {
            if let Some(times) = BROKEN_OFF.occurred(error.code.as_str()) {
                tracing::warn!(%error, times, "a sweep broke off");
            }
            directory.truce.renew();
        }
        rested = Instant::now();
    }
}
