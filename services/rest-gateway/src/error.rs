//! Why a request is refused, and the RFC 9457 document that says so.

use astral_proto::limits::{DRILL_SECONDS_MAX, PAGE_ITEMS_MAX};
use astral_proto::model::StreamState;
use astral_proto::rest::NODE_ASKS_MAX;
use astral_proto::{Code, NodeId, Problem, Slug};
use http::{HeaderValue, StatusCode, header};
use std::time::Duration;
use warp::reply::{Reply, Response};

/// The media type of a problem document.
pub(crate) const CONTENT_TYPE: &str = "application/problem+json";
const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"astral\"");
/// How much of a caller's text an error repeats.
const SHOWN_CHARS_MAX: usize = 100;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Another service or a node has refused it, or a value in it cannot be parsed.
    #[error(transparent)]
    Problem(#[from] Problem),

    #[error("there is nothing at {path}")]
    NoSuchPath { path: String },
    /// A request target without a path (RFC 9112, section 3.2.3), which only proxies accept.
    #[error("request target {target:?} has no path, and this server is no proxy")]
    NoPath { target: String },
    #[error("this resource supports only {allow}")]
    NoSuchMethod { allow: String },
    #[error("this resource is a WebSocket: ask for an upgrade")]
    NoUpgrade,
    #[error("the request could not be routed")]
    NotRouted,

    #[error("the body is over the limit of {bytes_max} bytes")]
    BodyTooLarge { bytes_max: usize },
    #[error("the body did not arrive within {} s", .limit.as_secs())]
    BodyTooSlow { limit: Duration },
    #[error("the body broke off: {0}")]
    BodyBrokenOff(warp::Error),
    #[error("body: {0}")]
    WrongBody(serde_json::Error),
    #[error("query: {0}")]
    WrongQuery(serde_urlencoded::de::Error),
    #[error("query: state {state:?} is neither live nor grace")]
    WrongState { state: String },
    #[error("limit {limit} is not from 1 to {PAGE_ITEMS_MAX}")]
    WrongLimit { limit: u32 },
    #[error("cursor {cursor:?} is not a next_cursor of a page of this list")]
    WrongCursor { cursor: String },
    #[error("the path is about {kind} {path:?}, the body about {body:?}")]
    Contradiction {
        kind: &'static str,
        path: String,
        body: String,
    },
    #[error("bytes {bytes} is over the limit of {bytes_max}")]
    PingTooLarge { bytes: usize, bytes_max: usize },
    #[error("seconds {seconds} is not from 1 to {DRILL_SECONDS_MAX}")]
    WrongDrillSeconds { seconds: u32 },

    #[error("a token is required: send Authorization: Bearer TOKEN")]
    NoToken,
    #[error("the bearer token is not known")]
    UnknownToken,
    #[error("token {token:?} has the role {role}, but {wanted} is required")]
    WrongRole {
        token: String,
        role: &'static str,
        wanted: String,
    },
    #[error("token {token:?} may act only for node {own}, not for {node}")]
    OtherNode {
        token: String,
        own: NodeId,
        node: NodeId,
    },
    /// A browser sends it for a page of another origin.
    #[error("a page of {origin:?} may not do this at {host:?}")]
    OtherOrigin { origin: String, host: String },
    #[error("drills are off here: start the gateway with --allow-drills")]
    DrillsOff,

    #[error("{listeners_max} clients listen to the events of this gateway already")]
    TooManyListeners { listeners_max: usize },
    #[error("{nodes_max} nodes are connected to this gateway already")]
    TooManyNodes { nodes_max: usize },
    #[error("{NODE_ASKS_MAX} requests to this node wait for their answer")]
    TooManyAsks,
    #[error("the node's socket has closed")]
    NodeSocketClosed,
    #[error("no answer from the node within {} s", .limit.as_secs())]
    NodeTimeout { limit: Duration },

    #[error("the control plane is away and no relay is known yet")]
    NoRelayKnown,
    #[error("the URL of the relay cannot be sent in a header")]
    WrongRelayUrl,
    #[error("stream {slug} {}, try again {}", off_air(*.state), back(*.state))]
    NotBegun { slug: Slug, state: StreamState },
    #[error("{}", no_room(slug, *.full_relays))]
    NoRoom { slug: Slug, full_relays: usize },
}

