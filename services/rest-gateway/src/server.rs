//! The accept loop under warp: what `warp::serve` does not bound, this does.

use crate::gateway::Gateway;
use crate::patience::Patience;
use crate::problem::Refusal;
use crate::{observe, routes};
use astral_chassis::Context;
use astral_proto::{Recurring, target};
use http::uri::PathAndQuery;
use http::{Request, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt};
use warp::reply::Response;

/// Connections served at once; further ones wait in the kernel.
const CONNECTIONS_MAX: usize = 2048;
/// Longest a request head may take to arrive, and a kept-alive connection may stay idle.
const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// Wait after the system refused to give another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What each try to accept would log while none succeeds.
static NOT_ACCEPTED: Recurring = Recurring::new();

/// Serves `gateway` on `listener` until `context` stops, then lets requests in hand finish.
pub(crate) async fn run(listener: TcpListener, gateway: Arc<Gateway>, context: Context) {
    let service = warp::service(routes::all(gateway));
    let guarded = tower::service_fn(move |request| answer(service.clone(), request));
    let seen = tower::service_fn(move |request| observe::answer(guarded.clone(), plain(request)));
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Some((socket, permit)) = next(&listener, &permits, &context).await {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .serve_connection(
                TokioIo::new(Patience::new(socket)),
                TowerToHyperService::new(seen.clone()),
            )
            .with_upgrades();
        let stopping = context.stopping.clone();
        spawn(&context.tasks, permit, async move {
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
        });
    }
}

/// The request with its target in the form that routes are compared with.
fn plain(mut request: Request<Incoming>) -> Request<Incoming> {
    let target = request
        .uri()
        .path_and_query()
        .map(|target| target::normal(target.as_str()));
    if let Some(Ok(target)) = target.map(PathAndQuery::try_from) {
        *request.uri_mut() = Uri::from(target);
    }
    request
}

/// Answers a request by `service`, which panics unless the target has a path.
async fn answer<S>(service: S, request: Request<Incoming>) -> Result<Response, Infallible>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
{
    match request.uri().path_and_query() {
        Some(_) => service.oneshot(request).await,
        None => Ok(Refusal::no_path(request.uri()).into_response()),
    }
}

/// The next connection; none once `context` stops.
async fn next(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    context: &Context,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    context
        .stopping
        .run_until_cancelled(accept(listener, permits))
        .await
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
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                // Not worth a connection: without it answers are only slower.
                let _ = socket.set_nodelay(true);
                return (socket, permit);
            }
            Err(error) => {
                if let Some(times) =
                    NOT_ACCEPTED.occurred(&error.to_string(), std::time::Instant::now())
                {
                    tracing::warn!(%error, times, "no connection accepted");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn spawn(
    tasks: &TaskTracker,
    permit: OwnedSemaphorePermit,
    connection: impl Future<Output = ()> + Send + 'static,
) {
    tasks.spawn(async move {
        connection.await;
        drop(permit);
    });
}
