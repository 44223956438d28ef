//! Sends players on to a relay: the gateway itself never carries media.

use crate::gateway::Gateway;
use astral_proto::{Code, Problem, Slug};
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;
use warp::path::FullPath;
use warp::reply::{Reply, Response};

/// Names the host:port of a relay that a player found dead.
const AVOID: &str = "avoid=";

/// Redirects `/live/…` to the same path at a relay with room.
pub(crate) async fn to_relay(
    path: FullPath,
    query: String,
    gateway: Arc<Gateway>,
) -> Result<Response, Problem> {
    let (avoid, query) = split_query(&query);
    let relay = gateway.relays.for_viewer(&slug(path.as_str())?, avoid).await?;
    let mark = if query.is_empty() { "" } else { "?" };
    let location = format!("{relay}{}{mark}{query}", path.as_str());
    let location = HeaderValue::try_from(location)
        .map_err(|_| Problem::new(Code::Internal, "the relay's URL does not go into a header"))?;
    let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The relay to avoid, and what of the query is for the relay.
fn split_query(query: &str) -> (Option<&str>, String) {
    let (avoid, rest): (Vec<_>, Vec<_>) = query.split('&').partition(|pair| pair.starts_with(AVOID));
    (avoid.first().and_then(|pair| pair.strip_prefix(AVOID)), rest.join("&"))
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

    #[test]
    fn the_relay_to_avoid_is_told_to_the_gateway_alone() {
        let (avoid, rest) = split_query("_HLS_msn=7&avoid=a:8081&_HLS_part=2");
        assert_eq!((avoid, rest.as_str()), (Some("a:8081"), "_HLS_msn=7&_HLS_part=2"));
        assert_eq!(split_query("avoid=a:8081"), (Some("a:8081"), String::new()));
        assert_eq!(split_query(""), (None, String::new()));
    }
}
