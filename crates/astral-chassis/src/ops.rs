//! The ops listener: `/livez`, `/readyz`, `/metrics`. It answers until the process ends, drain included.

use crate::listen::ListenError;
use crate::metrics;
use crate::readiness::Readiness;
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
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections open at a time; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// A connection carries one request and lives no longer than this.
const CONNECTION_LIFE_MAX: Duration = Duration::from_secs(10);
/// Between two rounds in which histograms are tidied up and finished connections forgotten.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How long no connection is accepted after one could not be.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone)]
struct Ops {
    readiness: Arc<Readiness>,
    recorder: PrometheusHandle,
}

/// Where the ops listener is if no flag says so. Several processes may run on one machine: where another one has this
/// port, a free one is taken.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// Opens the listener and returns where it is: at `wanted`, or at the default address or a free port beside it.
///
/// # Errors
/// [`ListenError`] if the address cannot be had.
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

/// Answers for ever; dropped, it closes all it has open.
pub(crate) async fn serve(
    component: &'static str,
    listener: TcpListener,
    readiness: Arc<Readiness>,
    recorder: PrometheusHandle,
) {
    let ops = Ops {
        readiness,
        recorder,
    };
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut upkeep = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        tokio::select! {
            socket = accept(&listener, &slots) => {
                let (socket, slot) = socket;
                let ops = ops.clone();
                connections.spawn(async move {
                    answer_one(socket, ops).await;
                    drop(slot);
                });
            }
            _ = upkeep.tick() => {
                metrics::tell(component);
                ops.recorder.run_upkeep();
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, tokio::sync::OwnedSemaphorePermit) {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    let mut told = false;
    loop {
        match listener.accept().await {
            Ok((socket, _)) => return (socket, slot),
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "an ops connection cannot be accepted");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
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
    // Whoever asks too slowly or hangs up gets no answer; there is nobody else to tell.
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
