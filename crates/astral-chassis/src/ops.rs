//! The ops listener: `/livez`, `/readyz`, `/metrics`. It answers until the process ends, also
//! during the drain.

use crate::metrics;
use crate::readiness::Readiness;
use astral_runtime::{Connection, ListenError, accept_connections};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Most connections at once; further ones wait in the kernel.
const CONNECTIONS_MAX: usize = 64;
/// A connection carries one request and ends after this time.
const CONNECTION_LIFE_MAX: Duration = Duration::from_secs(10);
/// Time between two rounds of upkeep: the recorder tidies its histograms.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Ops {
    readiness: Arc<Readiness>,
    recorder: PrometheusHandle,
}

/// The default address. If another process on the machine has this port, a free port is used.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// Opens the listener at `wanted`, or at the default address or a free port. Returns it and its
/// address.
///
/// # Errors
/// [`ListenError`] if the address cannot be opened.
pub(crate) fn listen(wanted: Option<SocketAddr>) -> Result<(TcpListener, SocketAddr), ListenError> {
    let address = wanted.unwrap_or(DEFAULT_ADDRESS);
    let opened = match open(address) {
        Err(error) if wanted.is_none() && error.kind() == ErrorKind::AddrInUse => {
            open(SocketAddr::new(address.ip(), 0))
        }
        opened => opened,
    };
    opened.map_err(|cause| ListenError {
        flag: "--ops-listen",
        address,
        cause,
    })
}

fn open(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves until it is dropped. Dropping it also closes the connections.
pub(crate) async fn serve(
    component: &'static str,
    listener: TcpListener,
    readiness: Arc<Readiness>,
    recorder: PrometheusHandle,
) {
    let closing = CancellationToken::new();
    let _close_when_dropped = closing.clone().drop_guard();
    let ops = Ops {
        readiness,
        recorder,
    };
    let serve_connection = |Connection { socket, permit, .. }| {
        let closing = closing.clone();
        let ops = ops.clone();
        tokio::spawn(async move {
            closing.run_until_cancelled(answer_one(socket, ops)).await;
            drop(permit);
        });
    };
    tokio::join!(
        accept_connections(listener, "ops", CONNECTIONS_MAX, serve_connection),
        keep_up(component, &ops.recorder),
    );
}

async fn keep_up(component: &'static str, recorder: &PrometheusHandle) {
    let mut upkeep = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        upkeep.tick().await;
        metrics::tell(component);
        recorder.run_upkeep();
    }
}

async fn answer_one(socket: TcpStream, ops: Ops) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = ops.answer(request.method(), request.uri().path());
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service);
    // A client that is too slow or hangs up gets no answer, and nobody else needs to know.
    drop(tokio::time::timeout(CONNECTION_LIFE_MAX, connection).await);
}

impl Ops {
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return text(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET is answered here\n".into(),
            );
        }
        match path {
            "/livez" => text(StatusCode::OK, "alive\n".into()),
            "/readyz" => match self.readiness.report() {
                (true, report) => text(StatusCode::OK, report),
                (false, report) => text(StatusCode::SERVICE_UNAVAILABLE, report),
            },
            "/metrics" => metrics(self.recorder.render()),
            _ => text(
                StatusCode::NOT_FOUND,
                "here are /livez, /readyz and /metrics\n".into(),
            ),
        }
    }
}

fn metrics(body: String) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, body);
    let exposition = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, exposition);
    response
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
