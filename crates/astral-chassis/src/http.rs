//! The accept loop under an HTTP service: what the service does not bound, this does.

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Longest a request head may take to arrive, and a kept-alive connection may stay idle.
const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// Wait after the system refused to give another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `service` on `listener` over at most `connections_max` connections at once until `stopping`, then lets
/// requests in hand finish; `tasks` tracks the connections. Further connections wait in the kernel.
pub async fn serve_http<S, B>(
    listener: TcpListener,
    service: S,
    connections_max: usize,
    stopping: CancellationToken,
    tasks: TaskTracker,
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
{
    let permits = Arc::new(Semaphore::new(connections_max));
    while let Some((socket, permit)) = stopping
        .run_until_cancelled(accept(&listener, &permits))
        .await
    {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .serve_connection(TokioIo::new(socket), service.clone())
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
                tracing::debug!(%error, "connection broke off");
            }
            drop(permit);
        });
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    let permit = permits
        .clone()
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    let mut told = false;
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                // Not worth a connection: without it answers are only slower.
                drop(socket.set_nodelay(true));
                return (socket, permit);
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "no connection accepted");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
