//! What the control services ask of this node, over a WebSocket that the node opens and keeps.

use crate::client::{Client, Gateway};
use astral_proto::rest::{NODE_ASKS_MAX, NODE_FRAME_BYTES_MAX, NodeAsk};
use astral_proto::{NodeId, Problem};
use astral_relay::Relay;
use astral_relay::node;
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{SinkExt, StreamExt};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;
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
                tracing::info!("connected to the gateway for requests");
                let why = serve(socket, &relay).await;
                tracing::info!(why, "disconnected from the gateway for requests");
            }
            Err(problem) => tracing::debug!(%problem, "not connected to the gateway for requests"),
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
        (
            SEC_WEBSOCKET_KEY,
            HeaderValue::try_from(&key).expect("keys are base64"),
        ),
    ]);
    let path = format!("/v1/node/{node}/requests");
    let (gateway, response) = client
        .open(Method::GET, &path, headers, Bytes::new(), OPEN_WAIT)
        .await?;
    client.leave_if_away(gateway, upgrade(gateway, response, &key).await)
}

/// The socket that `gateway` opens by `response` to whoever sent `key`.
async fn upgrade(
    gateway: &Gateway,
    response: Response<Incoming>,
    key: &str,
) -> Result<Socket, Problem> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let answered = gateway.answer(response, OPEN_WAIT).await;
        return Err(answered.map_or_else(|problem| problem, |_| gateway.away("opens no socket")));
    }
    let accept = response.headers().get(SEC_WEBSOCKET_ACCEPT);
    if accept.is_none_or(|accept| accept.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes())
    {
        return Err(gateway.away("opens a socket for somebody else"));
    }
    let broken = |error| gateway.away(format!("opens a socket that breaks off: {error}"));
    let upgraded = hyper::upgrade::on(response).await.map_err(broken)?;
    let bounds = WebSocketConfig::default()
        .max_frame_size(Some(NODE_FRAME_BYTES_MAX))
        .max_message_size(Some(NODE_FRAME_BYTES_MAX));
    Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(bounds)).await)
}

/// Answers over `socket` until it ends; why it did. What is asked beyond the most that may wait is
/// not read until one is answered.
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
                        Ok(ask) => waiting.push(async move { node::answer(relay, &ask).await }),
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// What opens no socket, and what opens one that nobody asked for.
    const NO_SOCKETS: [&str; 2] = [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nback",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ];

    #[tokio::test]
    async fn a_gateway_that_opens_no_socket_is_left() {
        for answer in NO_SOCKETS {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let bases = [
                listener.local_addr().unwrap().to_string(),
                "127.0.0.1:1".to_owned(),
            ];
            let bases = bases.map(|address| format!("http://{address}"));
            let client =
                Client::new(&bases.each_ref().map(|base| base.parse().unwrap()), None).unwrap();
            let page = async {
                let (mut socket, _) = listener.accept().await.unwrap();
                assert_ne!(socket.read(&mut [0; 4 << 10]).await.unwrap(), 0);
                socket.write_all(answer.as_bytes()).await.unwrap();
            };
            let (opened, ()) = tokio::join!(open(&client, NodeId::random()), page);
            let detail = opened.err().unwrap().detail;
            assert!(detail.contains("opens "), "{detail}");
            assert_eq!(client.base(), bases[1]);
        }
    }

    #[test]
    fn waits_double_up_to_eight_seconds() {
        let mut retry = Retry::default();
        for most in [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000] {
            let wait = retry.next(&mut rand::rng()).as_millis();
            assert!((most / 2..=most).contains(&wait), "{wait} ms of {most}");
        }
    }
}
