//! Probes that measure the path to the gateway: bytes down, bytes up.

use crate::answer::{Json, Octets};
use crate::body::{self, Pieces};
use crate::call::{Body, Call, NoQuery, Query};
use crate::error::Error;
use bytes::Bytes;
use http::{HeaderValue, header};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;
use warp::reply::Reply;

/// Most bytes of one probe, in either direction.
pub(crate) const BYTES_MAX: usize = 4 << 20;

/// Shared by all answers, so that a probe needs no memory of its own.
static ZEROS: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; BYTES_MAX]));

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PingQuery {
    /// How many bytes to send, up to 4 MiB.
    #[serde(default)]
    bytes: usize,
}

impl Query for PingQuery {}

/// A body of which only the length matters.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Received {
    /// How many bytes arrived.
    bytes: usize,
}

impl Body for Received {
    const BYTES_MAX: usize = BYTES_MAX;

    fn content(_: &mut SchemaGenerator) -> Option<(&'static str, Schema)> {
        Some(("application/octet-stream", json_schema!({"type": "string"})))
    }

    async fn read(pieces: Pieces) -> Result<Self, Error> {
        Ok(Self {
            bytes: body::count(pieces, Self::BYTES_MAX).await?,
        })
    }
}

/// Sends as many bytes as the caller asks for.
pub(crate) async fn down(call: Call<(), PingQuery>) -> Result<Octets, Error> {
    let bytes = call.query.bytes;
    if bytes > BYTES_MAX {
        return Err(Error::PingTooLarge {
            bytes,
            bytes_max: BYTES_MAX,
        });
    }
    let mut response = http::Response::new(ZEROS.slice(..bytes)).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-store, no-transform"),
    );
    Ok(Octets(response))
}

/// How many bytes came.
pub(crate) async fn up(call: Call<(), NoQuery, Received>) -> Result<Json<Received>, Error> {
    Ok(Json(call.body))
}
