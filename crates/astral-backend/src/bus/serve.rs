//! TaskScope requests: decode, call the handler, encode, many at once.

use super::ask::sign_every;
use super::desk::Desk;
use super::meter::Meter;
use super::replica::{Asked, Replica};
use super::wire::{Answer, Inbox, Message, ReplyTo};
use crate::observe::{self, Call};
use astral_proto::{Code, Problem};
use astral_runtime::TaskScope;
use serde::{Serialize, de::DeserializeOwned};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Requests of one kind that one server handles at a time; further ones wait in its queue.
const REQUESTS_IN_FLIGHT_MAX: usize = 256;
/// A handler is given up once its caller has waited for so many times as long as it said it would. One that is merely slow
/// goes on, and leaves nothing half done; one that stood still with its process must not go on by what it read before.
const GIVEN_UP_AFTER_TIMES: u32 = 2;

/// Requests of one kind, as one replica serves them.
pub(super) struct Counter<F> {
    /// As which they are counted and traced, whichever of its subjects a request came by.
    pub(super) subject: Arc<str>,
    /// Who answers; none where nobody asks for that.
    pub(super) replica: Option<Replica>,
    /// Where it is noted that requests wait.
    pub(super) desk: Arc<Desk>,
    /// What answers them.
    pub(super) handler: F,
}

/// Serves what arrives in each inbox on tracked tasks; gives the meter that counts it.
pub(super) fn spawn<Q, A, F, Fut>(
    inboxes: impl IntoIterator<Item = Inbox>,
    context: &TaskScope,
    counter: Counter<F>,
) -> Arc<Meter>
where
    Q: DeserializeOwned + Send + 'static,
    A: Serialize + Send + 'static,
    F: Fn(Q, Asked) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<A, Problem>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(REQUESTS_IN_FLIGHT_MAX));
    let counter = Arc::new(counter);
    let meter = Arc::<Meter>::default();
    for inbox in inboxes {
        context.tasks.spawn(take(
            inbox,
            context.clone(),
            slots.clone(),
            counter.clone(),
            meter.clone(),
        ));
    }
    meter
}

async fn take<Q, A, F, Fut>(
    mut inbox: Inbox,
    TaskScope { stopping, tasks }: TaskScope,
    slots: Arc<Semaphore>,
    counter: Arc<Counter<F>>,
    meter: Arc<Meter>,
) where
    Q: DeserializeOwned + Send + 'static,
    A: Serialize + Send + 'static,
    F: Fn(Q, Asked) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<A, Problem>> + Send + 'static,
{
    while let Some(message) = next_until(&mut inbox, &stopping).await {
        let slot = slot(&slots, &counter.desk).await;
        let counter = Arc::clone(&counter);
        let meter = Arc::clone(&meter);
        tasks.spawn(async move {
            answer(message, &counter, &meter).await;
            drop(slot);
        });
    }
}

/// Waits for its turn, and has it noted that somebody waits.
async fn slot(slots: &Arc<Semaphore>, desk: &Desk) -> OwnedSemaphorePermit {
    if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
        return slot;
    }
    let _waiting = desk.waits();
    Arc::clone(slots)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed")
}

/// The next request; after `stopping`, what is queued and then none.
async fn next_until(inbox: &mut Inbox, stopping: &CancellationToken) -> Option<Message> {
    tokio::select! {
        biased;
        () = stopping.cancelled() => {}
        message = inbox.next() => return message,
    }
    inbox.leave();
    inbox.next().await
}

async fn answer<Q, A, F, Fut>(message: Message, counter: &Counter<F>, meter: &Meter)
where
    Q: DeserializeOwned,
    A: Serialize,
    F: Fn(Q, Asked) -> Fut,
    Fut: Future<Output = Result<A, Problem>>,
{
    let Message {
        payload,
        reply_to,
        trace,
        asked,
        arrived,
        ..
    } = message;
    if asked.is_some_and(|asked| arrived.elapsed() >= asked.within) {
        // Its caller has given up, or has had the answer of another replica.
        observe::message_came_too_late();
        return;
    }
    let subject = &*counter.subject;
    let system = reply_to.as_ref().map_or("", ReplyTo::system);
    let started = Instant::now();
    let call = Call::served(system, subject, &trace);
    let handling = async {
        let malformed = |error| {
            Problem::new(
                Code::BadRequest,
                format!("malformed request to {subject}: {error}"),
            )
        };
        let request = serde_json::from_slice(&payload).map_err(malformed)?;
        // Boxed, since it is large and what runs it holds it several times over.
        let handling = Box::pin((counter.handler)(request, asked.unwrap_or_else(unnamed)));
        unless_given_up(
            asked.map(|asked| arrived + asked.within * GIVEN_UP_AFTER_TIMES),
            handling,
        )
        .await
    };
    let handling = call.run(handling);
    let result = match (asked, &counter.replica, &reply_to) {
        (Some(asked), Some(replica), Some(caller)) => {
            with_signs(handling, sign_every(&asked), || {
                caller.tell_working(replica)
            })
            .await
        }
        _ => handling.await,
    };
    meter.count(started.elapsed(), result.as_ref().err());
    if let Some(reply_to) = reply_to {
        reply_to
            .send(counter.replica.as_ref(), Answer::new(subject, result))
            .await;
    }
}

/// A request that says nothing of itself.
fn unnamed() -> Asked {
    Asked {
        request: Uuid::from_u128(rand::random()),
        attempt: 1,
        within: Duration::MAX,
    }
}

/// Handles a request, and says again and again that it is being worked on.
async fn with_signs<T, S: Future<Output = ()>>(
    handling: impl Future<Output = T>,
    every: Duration,
    sign: impl Fn() -> S,
) -> T {
    let mut handling = pin!(handling);
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            result = &mut handling => return result,
            _ = ticks.tick() => sign().await,
        }
    }
}

/// Handles a request unless the time is past `until` when it could go on.
async fn unless_given_up<T>(
    until: Option<Instant>,
    handling: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let mut handling = pin!(handling);
    poll_fn(|context| {
        if until.is_some_and(|until| Instant::now() >= until) {
            let problem = Problem::new(Code::Timeout, "whoever asked has given up");
            return Poll::Ready(Err(problem));
        }
        handling.as_mut().poll(context)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_wakes_up_after_its_caller_has_given_up_does_not_go_on() {
        let until = Some(Instant::now() + Duration::from_secs(1));
        let handling = async {
            tokio::time::sleep(Duration::from_secs(110)).await;
            Ok(())
        };
        let given_up = unless_given_up(until, handling).await.unwrap_err();
        assert_eq!(given_up.code, Code::Timeout);
        assert_eq!(
            unless_given_up(until, async { Ok(()) })
                .await
                .unwrap_err()
                .code,
            Code::Timeout
        );
        assert_eq!(unless_given_up(None, async { Ok(7) }).await, Ok(7));
    }
}
