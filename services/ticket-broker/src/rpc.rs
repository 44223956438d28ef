//! Requests, deaths and the clock in; calls on the [`Broker`] out.

use crate::broker::Broker;
use astral_backend::{Asked, Serving, Subscription};
use astral_proto::message::{NodeGone, RenewTickets, Request, event};
use astral_proto::{Problem, Recurring};
use std::{future::Future, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// The service's name on the bus.
const SERVICE: &str = "ticket-broker";
/// What each look and each lost node would log while the state is away.
static NOT_LOOKED: Recurring = Recurring::new();
static NOT_BURIED: Recurring = Recurring::new();
/// Between two looks at whether bus and state are there and whole.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A pause between two of them that is longer than this is one in which the whole process stood still.
const STOOD_STILL: Duration = Duration::from_secs(3);

/// Serves until told to stop.
///
/// # Errors
/// Those of the bus.
pub async fn serve(broker: Broker, serving: &Serving) -> Result<(), Problem> {
    answer_repeatable(&broker, serving, Broker::request).await?;
    answer(&broker, serving, Broker::confirm).await?;
    answer_repeatable(&broker, serving, Broker::switch).await?;
    answer(&broker, serving, Broker::cancel).await?;
    answer(&broker, serving, renew).await?;
    answer(&broker, serving, Broker::list).await?;
    answer(&broker, serving, Broker::tree).await?;
    answer(&broker, serving, Broker::flowing).await?;
    let deaths = broker
        .bus
        .subscribe(event::NODE_GONE, Some(SERVICE))
        .await?;
    serving
        .tasks
        .spawn(bury(broker.clone(), deaths, serving.clone()));
    serving.tasks.spawn(look(broker, serving.clone()));
    Ok(())
}

async fn answer<R: Request, Fut>(
    broker: &Broker,
    serving: &Serving,
    call: fn(Broker, R) -> Fut,
) -> Result<(), Problem>
where
    Fut: Future<Output = Result<R::Reply, Problem>> + Send + 'static,
{
    let handler = broker.clone();
    broker
        .bus
        .serve(SERVICE, serving, move |request| {
            call(handler.clone(), request)
        })
        .await
}

/// As [`answer`], where it matters that a request may have been handled by another replica.
async fn answer_repeatable<R: Request, Fut>(
    broker: &Broker,
    serving: &Serving,
    call: fn(Broker, R, Asked) -> Fut,
) -> Result<(), Problem>
where
    Fut: Future<Output = Result<R::Reply, Problem>> + Send + 'static,
{
    let handler = broker.clone();
    let handle = move |request, asked| call(handler.clone(), request, asked);
    broker.bus.serve_repeatable(SERVICE, serving, handle).await
}

async fn renew(
    broker: Broker,
    ask: RenewTickets,
) -> Result<<RenewTickets as Request>::Reply, Problem> {
    let truce = broker.truce.clone();
    // A heartbeat that could not be kept leaves leases to run out that should not.
    broker.renew(ask).await.inspect_err(|_| truce.renew())
}

async fn bury(broker: Broker, mut deaths: Subscription<NodeGone>, serving: Serving) {
    while let Some(Some(gone)) = serving.stopping.run_until_cancelled(deaths.next()).await {
        if let Err(error) = broker.node_gone(&gone).await
            && let Some(times) = NOT_BURIED.occurred(error.code.as_str(), std::time::Instant::now())
        {
            let node = gone.node;
            tracing::warn!(node.id = %node, %error, times, "the tickets of a lost node were left to run out");
        }
    }
}

async fn look(broker: Broker, serving: Serving) {
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut rested = Instant::now();
    while serving
        .stopping
        .run_until_cancelled(ticks.tick())
        .await
        .is_some()
    {
        // Who stood still, or is cut off, has heard nobody: silence is no sign of death.
        if !broker.bus.is_connected() || rested.elapsed() > STOOD_STILL {
            broker.truce.renew();
        }
        if let Err(error) = broker.look().await {
            if let Some(times) = NOT_LOOKED.occurred(error.code.as_str(), std::time::Instant::now())
            {
                tracing::warn!(%error, times, "the state was not looked at");
            }
            broker.truce.renew();
        }
        rested = Instant::now();
    }
}
