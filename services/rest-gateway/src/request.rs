//! Reads queries and bodies: bounded in size and time, unknown fields refused by name.

use crate::problem::{self, Refusal};
use astral_proto::{Code, Problem};
use bytes::{Buf, BytesMut};
use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use serde::{Deserialize, de::DeserializeOwned};
use std::{convert::Infallible, pin::pin, time::Duration};
use tokio::time::timeout;
use warp::{Filter, Rejection};

/// Largest JSON body, in bytes.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Longest a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(20);
/// Items on a page unless asked otherwise.
const LIMIT: u32 = 100;
/// Most items on a page.
const LIMIT_MAX: u32 = 1000;

/// Which page of a list is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    limit: Option<u32>,
    /// Where the page starts, as the page before it said.
    pub(crate) cursor: Option<String>,
}

impl PageQuery {
    /// How many items at most.
    ///
    /// # Errors
    /// `bad_request` outside 1 to 1000.
    pub(crate) fn limit(&self) -> Result<u32, Problem> {
        let limit = self.limit.unwrap_or(LIMIT);
        if (1..=LIMIT_MAX).contains(&limit) {
            return Ok(limit);
        }
        Err(Problem::new(Code::BadRequest, format!("limit {limit} is not from 1 to {LIMIT_MAX}")))
    }
}

/// No query fields at all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoQuery {}

/// The query as it stands, empty if there is none.
pub(crate) fn raw_query() -> impl Filter<Extract = (String,), Error = Infallible> + Clone {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

/// The query as a `T`; what `T` does not know is refused.
pub(crate) fn query<T: DeserializeOwned + Send>() -> impl Filter<Extract = (T,), Error = Rejection> + Clone {
    raw_query().and_then(|text: String| async move {
        serde_urlencoded::from_str(&text)
            .map_err(|error| problem::reject(Problem::new(Code::BadRequest, format!("query: {error}"))))
    })
}

/// Refuses any query field.
pub(crate) fn no_query() -> impl Filter<Extract = (), Error = Rejection> + Clone {
    query::<NoQuery>().map(|_| ()).untuple_one()
}

/// The JSON body as a `T`; what `T` does not know is refused.
pub(crate) fn body<T: DeserializeOwned + Send>() -> impl Filter<Extract = (T,), Error = Rejection> + Clone {
    from_this_origin().and(warp::body::stream()).and_then(|stream| async move {
        let bytes = read(stream).await.map_err(problem::reject)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| problem::reject(Problem::new(Code::BadRequest, format!("body: {error}"))))
    })
}

/// Refuses requests that a page of another origin makes a browser send.
pub(crate) fn from_this_origin() -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::header::headers_cloned()
        .and_then(|headers: HeaderMap| async move {
            let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
            let host = text("host").unwrap_or_default();
            match text("origin").map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host)) {
                Some(origin) if origin != host => Err(problem::reject(Problem::new(
                    Code::Forbidden,
                    format!("a page of {origin:?} may not change things at {host:?}"),
                ))),
                _ => Ok(()),
            }
        })
        .untuple_one()
}

/// Counts the bytes of a body and forgets them; one over `bytes_max` is refused.
pub(crate) async fn count<B: Buf>(
    stream: impl Stream<Item = Result<B, warp::Error>>,
    bytes_max: usize,
) -> Result<usize, Refusal> {
    let mut bytes = 0;
    take(stream, bytes_max, |piece| bytes += piece.remaining()).await?;
    Ok(bytes)
}

async fn read<B: Buf>(stream: impl Stream<Item = Result<B, warp::Error>>) -> Result<BytesMut, Refusal> {
    let mut bytes = BytesMut::new();
    take(stream, BODY_BYTES_MAX, |piece| bytes.extend_from_slice(&piece.copy_to_bytes(piece.remaining())))
        .await?;
    Ok(bytes)
}

async fn take<B: Buf>(
    stream: impl Stream<Item = Result<B, warp::Error>>,
    bytes_max: usize,
    mut each: impl FnMut(&mut B),
) -> Result<(), Refusal> {
    let mut stream = pin!(stream);
    let mut left = bytes_max;
    let all = async {
        while let Some(piece) = stream.next().await {
            let mut piece = piece
                .map_err(|error| Problem::new(Code::BadRequest, format!("the body broke off: {error}")))?;
            left = left.checked_sub(piece.remaining()).ok_or_else(|| Refusal::too_large(bytes_max))?;
            each(&mut piece);
        }
        Ok(())
    };
    timeout(BODY_WITHIN, all).await.unwrap_or_else(|_| {
        let detail = format!("the body did not arrive within {} s", BODY_WITHIN.as_secs());
        Err(Problem::new(Code::Timeout, detail).into())
    })
}
