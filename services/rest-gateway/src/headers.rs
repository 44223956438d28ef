//! The headers of every answer: what a browser may do with it.

use crate::operation::Operation;
use http::{HeaderName, HeaderValue, StatusCode, header};
use warp::reply::{Reply, Response};

/// Relays have other origins and ports, so the page may load media and send requests anywhere.
/// Everything else is limited to this origin.
const CONTENT_POLICY: &str = "default-src 'self'; connect-src *; media-src * blob:; worker-src 'self' blob:; \
     object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

const ALWAYS: [(HeaderName, HeaderValue); 3] = [
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
];

/// Added to answers that a page of any origin may read.
const OPEN: [(HeaderName, HeaderValue); 2] = [
    (
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    ),
    (
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Retry-After"),
    ),
];

const PREFLIGHT: [(HeaderName, HeaderValue); 3] = [
    (
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD, OPTIONS"),
    ),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("*"),
    ),
    (
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("86400"),
    ),
];

/// Adds the headers to a response of `operation`. Pages of any origin may read what anyone may
/// read.
pub(crate) fn add(operation: Option<&Operation>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.extend(ALWAYS);
    if operation.is_some_and(Operation::is_open) {
        headers.extend(OPEN);
    }
    response
}

/// The answer to a CORS preflight for what anyone may read.
pub(crate) fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().extend(ALWAYS);
    response.headers_mut().extend(OPEN);
    response.headers_mut().extend(PREFLIGHT);
    response
}
