//! HTTP service on a listener, with limits on what hyper leaves unlimited.

use astral_runtime::{Connection, TaskScope, accept_connections};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::error::Error;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// Longest time for a request head to arrive, and for a kept-alive connection to stay idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// An HTTP listener.
pub struct HttpListener {
    /// Where connections arrive.
    pub listener: TcpListener,
    /// Its name in logs.
    pub door: &'static str,
    /// Most connections at once. Further ones wait in the kernel.
    pub connections_max: usize,
}

/// Serves `service` on `listener` until `scope` stops, then lets running requests finish.
///
/// `wrap` may put a layer around each socket, such as a write timeout. `scope` tracks the
/// connections.
pub async fn serve_http<S, B, IO>(
    listener: HttpListener,
    service: S,
    wrap: fn(TcpStream) -> IO,
    scope: TaskScope,
) where
    S: Service<
            Request<Incoming>,
            Response = Response<B>,
            Future: Send,
            Error: Into<Box<dyn Error + Send + Sync>>,
        > + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let TaskScope { stopping, tasks } = scope;
    let serve = |Connection { socket, permit, .. }| {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(wrap(socket)), service.clone())
            .with_upgrades();
        let stopping = stopping.clone();
        tasks.spawn(async move {
            let mut connection = pin!(connection);
            let served = tokio::select! {
                served = connection.as_mut() => served,
                () = stopping.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = served {
                tracing::debug!(%error, "connection broken");
            }
            drop(permit);
        });
    };
    let accepting = accept_connections(
        listener.listener,
        listener.door,
        listener.connections_max,
        serve,
    );
    stopping.run_until_cancelled(accepting).await;
}
