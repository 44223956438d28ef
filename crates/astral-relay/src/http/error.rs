//! Why an HTTP connection was given up.

use std::io;
use std::time::Duration;

/// Longest request head, in bytes.
pub const HEAD_BYTES_MAX: usize = 8 << 10;
/// A peer that takes no byte of a response for this long is dropped.
pub const WRITE_WAIT: Duration = Duration::from_secs(15);

/// Why a connection was given up.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The head is longer than allowed.
    #[error("request head is over the limit of {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    /// The head is not HTTP.
    #[error("request head is not HTTP/1.1: {0}")]
    NotHttp(httparse::Error),
    /// The request has a body.
    #[error("request has a body, which is not supported here")]
    Body,
    /// The peer is too slow.
    #[error("peer did not finish within {0:?}")]
    Slow(Duration),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl HttpError {
    /// A short name for metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            HttpError::HeadTooLong => "head_too_long",
            HttpError::NotHttp(_) => "not_http",
            HttpError::Body => "body",
            HttpError::Slow(_) => "slow",
            HttpError::Io(_) => "io",
        }
    }

    /// Whether the peer simply disconnected, as viewers do. That is no failure.
    pub fn is_departure(&self) -> bool {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
        };
        let left = [
            BrokenPipe,
            ConnectionAborted,
            ConnectionReset,
            NotConnected,
            UnexpectedEof,
        ];
        matches!(self, HttpError::Io(error) if left.contains(&error.kind()))
    }
}
