//! The two listeners of a relay: RTMP, and media (HLS, HTTP-FLV, relay link).

use super::{media, rtmp};
use crate::core::Relay;
use crate::rtmp::RtmpError;
use astral_runtime::{Connection, ListenError, LogThrottle, accept_connections, bind};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// Most connections at once on each listener.
const CONNECTIONS_MAX: usize = 20_000;
/// Limits the log lines about failed connections.
static ENDED: LogThrottle = LogThrottle::new();
/// What the kernel may hold unsent for one peer. A larger buffer would hide from the relay that a
/// viewer falls behind, so the relay could not choose which GOPs the viewer skips.
const SEND_BUFFER_BYTES: usize = 512 << 10;
/// A peer that acknowledges nothing for this long is disconnected.
const USER_TIMEOUT: Duration = Duration::from_secs(15);
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(30);

/// Bound sockets of a relay. Their addresses are known before it starts.
pub struct Listeners {
    /// RTMP ingest and play.
    pub rtmp: TcpListener,
    /// Its actual address.
    pub rtmp_address: SocketAddr,
    /// HLS, HTTP-FLV, relay link.
    pub media: TcpListener,
    /// Its actual address.
    pub media_address: SocketAddr,
}

impl Listeners {
    /// Binds both listeners; port 0 takes a free port.
    ///
    /// # Errors
    /// [`ListenError`] for the first address that cannot be bound.
    pub async fn bind(rtmp: SocketAddr, media: SocketAddr) -> Result<Self, ListenError> {
        let (rtmp, rtmp_address) = bind("--rtmp-listen", rtmp).await?;
        let (media, media_address) = bind("--media-listen", media).await?;
        Ok(Self {
            rtmp,
            rtmp_address,
            media,
            media_address,
        })
    }
}

/// Serves both listeners until the relay stops.
pub fn listen(relay: &Relay, listeners: Listeners) {
    relay.spawn(accept(relay.clone(), listeners.rtmp, ListenerKind::Rtmp));
    relay.spawn(accept(relay.clone(), listeners.media, ListenerKind::Media));
}

/// One of the two listeners of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// RTMP ingest and play.
    Rtmp,
    /// HLS, HTTP-FLV, relay link.
    Media,
}

impl ListenerKind {
    fn name(self) -> &'static str {
        match self {
            ListenerKind::Rtmp => "rtmp",
            ListenerKind::Media => "media",
        }
    }
}

async fn accept(relay: Relay, listener: TcpListener, kind: ListenerKind) {
    let serve_connection = |connection: Connection| {
        if let Err(error) = tune(&connection.socket) {
            tracing::debug!(%error, "socket options not set");
        }
        let Connection {
            socket,
            peer,
            permit,
        } = connection;
        serve(&relay, socket, peer, kind, permit);
    };
    accept_connections(listener, kind.name(), CONNECTIONS_MAX, serve_connection).await;
}

/// Serves one connection until it ends or the relay stops, over any socket; `permit` is dropped
/// then.
pub fn serve<S>(
    relay: &Relay,
    socket: S,
    peer: SocketAddr,
    kind: ListenerKind,
    permit: impl Send + 'static,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = serve_gated(relay.clone(), socket, peer, kind);
    relay.spawn(async move {
        connection.await;
        drop(permit);
    });
}

async fn serve_gated<S>(relay: Relay, socket: S, peer: SocketAddr, kind: ListenerKind)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let gate = relay.gate().clone();
    let outcome = gate.guard(serve_kind(&relay, socket, peer, kind)).await;
    match outcome {
        Ok(Err(failure)) if failure.is_departure() => {
            tracing::debug!(door = kind.name(), %peer, error = %failure, "peer disconnected");
        }
        Ok(Err(failure)) => {
            let reason = failure.reason();
            metrics::counter!("astral_connections_failed_total", "door" => kind.name(), "reason" => reason)
                .increment(1);
            // A peer that connects again and again must not fill the log.
            let what = format!("{} {reason} {}", kind.name(), peer.ip());
            if let Some(times) = ENDED.occurred(&what) {
                tracing::info!(door = kind.name(), %peer, reason, error = %failure, times, "connection ended");
            }
        }
        Ok(Ok(())) | Err(_) => {}
    }
}

async fn serve_kind<S>(
    relay: &Relay,
    socket: S,
    peer: SocketAddr,
    kind: ListenerKind,
) -> Result<(), RtmpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    match kind {
        ListenerKind::Rtmp => rtmp::serve(relay, socket).await,
        ListenerKind::Media => Ok(media::serve(relay, socket, peer).await?),
    }
}

fn tune(socket: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE_IDLE))
}
