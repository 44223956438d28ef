//! Errors over HTTP: RFC 9457 problem documents for whatever goes wrong.

use astral_proto::{Code, Problem};
use http::{HeaderValue, StatusCode, header};
use std::convert::Infallible;
use warp::{
    Rejection,
    reject::{self, Reject},
    reply::{Reply, Response},
};

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
/// What a caller is told to wait where the same request may succeed later.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// A request turned away while it was being routed or read.
#[derive(Debug)]
pub(crate) struct Refusal {
    problem: Problem,
    /// A status of HTTP's own that says more than the code's.
    status: Option<StatusCode>,
    /// The methods that the resource has, if the one used was wrong.
    allow: Option<&'static str>,
}

impl Reject for Refusal {}

/// What to answer if no route takes the request; a route that refuses it has the last word.
#[derive(Debug)]
struct Untaken(Refusal);

impl Reject for Untaken {}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem, status: None, allow: None }
    }
}

impl Refusal {
    /// No resource at this path.
    pub(crate) fn no_such_path(path: &str) -> Self {
        let shown: String = path.chars().take(100).collect();
        Problem::new(Code::NotFound, format!("there is nothing at {shown}")).into()
    }

    /// A resource without this method; `allow` are those it has.
    pub(crate) fn no_such_method(allow: &'static str) -> Self {
        let detail = format!("this resource has the methods {allow} only");
        Self {
            problem: Problem::new(Code::BadRequest, detail),
            status: Some(StatusCode::METHOD_NOT_ALLOWED),
            allow: Some(allow),
        }
    }

    /// A body over `bytes_max`.
    pub(crate) fn too_large(bytes_max: usize) -> Self {
        let detail = format!("the body is over the limit of {bytes_max} bytes");
        Self {
            problem: Problem::new(Code::BadRequest, detail),
            status: Some(StatusCode::PAYLOAD_TOO_LARGE),
            allow: None,
        }
    }
}

/// Rejects a request with `refusal`.
pub(crate) fn reject(refusal: impl Into<Refusal>) -> Rejection {
    reject::custom(refusal.into())
}

/// Rejects a request with `refusal` unless a route has refused it already.
pub(crate) fn reject_untaken(refusal: Refusal) -> Rejection {
    reject::custom(Untaken(refusal))
}

/// Makes every rejection a problem document.
pub(crate) async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    let untaken = || rejection.find::<Untaken>().map(|Untaken(refusal)| refusal);
    let Some(refusal) = rejection.find::<Refusal>().or_else(untaken) else {
        tracing::error!(?rejection, "a filter rejected a request by itself");
        return Ok(reply(&Problem::new(Code::Internal, "the request could not be routed")));
    };
    let mut response = reply(&refusal.problem);
    if let Some(status) = refusal.status {
        response = with_status(&refusal.problem, status);
    }
    if let Some(allow) = refusal.allow {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    Ok(response)
}

/// The answer for `problem`.
pub(crate) fn reply(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.code.http_status())
        .expect("codes have valid statuses: they are constants");
    let mut response = document(problem.document(), status);
    if problem.code.may_retry() {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

fn with_status(problem: &Problem, status: StatusCode) -> Response {
    let mut text: serde_json::Value =
        serde_json::from_str(&problem.document()).expect("a problem document is JSON: it was just written");
    text["status"] = status.as_u16().into();
    document(text.to_string(), status)
}

fn document(text: String, status: StatusCode) -> Response {
    let mut response = warp::reply::with_status(text, status).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    response
}
