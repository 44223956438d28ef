//! Headers on every answer: what a browser may do with it.

use http::{HeaderName, HeaderValue, header};
use warp::path::FullPath;
use warp::reply::Response;

/// Relays live on other origins and ports, so media and requests may go anywhere; nothing else may.
const CONTENT_POLICY: &str = "default-src 'self'; connect-src *; media-src * blob:; worker-src 'self' blob:; \
     object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

const ALWAYS: [(HeaderName, HeaderValue); 3] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// Paths that pages of any origin may read.
const OPEN: [&str; 2] = ["/live/", "/v1/streams"];

/// Adds them to `response`.
pub(crate) fn add(path: &FullPath, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.extend(ALWAYS);
    if OPEN.iter().any(|open| path.as_str().starts_with(open)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    response
}
