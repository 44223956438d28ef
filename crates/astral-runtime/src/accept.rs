//! The accept loop below every listener.

use crate::LogThrottle;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Wait after the system has refused a connection, for example because it is out of file
/// descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Limits the log lines of a listener that cannot accept.
static NOT_ACCEPTED: LogThrottle = LogThrottle::new();

/// A connection that has been accepted.
#[derive(Debug)]
pub struct Connection {
    /// The socket, with Nagle's algorithm off.
    pub socket: TcpStream,
    /// The address of the peer.
    pub peer: SocketAddr,
    /// Counts the connection against the limit of its listener. Drop it when the connection ends.
    pub permit: OwnedSemaphorePermit,
}

/// Accepts connections and passes each to `serve`, which must not block: it spawns a task.
///
/// At most `connections_max` connections are open at a time; further ones wait in the kernel.
/// `door` names the listener in logs. This never returns; drop it to stop accepting.
pub async fn accept_connections(
    listener: TcpListener,
    door: &'static str,
    connections_max: usize,
    mut serve: impl FnMut(Connection),
) {
    let permits = Arc::new(Semaphore::new(connections_max));
    loop {
        let permit = permits
            .clone()
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let (socket, peer) = accept(&listener, door).await;
        serve(Connection {
            socket,
            peer,
            permit,
        });
    }
}

async fn accept(listener: &TcpListener, door: &'static str) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                if let Err(error) = socket.set_nodelay(true) {
                    // The connection still works; it is only slower.
                    tracing::debug!(door, %error, "TCP_NODELAY not set");
                }
                return (socket, peer);
            }
            Err(error) => {
                if let Some(times) = NOT_ACCEPTED.occurred(&format!("{door}: {error}")) {
                    tracing::warn!(door, %error, times, "connection not accepted");
                }
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;
    use tokio::task::AbortHandle;

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn accept_into(
        listener: TcpListener,
        connections_max: usize,
    ) -> (mpsc::Receiver<Connection>, AbortHandle) {
        let (sender, accepted) = mpsc::channel(8);
        let serve = move |connection| sender.try_send(connection).unwrap();
        let accepting = tokio::spawn(accept_connections(listener, "test", connections_max, serve));
        (accepted, accepting.abort_handle())
    }

    #[tokio::test]
    async fn a_connection_over_the_limit_waits_until_another_one_ends() {
        let (listener, address) = listener().await;
        let (mut accepted, accepting) = accept_into(listener, 1);
        let one = TcpStream::connect(address).await.unwrap();
        let other = TcpStream::connect(address).await.unwrap();
        let first = accepted.recv().await.unwrap();
        assert_eq!(first.peer, one.local_addr().unwrap());
        assert!(first.socket.nodelay().unwrap());
        tokio::task::yield_now().await;
        assert!(accepted.try_recv().is_err(), "the limit is one");
        drop(first);
        let second = accepted.recv().await.unwrap();
        assert_eq!(second.peer, other.local_addr().unwrap());
        accepting.abort();
    }

    #[tokio::test]
    async fn the_listener_closes_when_the_loop_is_dropped() {
        let (listener, address) = listener().await;
        let (mut accepted, accepting) = accept_into(listener, 1);
        accepting.abort();
        assert!(accepted.recv().await.is_none());
        assert!(TcpStream::connect(address).await.is_err());
    }
}
