//! The gateway's REST as a client sees it: bounded in time and size, errors as the gateway's own
//! problems.

use astral_proto::limits::MESSAGE_BYTES_MAX;
use astral_proto::rest::node_path_before;
use astral_proto::{Code, Problem};
use astral_runtime::LogThrottle;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::{Serialize, de::DeserializeOwned};
use std::error::Error;
use std::fmt::Display;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// Longest a connection may take to be made.
const CONNECT_WAIT: Duration = Duration::from_secs(2);
/// An idle connection is kept for this long: heartbeats come more often.
const IDLE: Duration = Duration::from_secs(30);

/// What each switch would log while no gateway answers for long.
static LEFT: LogThrottle = LogThrottle::new();
/// Most gateways that may be named.
pub const GATEWAYS_MAX: usize = 8;

/// The gateways of one network. One of them is asked, until it does not answer: then the next.
pub struct Client {
    gateways: Vec<Gateway>,
    /// The one that is asked.
    current: watch::Sender<usize>,
    authorization: Option<HeaderValue>,
}

/// One gateway.
pub struct Gateway {
    /// Its place among all of them.
    at: usize,
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Without a trailing slash.
    base: String,
}

impl Client {
    /// Of the gateways at `join`, one at least; the first of them is asked first.
    ///
    /// # Errors
    /// If the system's certificates cannot be read, for https alone.
    pub fn new(join: &[Uri], authorization: Option<HeaderValue>) -> std::io::Result<Self> {
        let gateways = join
            .iter()
            .enumerate()
            .map(|(at, url)| Gateway::new(at, url));
        let gateways = gateways.collect::<std::io::Result<_>>()?;
        Ok(Self {
            gateways,
            current: watch::Sender::new(0),
            authorization,
        })
    }

    /// The URL of the gateway that is asked now, without a trailing slash.
    pub fn base(&self) -> &str {
        &self.gateways[*self.current.borrow()].base
    }

    /// The URLs of all gateways, between commas.
    pub fn bases(&self) -> String {
        let bases: Vec<_> = self.gateways.iter().map(|gateway| &*gateway.base).collect();
        bases.join(",")
    }

    /// Changes when the gateway does not answer; using another one from now on.
    pub fn switches(&self) -> watch::Receiver<usize> {
        self.current.subscribe()
    }

    /// Asks with a JSON body for a JSON answer.
    ///
    /// # Errors
    /// The gateway's own problem, or `control_plane_away` when there is no gateway, or nothing that
    /// speaks like one.
    pub async fn ask<R: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        within: Duration,
    ) -> Result<R, Problem> {
        let (gateway, bytes) = self
            .exchange(method, path, json(), json_bytes(body), within)
            .await?;
        self.leave_if_away(gateway, gateway.read(&bytes))
    }

    /// Asks with a JSON body, whatever a good answer says.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn tell(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        within: Duration,
    ) -> Result<Bytes, Problem> {
        Ok(self
            .exchange(method, path, json(), json_bytes(body), within)
            .await?
            .1)
    }

    /// Sends `body` as it is, or asks without one.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        within: Duration,
    ) -> Result<Bytes, Problem> {
        Ok(self
            .exchange(method, path, HeaderMap::new(), body, within)
            .await?
            .1)
    }

    /// Sends a request of which the answer's head alone is read here, with proof of who asks. Asks
    /// one gateway after another, each once, until one answers: all that a node asks for may be
    /// asked for again. Each has the time `within` to itself, which must be longer than a gateway
    /// may take: one that is cut short has done the work for nobody.
    ///
    /// # Errors
    /// `control_plane_away` if none answers.
    pub async fn open(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Bytes,
        within: Duration,
    ) -> Result<(&Gateway, Response<Incoming>), Problem> {
        headers.extend(
            self.authorization
                .clone()
                .map(|value| (AUTHORIZATION, value)),
        );
        let mut reasons = Vec::new();
        for _ in &self.gateways {
            let gateway = &self.gateways[*self.current.borrow()];
            match timeout(within, gateway.request(&method, path, &headers, &body)).await {
                Ok(Ok(response)) => return Ok((gateway, response)),
                Ok(Err(problem)) => reasons.push(problem),
                Err(_) => reasons.push(
                    gateway.away(format!("gives no answer within {} ms", within.as_millis())),
                ),
            }
            self.leave(gateway);
        }
        let reasons: Vec<_> = reasons.into_iter().map(|problem| problem.detail).collect();
        Err(Problem::new(Code::ControlPlaneAway, reasons.join("; ")))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
        within: Duration,
    ) -> Result<(&Gateway, Bytes), Problem> {
        let (gateway, response) = self.open(method, path, headers, body, within).await?;
        let answer = self.leave_if_away(gateway, gateway.answer(response, within).await)?;
        Ok((gateway, answer))
    }

    /// What came of asking `gateway`. If that is `control_plane_away`, the next one is asked from
    /// now on: this one has no control plane behind it, or is none.
    pub fn leave_if_away<R>(
        &self,
        gateway: &Gateway,
        outcome: Result<R, Problem>,
    ) -> Result<R, Problem> {
        if outcome
            .as_ref()
            .is_err_and(|problem| problem.code == Code::ControlPlaneAway)
        {
            self.leave(gateway);
        }
        outcome
    }

    /// Has the next gateway asked from now on, unless that is so already.
    fn leave(&self, gateway: &Gateway) {
        let next = (gateway.at + 1) % self.gateways.len();
        let left = self.current.send_if_modified(|current| {
            let leaves = *current == gateway.at && next != gateway.at;
            *current = if leaves { next } else { *current };
            leaves
        });
        if left && let Some(times) = LEFT.occurred(&gateway.base) {
            let next = &self.gateways[next].base;
            tracing::warn!(
                left = gateway.base,
                next,
                times,
                "the gateway does not answer; using another one"
            );
        }
    }
}

