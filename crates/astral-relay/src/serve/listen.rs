//! The relay's two doors: RTMP, and the media listener (HLS, HTTP-FLV, relay link).

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

/// Most connections at once on each door.
const CONNECTIONS_MAX: usize = 20_000;
/// What each connection that fails would log.
static ENDED: LogThrottle = LogThrottle::new();
/// What the kernel may hold unsent for one peer: which GOPs a slow viewer loses is ours to say, not the kernel's.
const SEND_BUFFER_BYTES: usize = 512 << 10;
/// A peer that acknowledges nothing for this long is gone.
const USER_TIMEOUT: Duration = Duration::from_secs(15);
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(30);

/// Bound sockets of a relay, whose addresses are known before it starts.
pub struct Listeners {
    /// RTMP ingest and play.
    pub rtmp: TcpListener,
    /// Where that really listens.
    pub rtmp_address: SocketAddr,
    /// HLS, HTTP-FLV, relay link.
    pub media: TcpListener,
    /// Where that really listens.
    pub media_address: SocketAddr,
}

impl Listeners {
    /// Binds both listeners; port 0 takes a free port.
    ///
    /// # Errors
    /// [`ListenError`] for the first address that cannot be had.
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

/// Serves both doors until the relay stops.
pub fn listen(relay: &Relay, listeners: Listeners) {
    relay.spawn(accept(relay.clone(), listeners.rtmp, Door::Rtmp));
    relay.spawn(accept(relay.clone(), listeners.media, Door::Media));
}

/// One of a relay's doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// RTMP ingest and play.
    Rtmp,
    /// HLS, HTTP-FLV, relay link.
    Media,
}

impl Door {
    fn name(self) -> &'static str {
        match self {
            Door::Rtmp => "rtmp",
            Door::Media => "media",
        }
    }
}

async fn accept(relay: Relay, listener: TcpListener, door: Door) {
    let serve_connection = |connection: Connection| {
        if let Err(error) = tune(&connection.socket) {
            tracing::debug!(%error, "socket options not set");
        }
        let Connection {
            socket,
            peer,
            permit,
        } = connection;
        serve(&relay, socket, peer, door, permit);
    };
    accept_connections(listener, door.name(), CONNECTIONS_MAX, serve_connection).await;
}

/// Serves one connection until it ends or the relay stops, over any socket; `place` is dropped then.
pub fn serve<S>(relay: &Relay, socket: S, peer: SocketAddr, door: Door, place: impl Send + 'static)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = serve_gated(relay.clone(), socket, peer, door);
    relay.spawn(async move {
        connection.await;
        drop(place);
    });
}

async fn serve_gated<S>(relay: Relay, socket: S, peer: SocketAddr, door: Door)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let gate = relay.gate().clone();
    let outcome = gate.guard(serve_door(&relay, socket, peer, door)).await;
    match outcome {
        Ok(Err(failure)) if failure.is_departure() => {
            tracing::debug!(door = door.name(), %peer, error = %failure, "peer went away");
        }
        Ok(Err(failure)) => {
            let reason = failure.reason();
            metrics::counter!("astral_connections_failed_total", "door" => door.name(), "reason" => reason)
                .increment(1);
            // Whoever knocks again and again fills no log.
            let what = format!("{} {reason} {}", door.name(), peer.ip());
            if let Some(times) = ENDED.occurred(&what) {
                tracing::info!(door = door.name(), %peer, reason, error = %failure, times, "connection ended");
            }
        }
        Ok(Ok(())) | Err(_) => {}
    }
}

async fn serve_door<S>(
    relay: &Relay,
    socket: S,
    peer: SocketAddr,
    door: Door,
) -> Result<(), RtmpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    match door {
        Door::Rtmp => rtmp::serve(relay, socket).await,
        Door::Media => Ok(media::serve(relay, socket, peer).await?),
    }
}

fn tune(socket: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE_IDLE))
}
