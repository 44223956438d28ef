//! The local control API: who may ask, what is asked for, and how it is answered.

use crate::config::is_loopback;
use crate::page;
use crate::resources::Local;
use astral_proto::{Code, Problem};
use bytes::{Buf, BytesMut};
use futures_util::{Stream, StreamExt};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::service::Service;
use serde::{Serialize, de::DeserializeOwned};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Reply};

/// Largest body, in bytes.
const BODY_BYTES_MAX: usize = 4 << 10;
/// Longest a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(5);
/// The page asks this node alone.
const CONTENT_POLICY: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const ALWAYS: [(HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CONTENT_POLICY),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Answers every request.
pub fn all(local: Arc<Local>) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    let asked = warp::method()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method, path: FullPath, headers, body| {
            let local = local.clone();
            async move {
                let answered = match admit(&method, &headers) {
                    Ok(()) => answer(&local, &method, path.as_str(), body).await,
                    Err(problem) => Err(problem),
                };
                with_headers(answered.unwrap_or_else(|problem| refusal(&problem)))
            }
        });
    asked
        .recover(|_| async { Ok::<_, Infallible>(StatusCode::BAD_REQUEST.into_response()) })
        .unify()
}

/// Answers a request by `routes`, which panic unless its target has a path (RFC 9112, section 3.2).
pub async fn guard<S>(routes: S, request: Request<Incoming>) -> Result<Response, Infallible>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
{
    if request.uri().path_and_query().is_some() {
        return routes.call(request).await;
    }
    let detail = format!(
        "request target {:?} has no path, and this is no proxy",
        shown(&request.uri().to_string())
    );
    Ok(with_headers(refusal(&Problem::new(
        Code::BadRequest,
        detail,
    ))))
}

/// Refuses what a page from elsewhere makes a browser send, by its origin, or by a name that it had
/// pointed here.
fn admit(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if !is_loopback(without_port(host)) {
        let detail = format!("host {host:?} is not this machine: ask by 127.0.0.1 or localhost");
        return Err(Problem::new(Code::Forbidden, detail));
    }
    let origin = text(header::ORIGIN)
        .map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
    match origin {
        Some(origin) if origin != host && !method.is_safe() => {
            let detail = format!("a page of {origin:?} may not change things at {host:?}");
            Err(Problem::new(Code::Forbidden, detail))
        }
        _ => Ok(()),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

async fn answer<B: Buf>(
    local: &Local,
    method: &Method,
    path: &str,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<Response, Problem> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match (method.as_str(), parts.as_slice()) {
        (_, ["v1", "nodes"]) if reads => Ok(json(&local.nodes())),
        (_, ["v1", "nodes", node]) if reads => Ok(json(&local.node(node.parse()?)?)),
        (_, ["v1", "streams"]) if reads => Ok(json(&local.streams())),
        (_, ["v1", "streams", slug]) if reads => Ok(json(&local.stream(&slug.parse()?)?)),
        ("POST", ["v1", "streams", slug]) => Ok(json(&local.pull(&slug.parse()?).await?)),
        ("PUT", ["v1", "streams", slug]) => {
            let slug = slug.parse()?;
            Ok(json(&local.change(&slug, &read(body).await?)?))
        }
        ("DELETE", ["v1", "streams", slug]) => {
            local.let_go(&slug.parse()?)?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        (_, ["v1", "settings"]) if reads => Ok(json(&local.settings())),
        ("PUT", ["v1", "settings"]) => Ok(json(&local.set(&read(body).await?))),
        ("POST", ["v1", "drain"]) => {
            local.drain();
            Ok(StatusCode::ACCEPTED.into_response())
        }
        _ if reads => asset(path).ok_or_else(|| nothing_at(path)),
        _ => Err(Problem::new(
            Code::NotFound,
            format!("{method} is not taken at {}", shown(path)),
        )),
    }
}

fn asset(path: &str) -> Option<Response> {
    let asset = page::asset(path)?;
    let content_type = HeaderValue::from_static(asset.content_type);
    let mut response = asset.text.into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    Some(response)
}

fn nothing_at(path: &str) -> Problem {
    Problem::new(
        Code::NotFound,
        format!("there is nothing at {}", shown(path)),
    )
}

fn shown(path: &str) -> String {
    path.chars().take(100).collect()
}

fn json(value: &impl Serialize) -> Response {
    warp::reply::json(value).into_response()
}

/// The JSON body; what is not known in it is refused by name.
async fn read<T: DeserializeOwned, B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<T, Problem> {
    let bad = |detail: String| Problem::new(Code::BadRequest, detail);
    let bytes = timeout(BODY_WITHIN, gather(body));
    let bytes = bytes.await.map_err(|_| {
        bad(format!(
            "the body did not come in {} s",
            BODY_WITHIN.as_secs()
        ))
    })?;
    serde_json::from_slice(&bytes?).map_err(|error| bad(format!("body: {error}")))
}

async fn gather<B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<BytesMut, Problem> {
    let mut body = pin!(body);
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.next().await {
        let mut piece = piece.map_err(|error| {
            Problem::new(Code::BadRequest, format!("the body broke off: {error}"))
        })?;
        if bytes.len() + piece.remaining() > BODY_BYTES_MAX {
            let detail = format!("the body is over the limit of {BODY_BYTES_MAX} bytes");
            return Err(Problem::new(Code::BadRequest, detail));
        }
        bytes.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    Ok(bytes)
}

fn refusal(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.code.http_status())
        .expect("codes have valid statuses: they are constants");
    let mut response = warp::reply::with_status(problem.document(), status).into_response();
    let content_type = HeaderValue::from_static("application/problem+json");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

fn with_headers(mut response: Response) -> Response {
    response.headers_mut().extend(ALWAYS);
    response
}

#[cfg(test)]
mod tests;
