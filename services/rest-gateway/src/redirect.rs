//! Redirects players to a relay. The gateway itself never carries media.

use crate::answer::Redirect;
use crate::call::{AnyQuery, Call};
use crate::error::Error;
use crate::relays::Shunned;
use astral_proto::{Problem, Slug};
use http::{HeaderValue, StatusCode, header};
use warp::reply::Reply;

/// Query parameter: the host:port of a relay that a player found dead.
const AVOID: &str = "avoid";
/// Query parameter: a relay that was full and sent its viewer back, by id or host:port. There is
/// one for each relay that was tried.
const FULL: &str = "full";
/// Query parameter: the relay that a player prefers, by id or host:port.
const PREFER: &str = "prefer";

/// Redirects `/live/…` to the same path at a relay with room.
pub(crate) async fn to_relay(call: Call<String, AnyQuery>) -> Result<Redirect, Error> {
    let (path, query) = &call.raw;
    let (shunned, query) = split_query(query);
    let relay = call
        .gateway
        .relays
        .for_viewer(&slug(path)?, &shunned)
        .await?;
    let mark = if query.is_empty() { "" } else { "?" };
    let location = HeaderValue::try_from(format!("{relay}{path}{mark}{query}"))
        .map_err(|_| Error::WrongRelayUrl)?;
    let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(Redirect(response))
}

/// Splits a query into the relays to avoid and the query for the next relay. The next relay learns
/// which relays were full, so that it can list them if it is full too.
fn split_query(query: &str) -> (Shunned, String) {
    let mut shunned = Shunned::default();
    let mut rest = Vec::new();
    for pair in query.split('&') {
        let (name, value) = decoded(pair).unwrap_or_default();
        match name.as_str() {
            AVOID => shunned.dead = Some(value),
            PREFER => shunned.preferred = Some(value),
            FULL => {
                shunned.full.push(value);
                rest.push(pair);
            }
            _ => rest.push(pair),
        }
    }
    (shunned, rest.join("&"))
}

/// Returns the name and the value of one pair of a query, None if it is malformed.
fn decoded(pair: &str) -> Option<(String, String)> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(pair).ok()?;
    pairs.into_iter().next()
}

/// Returns the stream in `/live/SLUG.flv` or `/live/SLUG/…`.
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
    use astral_proto::Code;

    #[test]
    fn the_stream_is_named_by_the_first_part_of_the_path() {
        for path in [
            "/live/demo.flv",
            "/live/demo/index.m3u8",
            "/live/demo/3/17.2.m4s",
            "/live/demo",
        ] {
            assert_eq!(slug(path).unwrap().as_str(), "demo", "{path}");
        }
        for path in [
            "/live/",
            "/live/.flv",
            "/live/a%20b/index.m3u8",
            "/live/demo.mp4",
            "/live//demo",
        ] {
            assert_eq!(slug(path).unwrap_err().code, Code::BadRequest, "{path}");
        }
    }

    #[test]
    fn every_relay_that_was_full_is_told_to_the_next_one() {
        let (shunned, rest) = split_query("_HLS_msn=7&avoid=a:8081&full=b:1&_HLS_part=2&full=c:2");
        assert_eq!(shunned.dead.as_deref(), Some("a:8081"));
        assert_eq!(shunned.full, ["b:1", "c:2"]);
        assert_eq!(rest, "_HLS_msn=7&full=b:1&_HLS_part=2&full=c:2");
        assert_eq!(split_query("avoid=a:8081").1, "");
        assert_eq!(split_query("").0.dead, None);
    }

    #[test]
    fn a_relay_may_be_named_in_percent_encoding() {
        let (shunned, rest) = split_query("prefer=c%3A3&latency=low&full=d%3a4&a%20b&%zz=1");
        assert_eq!(shunned.preferred.as_deref(), Some("c:3"));
        assert_eq!(shunned.full, ["d:4"]);
        assert_eq!(rest, "latency=low&full=d%3a4&a%20b&%zz=1");
    }
}