impl Gateway {
    fn new(at: usize, url: &Uri) -> std::io::Result<Self> {
        let base = url.to_string().trim_end_matches('/').to_owned();
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector(url)?);
        Ok(Self { at, http, base })
    }

    /// Sends a request. If the gateway answers 404, sends it again to the path of the previous
    /// version, because the gateway may be older.
    async fn request(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Response<Incoming>, Problem> {
        let response = self.request_at(method, path, headers, body).await?;
        match node_path_before(path).filter(|_| response.status() == StatusCode::NOT_FOUND) {
            Some(before) => self.request_at(method, &before, headers, body).await,
            None => Ok(response),
        }
    }

    async fn request_at(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Response<Incoming>, Problem> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        let request = request.body(Full::new(body.clone()));
        let mut request = request.map_err(|error| self.away(error.to_string()))?;
        *request.headers_mut() = headers.clone();
        let answered = self.http.request(request).await;
        answered.map_err(|error| self.away(format!("cannot be reached: {}", chain(&error))))
    }

    /// What a good answer holds.
    ///
    /// # Errors
    /// What a bad one says; `control_plane_away` if it breaks off, is too long or too slow.
    pub async fn answer(
        &self,
        response: Response<Incoming>,
        within: Duration,
    ) -> Result<Bytes, Problem> {
        let status = response.status();
        let body = Limited::new(response.into_body(), MESSAGE_BYTES_MAX);
        let bytes = match timeout(within, body.collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) => return Err(self.away(format!("breaks off: {error}"))),
            Err(_) => return Err(self.away(format!("is not done within {} s", within.as_secs()))),
        };
        if status.is_success() {
            Ok(bytes)
        } else {
            Err(self.refusal(status, &bytes))
        }
    }

    /// What a bad answer says. One that is no problem document is not the gateway's own word: what
    /// stands between says that it is away.
    fn refusal(&self, status: StatusCode, body: &[u8]) -> Problem {
        serde_json::from_slice(body)
            .unwrap_or_else(|_| self.away(format!("answers {status} without a problem document")))
    }

    fn read<R: DeserializeOwned>(&self, body: &[u8]) -> Result<R, Problem> {
        serde_json::from_slice(body)
            .map_err(|error| self.away(format!("answers what cannot be read: {error}")))
    }

    /// That it is away, and in what way: "gives no answer".
    pub fn away(&self, what: impl Display) -> Problem {
        Problem::new(
            Code::ControlPlaneAway,
            format!("the gateway {} {what}", self.base),
        )
    }
}

fn json() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))])
}

fn json_bytes(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body)
        .expect("messages are plain data")
        .into()
}

fn connector(join: &Uri) -> std::io::Result<HttpsConnector<HttpConnector>> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_WAIT));
    let builder = HttpsConnectorBuilder::new();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    if join.scheme_str() == Some("https") {
        let builder = builder.with_provider_and_native_roots(provider)?;
        return Ok(builder.https_only().enable_http1().wrap_connector(tcp));
    }
    // Never used: there are no certificates to trust, and none are looked for.
    let none = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Ok(builder
        .with_tls_config(none)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp))
}

/// An error with what caused it, which says more.
fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests;
