//! Serves events, over SSE or a WebSocket.

use crate::answer::EventStream;
use crate::call::{Call, Query};
use crate::error::Error;
use crate::events::Listener;
use futures_util::{SinkExt, StreamExt, stream};
use schemars::JsonSchema;
use serde::Deserialize;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use warp::reply::{Reply, Response};
use warp::sse;
use warp::ws::{Message, WebSocket, Ws};

/// Something is sent at least this often, so that proxies see a live connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Longest time to send an event.
const SEND_WITHIN: Duration = Duration::from_secs(15);
/// Largest frame that is accepted from a listener, which has nothing to send.
const FRAME_BYTES_MAX: usize = 1 << 10;

/// After which event to start.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    /// The id of the last event received, for clients that cannot send `Last-Event-ID`.
    last_event_id: Option<String>,
}

impl Query for EventsQuery {}

/// Sends all events from now on, or from the last one that the caller has received.
pub(crate) async fn open(call: Call<(), EventsQuery>) -> Result<EventStream, Error> {
    let in_head = call
        .headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok().map(str::to_owned));
    let listener = call
        .gateway
        .events
        .listen(in_head.or(call.query.last_event_id).as_deref())?;
    let until = Until {
        stopping: call.gateway.serving.stopping.clone(),
        revoked: call.revoked,
    };
    Ok(EventStream(match call.socket {
        Some(socket) => {
            let tasks = call.gateway.serving.tasks.clone();
            upgraded(socket, move |ws| {
                tasks.track_future(over_socket(listener, ws, until))
            })
        }
        None => over_sse(listener, until),
    }))
}

/// When the stream of events ends.
struct Until {
    stopping: CancellationToken,
    revoked: CancellationToken,
}

impl Until {
    async fn over(&self) {
        tokio::select! {
            () = self.stopping.cancelled() => {}
            () = self.revoked.cancelled() => {}
        }
    }
}

fn upgraded<F: Future<Output = ()> + Send + 'static>(
    socket: Ws,
    serve: impl FnOnce(WebSocket) -> F + Send + 'static,
) -> Response {
    socket
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .on_upgrade(serve)
        .into_response()
}

fn over_sse(listener: Listener, until: Until) -> Response {
    let events = stream::unfold((listener, until), |(mut listener, until)| async move {
        let told = tokio::select! {
            told = listener.next() => told?,
            () = until.over() => return None,
        };
        let event = sse::Event::default()
            .id(told.id.clone())
            .data(told.json.clone());
        Some((Ok::<_, Infallible>(event), (listener, until)))
    });
    sse::reply(sse::keep_alive().interval(KEEP_ALIVE).stream(events)).into_response()
}

async fn over_socket(mut listener: Listener, mut ws: WebSocket, until: Until) {
    let mut pings = interval(KEEP_ALIVE);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let out = tokio::select! {
            told = listener.next() => match told {
                Some(told) => Message::text(told.json.clone()),
                None => break,
            },
            _ = pings.tick() => Message::ping(Vec::new()),
            said = ws.next() => match said {
                Some(Ok(said)) if !said.is_close() => continue,
                _ => return,
            },
            () = until.over() => break,
        };
        if !matches!(timeout(SEND_WITHIN, ws.send(out)).await, Ok(Ok(()))) {
            return;
        }
    }
    drop(timeout(SEND_WITHIN, ws.close()).await);
}
