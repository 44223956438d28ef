//! The WebSocket of a node outside the cluster. Requests of the control services arrive here from
//! the bus and go down the socket; the node's answers come up the same way.

mod desk;

use crate::answer::Upgraded;
use crate::call::Call;
use crate::error::Error;
use crate::gateway::Gateway;
use astral_chassis::Context;
use astral_proto::message::{
    Fence, Fetch, Inject, Move, NodeAttached, NodeRequest, Probe, Revoke, event,
};
use astral_proto::rest::{NODE_ASKS_MAX, NODE_FRAME_BYTES_MAX, NodeAnswer, NodeAsk};
use astral_proto::{NodeId, Problem};
use astral_runtime::{LogThrottle, TaskScope};
use desk::Desk;
use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use warp::reply::Reply;
use warp::ws::{Message, WebSocket};

/// Limits the log lines of nodes that open a socket while the bus is away.
static NOT_TAKEN: LogThrottle = LogThrottle::new();
/// Time between two pings. A node that sends nothing for [`SILENCE_MAX`] is gone.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Longest time to send a frame.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// Close codes of RFC 6455: the endpoint goes away; the peer broke the rules.
const GOING_AWAY: u16 = 1001;
const POLICY: u16 = 1008;

/// Closes sockets whose node has opened a newer one at another gateway, until `context` stops.
///
/// # Errors
/// Those of the bus.
pub(crate) async fn hear_of_others(
    gateway: &Arc<Gateway>,
    context: &Context,
) -> Result<(), Problem> {
    let mut attached = gateway.bus.subscribe(event::NODE_ATTACHED, None).await?;
    let gateway = gateway.clone();
    let stopping = context.scope.stopping.clone();
    context.spawn("newer sockets", async move {
        while let Some(Some(other)) = stopping.run_until_cancelled(attached.next()).await {
            gateway.sockets.attached(other);
        }
    });
    Ok(())
}

/// Opens the socket of one node. An older socket of that node closes.
pub(crate) async fn open(call: Call<NodeId>) -> Result<Upgraded, Error> {
    let node = call.at;
    let gateway = call.gateway;
    let upgrade = call.socket.ok_or(Error::NoUpgrade)?;
    let socket = Uuid::new_v4();
    let revoked = call.revoked;
    let taken = gateway.sockets.take(node, socket)?;
    let upgrade = upgrade
        .max_message_size(NODE_FRAME_BYTES_MAX)
        .max_frame_size(NODE_FRAME_BYTES_MAX);
    let tasks = gateway.serving.tasks.clone();
    let response = upgrade.on_upgrade(move |ws| {
        tasks.track_future(async move {
            tracing::info!(node.id = %node, "node connected for requests");
            let why = tokio::select! {
                why = serve(&gateway, node, socket, ws, &taken) => why,
                () = revoked.cancelled() => "its token was revoked",
            };
            gateway.sockets.leave(node, socket);
            tracing::info!(node.id = %node, why, "node disconnected from requests");
        })
    });
    Ok(Upgraded(response.into_response()))
}

/// Carries requests and answers until the socket closes. Returns why it closed.
async fn serve(
    gateway: &Gateway,
    node: NodeId,
    socket: Uuid,
    mut ws: WebSocket,
    taken: &CancellationToken,
) -> &'static str {
    let (asks, mut asked) = mpsc::channel(NODE_ASKS_MAX);
    let desk = Arc::new(Desk::new(asks));
    let stopping = gateway.serving.stopping.child_token();
    let _stop = stopping.clone().drop_guard();
    let serving = TaskScope {
        stopping,
        tasks: gateway.serving.tasks.clone(),
    };
    if let Err(problem) = take_requests(gateway, node, &serving, &desk).await {
        if let Some(times) = NOT_TAKEN.occurred(problem.code.as_str()) {
            tracing::warn!(node.id = %node, %problem, times, "requests to the node cannot be received from the bus");
        }
        return "the bus is away";
    }
    let attached = NodeAttached { node, socket };
    if let Err(problem) = gateway.bus.publish(event::NODE_ATTACHED, &attached).await {
        tracing::debug!(node.id = %node, %problem, "other gateways not informed of the socket");
    }
    let pumped = tokio::select! {
        why = pump(&mut ws, &mut asked, &desk) => why,
        () = taken.cancelled() => Closing(POLICY, "a newer socket of this node has taken over"),
        () = serving.stopping.cancelled() => Closing(GOING_AWAY, "the gateway is leaving"),
    };
    let Closing(code, why) = pumped;
    drop(timeout(SEND_WITHIN, ws.send(Message::close_with(code, why))).await);
    why
}

/// How a socket ends: close code and reason.
struct Closing(u16, &'static str);

/// Serves every kind of request that a node receives. A new kind is one more line here.
async fn take_requests(
    gateway: &Gateway,
    node: NodeId,
    serving: &TaskScope,
    desk: &Arc<Desk>,
) -> Result<(), Problem> {
    take::<Probe>(gateway, node, serving, desk).await?;
    take::<Fence>(gateway, node, serving, desk).await?;
    take::<Fetch>(gateway, node, serving, desk).await?;
    take::<Revoke>(gateway, node, serving, desk).await?;
    take::<Move>(gateway, node, serving, desk).await?;
    take::<Inject>(gateway, node, serving, desk).await
}

async fn take<R: NodeRequest>(
    gateway: &Gateway,
    node: NodeId,
    serving: &TaskScope,
    desk: &Arc<Desk>,
) -> Result<(), Problem> {
    let desk = desk.clone();
    let handler = move |request: R| {
        let desk = desk.clone();
        async move { desk.ask(&request).await }
    };
    gateway.bus.serve_node(node, serving, handler).await
}

async fn pump(ws: &mut WebSocket, asked: &mut mpsc::Receiver<NodeAsk>, desk: &Desk) -> Closing {
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        let out = tokio::select! {
            incoming = ws.next() => match incoming {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    match read(&message, desk) {
                        Ok(()) => continue,
                        Err(closing) => return closing,
                    }
                }
                Some(Err(_)) | None => return Closing(GOING_AWAY, "the node has closed it"),
            },
            Some(ask) = asked.recv() => text(&ask),
            _ = pings.tick() => Message::ping(Vec::new()),
        };
        if heard.elapsed() > SILENCE_MAX {
            return Closing(POLICY, "nothing was heard for 15 s");
        }
        match timeout(SEND_WITHIN, ws.send(out)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Closing(GOING_AWAY, "the node has closed it"),
            Err(_) => return Closing(POLICY, "the node does not read"),
        }
    }
}

fn read(message: &Message, desk: &Desk) -> Result<(), Closing> {
    if message.is_close() {
        return Err(Closing(1000, "the node has closed it"));
    }
    let Ok(text) = message.to_str() else {
        return if message.is_ping() || message.is_pong() {
            Ok(())
        } else {
            Err(Closing(POLICY, "answers are text"))
        };
    };
    let answer: NodeAnswer = serde_json::from_str(text)
        .map_err(|_| Closing(POLICY, "that is no answer to a request"))?;
    desk.answer(answer);
    Ok(())
}

fn text(ask: &NodeAsk) -> Message {
    Message::text(serde_json::to_string(ask).expect("requests are plain data"))
}
