//! Requests, events and timers call the broker from here.

use crate::broker::Broker;
use crate::error::Error;
use crate::heartbeat::{node_gone, renew};
use crate::{flowing, list, tickets, tree};
use astral_backend::{Asked, Serving, Subscription};
use astral_proto::message::{NodeGone, RenewTickets, Renewed, Request, event};
use astral_proto::{Problem, Recurring};
use std::{future::Future, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// The name of the service on the bus.
const SERVICE: &str = "ticket-broker";
/// Keeps repeated warnings out of the log while the state is away.
static STATE_NOT_CHECKED: Recurring = Recurring::new();
/// The same, for nodes that went.
static TICKETS_NOT_DROPPED: Recurring = Recurring::new();
/// How often the broker checks the bus and the state.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// If more time than this has passed since the last check, the whole process has stood still.
const STOOD_STILL: Duration = Duration::from_secs(3);

/// Serves the broker until it is told to stop.
///
/// # Errors
/// Those of the bus.
pub async fn serve(broker: Broker, serving: &Serving) -> Result<(), Problem> {
    answer_repeatable(&broker, serving, Broker::request).await?;
    answer(&broker, serving, tickets::confirm).await?;
    answer_repeatable(&broker, serving, tickets::switch).await?;
    answer(&broker, serving, tickets::cancel).await?;
    answer(&broker, serving, renew_or_begin_truce).await?;
    answer(&broker, serving, list::list).await?;
    answer(&broker, serving, tree::tree).await?;
    answer(&broker, serving, flowing::find_flowing).await?;
    let gone = broker
        .bus
        .subscribe(event::NODE_GONE, Some(SERVICE))
        .await?;
    serving
        .tasks
        .spawn(drop_tickets_of_gone(broker.clone(), gone, serving.clone()));
    serving
        .tasks
        .spawn(check_regularly(broker, serving.clone()));
    Ok(())
}

/// The error as callers receive it. Every error of the broker leaves it here.
pub fn problem(error: Error) -> Problem {
    match error {
        Error::Outside(problem) => problem,
        error => Problem::new(error.code(), error.to_string()),
    }
}

async fn answer<R: Request, Fut>(
    broker: &Broker,
    serving: &Serving,
    call: fn(Broker, R) -> Fut,
) -> Result<(), Problem>
where
    Fut: Future<Output = Result<R::Reply, Error>> + Send + 'static,
{
    let shared = broker.clone();
    let handle = move |request| {
        let answer = call(shared.clone(), request);
        async move { answer.await.map_err(problem) }
    };
    broker.bus.serve(SERVICE, serving, handle).await
}

/// As [`answer`], for requests with which it matters that another replica may have handled them.
async fn answer_repeatable<R: Request, Fut>(
    broker: &Broker,
    serving: &Serving,
    call: fn(Broker, R, Asked) -> Fut,
) -> Result<(), Problem>
where
    Fut: Future<Output = Result<R::Reply, Error>> + Send + 'static,
{
    let shared = broker.clone();
    let handle = move |request, asked| {
        let answer = call(shared.clone(), request, asked);
        async move { answer.await.map_err(problem) }
    };
    broker.bus.serve_repeatable(SERVICE, serving, handle).await
}

/// Applies a heartbeat. If that fails, leases may end that the heartbeat would have renewed, so a
/// truce begins.
async fn renew_or_begin_truce(broker: Broker, ask: RenewTickets) -> Result<Renewed, Error> {
    let truce = broker.truce.clone();
    renew(broker, ask).await.inspect_err(|_| truce.renew())
}

async fn drop_tickets_of_gone(
    broker: Broker,
    mut events: Subscription<NodeGone>,
    serving: Serving,
) {
    while let Some(Some(gone)) = serving.stopping.run_until_cancelled(events.next()).await {
        if let Err(error) = node_gone(&broker, &gone).await
            && let Some(times) =
                TICKETS_NOT_DROPPED.occurred(error.code().as_str(), std::time::Instant::now())
        {
            tracing::warn!(
                node.id = %gone.node,
                %error,
                times,
                "tickets of a node that has gone not dropped; they end with their leases"
            );
        }
    }
}

async fn check_regularly(broker: Broker, serving: Serving) {
    let mut ticks = interval(CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_check = Instant::now();
    while serving
        .stopping
        .run_until_cancelled(ticks.tick())
        .await
        .is_some()
    {
        // A broker that stood still or was cut off has heard nobody, so the silence of others
        // proves nothing.
        if !broker.bus.is_connected() || last_check.elapsed() > STOOD_STILL {
            broker.truce.renew();
        }
        if let Err(error) = restore_shared(&broker).await {
            let code = error.code().as_str();
            if let Some(times) = STATE_NOT_CHECKED.occurred(code, std::time::Instant::now()) {
                tracing::warn!(%error, times, "state not checked");
            }
            broker.truce.renew();
        }
        last_check = Instant::now();
    }
}

/// Finds out whether the state was lost, and restores what all brokers share.
async fn restore_shared(broker: &Broker) -> Result<(), Error> {
    broker.generation().await?;
    broker.keys.restore(&broker.store.state).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use astral_proto::{Code, TicketId};

    #[test]
    fn an_error_of_the_broker_has_its_code_and_one_from_outside_passes_unchanged() {
        let id = TicketId::random();
        let own = problem(Error::NoTicket(id));
        assert_eq!(own.code, Code::NotFound);
        assert!(own.detail.contains(&id.to_string()), "{own}");
        let outside = Problem::new(Code::Timeout, "the state did not answer");
        assert_eq!(problem(outside.clone().into()), outside);
    }
}
