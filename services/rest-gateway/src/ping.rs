//! Probes of the way to the gateway: bytes down, bytes up.

use crate::gateway::json;
use crate::{problem, request};
use astral_proto::{Code, Problem};
use bytes::{Buf, Bytes};
use futures_util::Stream;
use http::{HeaderValue, header};
use serde::Deserialize;
use std::sync::LazyLock;
use warp::Rejection;
use warp::reply::{Reply, Response};

/// Most bytes of one probe, either way.
pub(crate) const BYTES_MAX: usize = 4 << 20;

/// Shared by all answers, so that a probe costs no memory of its own.
static ZEROS: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; BYTES_MAX]));

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PingQuery {
    #[serde(default)]
    bytes: usize,
}

/// As many bytes as asked for.
pub(crate) async fn down(query: PingQuery) -> Result<Response, Problem> {
    if query.bytes > BYTES_MAX {
        let detail = format!("bytes {} is over the limit of {BYTES_MAX}", query.bytes);
        return Err(Problem::new(Code::BadRequest, detail));
    }
    let mut response = http::Response::new(ZEROS.slice(..query.bytes)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    Ok(response)
}

/// How many bytes came.
pub(crate) async fn up<B: Buf>(
    stream: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<Response, Rejection> {
    let bytes = request::count(stream, BYTES_MAX).await.map_err(problem::reject)?;
    Ok(json(&serde_json::json!({ "bytes": bytes })))
}
