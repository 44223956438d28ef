//! Requests, events and timers call the broker from here.

use crate::broker::Broker;
use crate::error::Error;
use crate::heartbeat::{node_gone, renew};
use crate::{flowing, list, tickets, tree};
use astral_backend::Subscription;
use astral_proto::Problem;
use astral_proto::message::{NodeGone, RenewTickets, Renewed, event};
use astral_runtime::{LogThrottle, TaskScope};
use astral_service::RequestServer;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// The name of the service on the bus.
const SERVICE: &str = "ticket-broker";
/// Keeps repeated warnings out of the log while the state is away.
static STATE_NOT_CHECKED: LogThrottle = LogThrottle::new();
/// The same, for warnings that the tickets of a node that has gone could not be dropped.
static TICKETS_NOT_DROPPED: LogThrottle = LogThrottle::new();
/// How often the broker checks the bus and the state.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// If more time than this has passed since the last check, the whole process has stood still.
const STOOD_STILL: Duration = Duration::from_secs(3);

/// Serves the broker until it is told to stop.
///
/// # Errors
/// Those of the bus.
pub async fn serve(broker: Broker, serving: &TaskScope) -> Result<(), Problem> {
    let requests = RequestServer {
        service: &broker,
        name: SERVICE,
        bus: &broker.bus,
        scope: serving,
        on_problem: |_, _| {},
    };
    requests.answer_repeatable(Broker::request).await?;
    requests.answer(tickets::confirm).await?;
    requests.answer_repeatable(tickets::switch).await?;
    requests.answer(tickets::cancel).await?;
    requests.answer(renew_or_begin_truce).await?;
    requests.answer(list::list).await?;
    requests.answer(tree::tree).await?;
    requests.answer(flowing::find_flowing).await?;
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
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Outside(problem) => problem,
            error => Problem::new(error.code(), error.to_string()),
        }
    }
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
    serving: TaskScope,
) {
    while let Some(Some(gone)) = serving.stopping.run_until_cancelled(events.next()).await {
        if let Err(error) = node_gone(&broker, &gone).await
            && let Some(times) = TICKETS_NOT_DROPPED.occurred(error.code().as_str())
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

async fn check_regularly(broker: Broker, serving: TaskScope) {
    let mut ticks = interval(CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_check = Instant::now();
    while serving
        .stopping
        .run_until_cancelled(ticks.tick())
        .await
        .is_some()
    {
        // A broker that stood still or was cut off has received no heartbeats, so it must not take
        // missing ones for the death of nodes.
        if !broker.bus.is_connected() || last_check.elapsed() > STOOD_STILL {
            broker.truce.renew();
        }
        if let Err(error) = restore_shared(&broker).await {
            let code = error.code().as_str();
            if let Some(times) = STATE_NOT_CHECKED.occurred(code) {
                tracing::warn!(%error, times, "state not checked");
            }
            broker.truce.renew();
        }
        last_check = Instant::now();
    }
}

/// Finds out whether the state was lost. If so, restores what all brokers share: the generation of
/// the ledgers and the ticket key.
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
        let own = Problem::from(Error::NoTicket(id));
        assert_eq!(own.code, Code::NotFound);
        assert!(own.detail.contains(&id.to_string()), "{own}");
        let outside = Problem::new(Code::Timeout, "the state did not answer");
        assert_eq!(Problem::from(Error::from(outside.clone())), outside);
    }
}
