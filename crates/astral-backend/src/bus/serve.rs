//! Serving requests: decode, call the handler, encode, many at once.

use super::Serving;
use super::meter::Meter;
use super::wire::{Answer, Inbox, Message, ReplyTo};
use crate::observe::Call;
use astral_proto::{Code, Problem};
use serde::{Serialize, de::DeserializeOwned};
use std::{future::Future, sync::Arc};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Requests of one kind that one server handles at a time; further ones wait in its queue.
const REQUESTS_IN_FLIGHT_MAX: usize = 256;

/// Serves what arrives in `inbox` on a tracked task; gives the meter that counts it.
pub(super) fn spawn<Q, A, F, Fut>(mut inbox: Inbox, context: &Serving, handler: F) -> Arc<Meter>
where
    Q: DeserializeOwned + Send + 'static,
    A: Serialize + Send + 'static,
    F: Fn(Q) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<A, Problem>> + Send + 'static,
{
    let Serving { stopping, tasks } = context.clone();
    let slots = Arc::new(Semaphore::new(REQUESTS_IN_FLIGHT_MAX));
    let handler = Arc::new(handler);
    let meter = Arc::<Meter>::default();
    let metered = Arc::clone(&meter);
    context.tasks.spawn(async move {
        while let Some(message) = next_until(&mut inbox, &stopping).await {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
            let (handler, meter) = (Arc::clone(&handler), Arc::clone(&metered));
            tasks.spawn(async move {
                answer(message, &*handler, &meter).await;
                drop(slot);
            });
        }
    });
    meter
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

async fn answer<Q, A, F, Fut>(message: Message, handler: &F, meter: &Meter)
where
    Q: DeserializeOwned,
    A: Serialize,
    F: Fn(Q) -> Fut,
    Fut: Future<Output = Result<A, Problem>>,
{
    let Message { subject, payload, reply_to, trace, .. } = message;
    let system = reply_to.as_ref().map_or("", ReplyTo::system);
    let (started, call) = (Instant::now(), Call::served(system, &subject, &trace));
    let handling = async {
        let malformed =
            |error| Problem::new(Code::BadRequest, format!("malformed request to {subject}: {error}"));
        // Boxed, since it is large and what runs it holds it several times over.
        Box::pin(handler(serde_json::from_slice(&payload).map_err(malformed)?)).await
    };
    let result = call.run(handling).await;
    meter.count(started.elapsed(), result.as_ref().err());
    if let Some(reply_to) = reply_to {
        reply_to.send(Answer::new(&subject, result)).await;
    }
}
