//! Headers on every answer: what a browser may do with it.

use crate::operation::Operation;
use crate::rights::ANYONE;
use http::{HeaderName, HeaderValue, Method, header};
use warp::reply::Response;

/// Relays live on other origins and ports, so media and requests may go anywhere; nothing else may.
const CONTENT_POLICY: &str = "default-src 'self'; connect-src *; media-src * blob:; worker-src 'self' blob:; \
     object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

const ALWAYS: [(HeaderName, HeaderValue); 3] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// Adds them to a response of `operation`: pages of any origin may read what anyone may.
pub(crate) fn add(operation: Option<&Operation>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.extend(ALWAYS);
    let is_open = |operation: &Operation| operation.who == ANYONE && operation.method == Method::GET;
    if operation.is_some_and(is_open) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    response
}
