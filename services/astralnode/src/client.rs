//! The gateway's REST as a client sees it: bounded in time and size, errors as the gateway's own problems.

use astral_proto::limits::MESSAGE_BYTES_MAX;
use astral_proto::{Code, Problem};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::{Serialize, de::DeserializeOwned};
use std::error::Error;
use std::time::Duration;
use tokio::time::timeout;

/// Longest a connection may take to be made.
const CONNECT_WAIT: Duration = Duration::from_secs(2);
/// An idle connection is kept for this long: heartbeats come more often.
const IDLE: Duration = Duration::from_secs(30);

/// One gateway.
pub struct Client {
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Without a trailing slash.
    base: String,
    authorization: Option<HeaderValue>,
}

impl Client {
    /// Of the gateway at `join`.
    ///
    /// # Errors
    /// If the system's certificates cannot be read, for https alone.
    pub fn new(join: &Uri, authorization: Option<HeaderValue>) -> std::io::Result<Self> {
        let base = join.to_string().trim_end_matches('/').to_owned();
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector(join)?);
        Ok(Self { http, base, authorization })
    }

    /// The gateway's URL, without a trailing slash.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Asks with a JSON body for a JSON answer.
    ///
    /// # Errors
    /// The gateway's own problem, or `control_plane_away` when there is no gateway, or nothing that speaks like one.
    pub async fn ask<R: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        within: Duration,
    ) -> Result<R, Problem> {
        let bytes = self.tell(method, path, body, within).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| self.away(format!("answers what cannot be read: {error}")))
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
        let body = serde_json::to_vec(body).expect("messages are plain data");
        let request = self.request(method, path).header(CONTENT_TYPE, "application/json");
        self.exchange(request, body.into(), within).await
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
        self.exchange(self.request(method, path), body, within).await
    }

    /// Sends a request of which the answer's head alone is read here.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn open(
        &self,
        request: http::request::Builder,
        body: Bytes,
        within: Duration,
    ) -> Result<Response<Incoming>, Problem> {
        let request = request.body(Full::new(body)).map_err(|error| self.away(error.to_string()))?;
        match timeout(within, self.http.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.away(format!("cannot be reached: {}", chain(&error)))),
            Err(_) => Err(self.away(format!("gives no answer within {} s", within.as_secs()))),
        }
    }

    /// A request to the gateway, with proof of who asks.
    pub fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let (Some(headers), Some(authorization)) = (request.headers_mut(), &self.authorization) {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        request
    }

    async fn exchange(
        &self,
        request: http::request::Builder,
        body: Bytes,
        within: Duration,
    ) -> Result<Bytes, Problem> {
        let response = self.open(request, body, within).await?;
        let status = response.status();
        let bytes = self.read(response, within).await?;
        if status.is_success() { Ok(bytes) } else { Err(self.refusal(status, &bytes)) }
    }

    /// The body of `response`.
    ///
    /// # Errors
    /// `control_plane_away` if it breaks off, is too long or too slow.
    pub async fn read(&self, response: Response<Incoming>, within: Duration) -> Result<Bytes, Problem> {
        let body = Limited::new(response.into_body(), MESSAGE_BYTES_MAX);
        match timeout(within, body.collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => Err(self.away(format!("breaks off: {error}"))),
            Err(_) => Err(self.away(format!("is not done within {} s", within.as_secs()))),
        }
    }

    /// What a bad answer says. One that is no problem document is not the gateway's own word: what stands between says
    /// that it is away.
    pub fn refusal(&self, status: StatusCode, body: &[u8]) -> Problem {
        serde_json::from_slice(body)
            .unwrap_or_else(|_| self.away(format!("answers {status} without a problem document")))
    }

    fn away(&self, what: String) -> Problem {
        Problem::new(Code::ControlPlaneAway, format!("the gateway {} {what}", self.base))
    }
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
    Ok(builder.with_tls_config(none).https_or_http().enable_http1().wrap_connector(tcp))
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
