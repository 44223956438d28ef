//! Sends players on to a relay: the gateway itself never carries media.

use crate::gateway::Gateway;
use astral_proto::{Code, Problem, Slug};
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;
use warp::path::FullPath;
use warp::reply::{Reply, Response};

/// Redirects `/live/…` to the same path at a relay with room.
pub(crate) async fn to_relay(
    path: FullPath,
    query: String,
    gateway: Arc<Gateway>,
) -> Result<Response, Problem> {
    let relay = gateway.relays.for_viewer(&slug(path.as_str())?).await?;
    let mark = if query.is_empty() { "" } else { "?" };
    let location = format!("{relay}{}{mark}{query}", path.as_str());
    let location = HeaderValue::try_from(location)
        .map_err(|_| Problem::new(Code::Internal, "the relay's URL does not go into a header"))?;
    let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The stream that `/live/SLUG.flv` or `/live/SLUG/…` is about.
fn slug(path: &str) -> Result<Slug, Problem> {
    let rest = path.strip_prefix("/live/").unwrap_or_default();
    match rest.split_once('/') {
        Some((slug, _)) => slug.parse(),
        None => rest.strip_suffix(".flv").unwrap_or(rest).parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_named_by_the_first_part_of_the_path() {
        for path in ["/live/demo.flv", "/live/demo/index.m3u8", "/live/demo/3/17.2.m4s", "/live/demo"] {
            assert_eq!(slug(path).unwrap().as_str(), "demo", "{path}");
        }
        for path in ["/live/", "/live/.flv", "/live/a%20b/index.m3u8", "/live/demo.mp4", "/live//demo"] {
            assert_eq!(slug(path).unwrap_err().code, Code::BadRequest, "{path}");
        }
    }
}