/// Why a stream is not on air.
fn off_air(state: StreamState) -> &'static str {
    match state {
        StreamState::Paused => "is paused by its owner",
        StreamState::Ended => "has ended",
        _ => "has not begun",
    }
}

fn back(state: StreamState) -> &'static str {
    match state {
        StreamState::Ended => "when its publisher is back",
        _ => "later",
    }
}

fn no_room(slug: &Slug, full_relays: usize) -> String {
    match full_relays {
        0 => format!(
            "no relay that is up has room for one more viewer of stream {slug}, try again later"
        ),
        tried => format!(
            "{tried} relays have no room for one more viewer of stream {slug}, try again later"
        ),
    }
}

/// Returns the start of a caller's text, to be repeated in an error.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

impl Error {
    /// The class of the error.
    pub(crate) fn code(&self) -> Code {
        match self {
            Error::Problem(problem) => problem.code,
            Error::NoSuchPath { .. } => Code::NotFound,
            Error::NoPath { .. }
            | Error::NoSuchMethod { .. }
            | Error::NoUpgrade
            | Error::BodyTooLarge { .. }
            | Error::BodyTooSlow { .. }
            | Error::BodyBrokenOff(_)
            | Error::WrongBody(_)
            | Error::WrongQuery(_)
            | Error::WrongState { .. }
            | Error::WrongLimit { .. }
            | Error::WrongCursor { .. }
            | Error::Contradiction { .. }
            | Error::PingTooLarge { .. }
            | Error::WrongDrillSeconds { .. } => Code::BadRequest,
            Error::NoToken | Error::UnknownToken => Code::Unauthenticated,
            Error::WrongRole { .. }
            | Error::OtherNode { .. }
            | Error::OtherOrigin { .. }
            | Error::DrillsOff => Code::Forbidden,
            Error::TooManyListeners { .. }
            | Error::TooManyNodes { .. }
            | Error::TooManyAsks
            | Error::NoRoom { .. } => Code::Full,
            Error::NodeSocketClosed => Code::Unavailable,
            Error::NodeTimeout { .. } => Code::Timeout,
            Error::NoRelayKnown => Code::ControlPlaneAway,
            Error::NotBegun { .. } => Code::NotBegun,
            Error::NotRouted | Error::WrongRelayUrl => Code::Internal,
        }
    }

    /// The HTTP status: that of the code, unless HTTP has one that says more.
    fn status(&self) -> StatusCode {
        match self {
            Error::NoSuchMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Error::NoUpgrade => StatusCode::UPGRADE_REQUIRED,
            Error::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            // The caller was slow: the answer must not count as a failure of this server.
            Error::BodyTooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            other => StatusCode::from_u16(other.code().http_status())
                .expect("codes have valid statuses: they are constants"),
        }
    }

    /// The answer that refuses the request.
    pub(crate) fn into_response(self) -> Response {
        let code = self.code();
        let status = self.status();
        let allow = match &self {
            Error::NoSuchMethod { allow } => HeaderValue::try_from(allow).ok(),
            _ => None,
        };
        let mut response = document(self.into(), status);
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
        if let Some(allow) = allow {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Problem(problem) => problem,
            other => Problem::new(other.code(), other.to_string()),
        }
    }
}

fn document(problem: Problem, status: StatusCode) -> Response {
    let mut document = problem.document_value();
    document["status"] = status.as_u16().into();
    let mut response = warp::reply::with_status(document.to_string(), status).into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}
