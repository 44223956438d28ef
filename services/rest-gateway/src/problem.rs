//! Errors over HTTP: RFC 9457 problem documents for whatever goes wrong.

use astral_proto::{Code, Problem};
use http::{HeaderValue, StatusCode, Uri, header};
use std::time::Duration;
use warp::reply::{Reply, Response};

/// What a problem document is sent as.
pub(crate) const CONTENT_TYPE: &str = "application/problem+json";
const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"astral\"");

/// A request turned away.
#[derive(Debug)]
pub(crate) struct Refusal {
    problem: Problem,
    /// A status of HTTP's own that says more than the code's.
    status: Option<StatusCode>,
    /// The methods that the resource has, if the one used was wrong.
    allow: Option<String>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            status: None,
            allow: None,
        }
    }
}

impl Refusal {
    /// No resource at this path.
    pub(crate) fn no_such_path(path: &str) -> Self {
        let shown: String = path.chars().take(100).collect();
        Problem::new(Code::NotFound, format!("there is nothing at {shown}")).into()
    }

    /// A request target without a path (RFC 9112, section 3.2.3), which only proxies take.
    pub(crate) fn no_path(target: &Uri) -> Self {
        let shown: String = target.to_string().chars().take(100).collect();
        let detail = format!("request target {shown:?} has no path, and this server is no proxy");
        Problem::new(Code::BadRequest, detail).into()
    }

    /// A resource without this method; `allow` are those it has.
    pub(crate) fn no_such_method(allow: String) -> Self {
        let detail = format!("this resource has the methods {allow} only");
        let problem = Problem::new(Code::BadRequest, detail);
        Self {
            problem,
            status: Some(StatusCode::METHOD_NOT_ALLOWED),
            allow: Some(allow),
        }
    }

    /// A body over `bytes_max`.
    pub(crate) fn too_large(bytes_max: usize) -> Self {
        let detail = format!("the body is over the limit of {bytes_max} bytes");
        let problem = Problem::new(Code::BadRequest, detail);
        Self {
            problem,
            status: Some(StatusCode::PAYLOAD_TOO_LARGE),
            allow: None,
        }
    }

    /// A body that did not come in time. It is the caller that was slow: the answer is no failure of this server.
    pub(crate) fn too_slow(within: Duration) -> Self {
        let detail = format!("the body did not arrive within {} s", within.as_secs());
        let problem = Problem::new(Code::BadRequest, detail);
        Self {
            problem,
            status: Some(StatusCode::REQUEST_TIMEOUT),
            allow: None,
        }
    }

    /// The resource is a WebSocket and the request asks for none.
    pub(crate) fn no_upgrade() -> Self {
        let problem = Problem::new(
            Code::BadRequest,
            "this resource is a WebSocket: ask for an upgrade",
        );
        Self {
            problem,
            status: Some(StatusCode::UPGRADE_REQUIRED),
            allow: None,
        }
    }

    /// What is wrong.
    pub(crate) fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The answer for it.
    pub(crate) fn into_response(self) -> Response {
        let code = self.problem.code;
        let status = self.status.unwrap_or_else(|| {
            StatusCode::from_u16(code.http_status())
                .expect("codes have valid statuses: they are constants")
        });
        let mut response = document(&self.problem, status);
        response.extensions_mut().insert(code);
        let headers = response.headers_mut();
        if let Some(seconds) = code.retry_after_seconds() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, BEARER);
        }
        if status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        if let Some(allow) = self
            .allow
            .and_then(|allow| HeaderValue::try_from(allow).ok())
        {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}

fn document(problem: &Problem, status: StatusCode) -> Response {
    let mut document = problem.document_value();
    document["status"] = status.as_u16().into();
    let mut response = warp::reply::with_status(document.to_string(), status).into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}
