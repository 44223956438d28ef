//! Reads bodies, bounded in size and time, and which page of a list is wanted.

use crate::call::{Pieces, Query};
use crate::problem::Refusal;
use astral_proto::{Code, Problem};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::timeout;

/// Largest JSON body unless an operation takes more, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// Longest a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(20);
/// Items on a page unless asked otherwise.
const LIMIT: u32 = 100;
/// Most items on a page.
const LIMIT_MAX: u32 = 1000;
/// Longest cursor, in bytes: those given out are names and ids.
const CURSOR_BYTES_MAX: usize = 64;

/// Which page of a list is wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// Most items on the page, 1 to 1000; 100 unless asked otherwise.
    limit: Option<u32>,
    /// Where the page starts, as the page before it said.
    cursor: Option<String>,
}

impl Query for PageQuery {}

impl PageQuery {
    /// The page from `cursor` on, of at most `limit` items.
    pub(crate) fn new(limit: Option<u32>, cursor: Option<String>) -> Self {
        Self { limit, cursor }
    }

    /// How many items at most.
    ///
    /// # Errors
    /// `bad_request` outside 1 to 1000.
    pub(crate) fn limit(&self) -> Result<u32, Problem> {
        let limit = self.limit.unwrap_or(LIMIT);
        if (1..=LIMIT_MAX).contains(&limit) {
            return Ok(limit);
        }
        Err(Problem::new(
            Code::BadRequest,
            format!("limit {limit} is not from 1 to {LIMIT_MAX}"),
        ))
    }

    /// Where the page starts: after the `T` that the page before it ended with.
    ///
    /// # Errors
    /// `bad_request` if it is not one that a page gave out.
    pub(crate) fn cursor<T: std::str::FromStr>(&self) -> Result<Option<String>, Problem> {
        let Some(cursor) = &self.cursor else {
            return Ok(None);
        };
        if cursor.len() > CURSOR_BYTES_MAX || cursor.parse::<T>().is_err() {
            let shown: String = cursor.chars().take(CURSOR_BYTES_MAX).collect();
            let detail =
                format!("cursor {shown:?} is not a next_cursor that a page of this list gave");
            return Err(Problem::new(Code::BadRequest, detail));
        }
        Ok(Some(cursor.clone()))
    }
}

/// Refuses requests that a page of another origin makes a browser send.
///
/// # Errors
/// `forbidden`.
pub(crate) fn from_this_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text("host").unwrap_or_default();
    match text("origin").map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host)) {
        Some(origin) if origin != host => {
            let detail = format!("a page of {origin:?} may not do this at {host:?}");
            Err(Problem::new(Code::Forbidden, detail))
        }
        _ => Ok(()),
    }
}

/// Counts the bytes of a body and forgets them; one over `bytes_max` is refused.
pub(crate) async fn count(pieces: Pieces, bytes_max: usize) -> Result<usize, Refusal> {
    let mut bytes = 0;
    take(pieces, bytes_max, |piece| bytes += piece.len()).await?;
    Ok(bytes)
}

/// The bytes of a body; one over `bytes_max` is refused.
pub(crate) async fn read(pieces: Pieces, bytes_max: usize) -> Result<BytesMut, Refusal> {
    let mut bytes = BytesMut::new();
    take(pieces, bytes_max, |piece| bytes.extend_from_slice(&piece)).await?;
    Ok(bytes)
}

async fn take(
    mut pieces: Pieces,
    bytes_max: usize,
    mut each: impl FnMut(Bytes),
) -> Result<(), Refusal> {
    let mut left = bytes_max;
    let all = async {
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| {
                Problem::new(Code::BadRequest, format!("the body broke off: {error}"))
            })?;
            left = left
                .checked_sub(piece.len())
                .ok_or_else(|| Refusal::too_large(bytes_max))?;
            each(piece);
        }
        Ok(())
    };
    timeout(BODY_WITHIN, all)
        .await
        .unwrap_or_else(|_| Err(Refusal::too_slow(BODY_WITHIN)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    /// Otherwise whoever sends slowly pages the operator.
    #[tokio::test(start_paused = true)]
    async fn a_caller_that_is_slow_is_no_failure_of_the_gateway() {
        let refused = read(stream::pending().boxed(), 10).await.unwrap_err();
        assert_eq!(refused.into_response().status(), 408);
    }
}
