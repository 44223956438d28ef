//! The web application, which is embedded in the binary.

use crate::error::{Error, shown};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::{Embed, EmbeddedFile};
use std::{borrow::Cow, fmt::Write};
use warp::reply::{Reply, Response};

/// File names under `assets/` contain a hash of the content, so the content of a name never
/// changes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

#[derive(Embed)]
#[folder = "web/dist"]
struct Dist;

/// Returns the file `path` of the web application, or 304 if the caller has it already.
///
/// # Errors
/// `not_found`.
pub(crate) fn serve(path: &str, request: &HeaderMap) -> Result<Response, Error> {
    let file = Dist::get(path).ok_or_else(|| Error::NoSuchPath {
        path: shown(&format!("/{path}")),
    })?;
    let etag = etag(&file);
    let held = request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .any(|value| holds(value, &etag));
    let mut response = if held {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        whole(file)
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(content_type(path)),
    );
    let lasting = path.starts_with("assets/");
    headers.insert(
        header::CACHE_CONTROL,
        if lasting { FOR_EVER } else { ASK_AGAIN },
    );
    Ok(response)
}

fn whole(file: EmbeddedFile) -> Response {
    let bytes = match file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    http::Response::new(bytes).into_response()
}

fn etag(file: &EmbeddedFile) -> HeaderValue {
    let mut text = String::from("\"");
    for byte in &file.metadata.sha256_hash()[..16] {
        write!(text, "{byte:02x}").expect("a string takes whatever is written");
    }
    text.push('"');
    HeaderValue::try_from(text).expect("hexadecimal digits are a valid header")
}

fn holds(if_none_match: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(held), Ok(etag)) = (if_none_match.to_str(), etag.to_str()) else {
        return false;
    };
    held.split(',')
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == etag || tag == "*")
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
