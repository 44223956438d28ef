//! HTTP below warp, with the limits that `warp::serve` lacks.

use crate::error::{Error, shown};
use crate::gateway::Gateway;
use crate::patience::Patience;
use crate::{observe, routes};
use astral_chassis::{Context, HttpListener, serve_http};
use astral_proto::target;
use http::uri::PathAndQuery;
use http::{Request, Uri};
use hyper::body::Incoming;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;
use tower::{Service, ServiceExt};
use warp::reply::Response;

/// Connections served at once; further ones wait in the kernel.
const CONNECTIONS_MAX: usize = 2048;

/// Serves `gateway` on `listener` until `context` stops, then lets running requests finish.
pub(crate) async fn run(listener: TcpListener, gateway: Arc<Gateway>, context: Context) {
    let service = warp::service(routes::all(gateway));
    let guarded = tower::service_fn(move |request| answer(service.clone(), request));
    let seen = tower::service_fn(move |request| observe::answer(guarded.clone(), plain(request)));
    let listener = HttpListener {
        listener,
        door: "http",
        connections_max: CONNECTIONS_MAX,
    };
    let seen = TowerToHyperService::new(seen);
    serve_http(listener, seen, Patience::new, context.scope).await;
}

/// Normalizes the target of the request, so that it can be compared with routes.
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

/// Answers a request with `service`, which would panic on a target without a path.
async fn answer<S>(service: S, request: Request<Incoming>) -> Result<Response, Infallible>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
{
    match request.uri().path_and_query() {
        Some(_) => service.oneshot(request).await,
        None => Ok(Error::NoPath {
            target: shown(&request.uri().to_string()),
        }
        .into_response()),
    }
}
