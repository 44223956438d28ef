//! What the control services ask of this node, over a WebSocket that the node opens and keeps.

use crate::client::Client;
use astral_proto::rest::{NODE_ASKS_MAX, NODE_FRAME_BYTES_MAX, NodeAsk};
use astral_proto::{Code, NodeId, Problem};
use astral_relay::Relay;
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rand::Rng;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

/// Longest the gateway may take to open the socket.
const OPEN_WAIT: Duration = Duration::from_secs(4);
/// Between two pings of ours; each is answered, so that a socket with nobody behind it shows.
const PING_EVERY: Duration = Duration::from_secs(5);
/// A socket on which nothing came for this long is dead.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Longest an answer may take to be written.
const WRITE_WAIT: Duration = Duration::from_secs(5);
/// First wait before the socket is opened again; doubles up to [`RETRY_MAX`], with jitter.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(8);
/// A socket that was open for this long starts the waits over.
const SETTLED: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Answers what the gateway asks, over one socket after another, for ever.
pub async fn answer(client: Arc<Client>, relay: Relay) {
    let mut retry = Retry::default();
    loop {
        let opened = Instant::now();
        match open(&client, relay.node()).await {
            Ok(socket) => {
                tracing::info!("the gateway's requests are answered");
                let why = serve(socket, &relay).await;
                tracing::info!(why, "the gateway's requests ended");
            }
            Err(problem) => tracing::debug!(%problem, "the gateway's requests cannot be had"),
        }
        if opened.elapsed() > SETTLED {
            retry = Retry::default();
        }
        let wait = retry.next(&mut rand::rng());
        sleep(wait).await;
    }
}

async fn open(client: &Client, node: NodeId) -> Result<Socket, Problem> {
    let key = generate_key();
    let headers = HeaderMap::from_iter([
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
        (SEC_WEBSOCKET_KEY, HeaderValue::try_from(&key).expect("keys are base64")),
    ]);
    let path = format!("/v1/nodes/{node}/requests");
    let (gateway, response) = client.open(Method::GET, &path, headers, Bytes::new(), OPEN_WAIT).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let answered = gateway.answer(response, OPEN_WAIT).await;
        let socketless = |_| Problem::new(Code::ControlPlaneAway, "the gateway opens no socket");
        return Err(answered.map_or_else(|problem| problem, socketless));
    }
    let accept = response.headers().get(SEC_WEBSOCKET_ACCEPT);
    if accept.is_none_or(|accept| accept.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(Problem::new(Code::ControlPlaneAway, "the gateway opens a socket for somebody else"));
    }
    let upgraded = hyper::upgrade::on(response)
        .await
        .map_err(|error| Problem::new(Code::ControlPlaneAway, format!("the socket broke off: {error}")))?;
    let bounds = WebSocketConfig::default()
        .max_frame_size(Some(NODE_FRAME_BYTES_MAX))
        .max_message_size(Some(NODE_FRAME_BYTES_MAX));
    Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(bounds)).await)
}

/// Answers over `socket` until it ends; why it did. What is asked beyond the most that may wait is not read until one
/// is answered.
async fn serve(socket: Socket, relay: &Relay) -> &'static str {
    let (mut answers, mut asks) = socket.split();
    let mut waiting = FuturesUnordered::new();
    let mut heard = Instant::now();
    let mut pings = interval(PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            ask = asks.next(), if waiting.len() < NODE_ASKS_MAX => {
                heard = Instant::now();
                match ask {
                    Some(Ok(Message::Text(text))) => match serde_json::from_str::<NodeAsk>(&text) {
                        Ok(ask) => waiting.push(async move { relay.answer(&ask).await }),
                        Err(_) => return "the gateway asks what is no request",
                    },
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(_)) | None => return "closed",
                    Some(Err(_)) => return "broken off",
                }
                continue;
            }
            Some(answer) = waiting.next() => {
                Message::text(serde_json::to_string(&answer).expect("answers are plain data"))
            }
            _ = pings.tick() => {
                if heard.elapsed() > SILENCE_MAX {
                    return "silent";
                }
                Message::Ping(Bytes::new())
            }
        };
        if !matches!(timeout(WRITE_WAIT, answers.send(message)).await, Ok(Ok(()))) {
            return "nothing can be written";
        }
    }
}

/// How long to wait between two sockets.
struct Retry(Duration);

impl Default for Retry {
    fn default() -> Self {
        Self(RETRY_MIN)
    }
}

impl Retry {
    fn next(&mut self, rng: &mut impl Rng) -> Duration {
        let wait = self.0.mul_f64(rng.random_range(0.5..1.0));
        self.0 = (self.0 * 2).min(RETRY_MAX);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_eight_seconds() {
        let mut retry = Retry::default();
        for most in [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000] {
            let wait = retry.next(&mut rand::rng()).as_millis();
            assert!((most / 2..=most).contains(&wait), "{wait} ms of {most}");
        }
    }
}
