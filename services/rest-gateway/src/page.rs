//! Which page of a list a caller wants.

use crate::call::Query;
use crate::error::{Error, shown};
use astral_proto::limits::PAGE_ITEMS_MAX;
use schemars::JsonSchema;
use serde::Deserialize;

/// Items on a page unless the caller asks for another number.
const PAGE_ITEMS: u32 = 100;
/// Longest cursor, in bytes: cursors are names and ids.
const CURSOR_BYTES_MAX: usize = 64;

/// Which page of a list the caller wants.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// Most items on the page, from 1 to 1000. Default: 100.
    limit: Option<u32>,
    /// Where the page starts: the `next_cursor` of the page before it.
    cursor: Option<String>,
}

impl Query for PageQuery {}

impl PageQuery {
    /// A page that starts at `cursor` and has at most `limit` items.
    pub(crate) fn new(limit: Option<u32>, cursor: Option<String>) -> Self {
        Self { limit, cursor }
    }

    /// Returns the largest number of items.
    ///
    /// # Errors
    /// `bad_request` outside 1 to 1000.
    pub(crate) fn limit(&self) -> Result<u32, Error> {
        let limit = self.limit.unwrap_or(PAGE_ITEMS);
        if (1..=PAGE_ITEMS_MAX).contains(&limit) {
            return Ok(limit);
        }
        Err(Error::WrongLimit { limit })
    }

    /// Returns where the page starts: after the `T` at the end of the page before it.
    ///
    /// # Errors
    /// `bad_request` if no page can have returned this cursor.
    pub(crate) fn cursor<T: std::str::FromStr>(&self) -> Result<Option<String>, Error> {
        let Some(cursor) = &self.cursor else {
            return Ok(None);
        };
        if cursor.len() > CURSOR_BYTES_MAX || cursor.parse::<T>().is_err() {
            return Err(Error::WrongCursor {
                cursor: shown(cursor),
            });
        }
        Ok(Some(cursor.clone()))
    }
}
