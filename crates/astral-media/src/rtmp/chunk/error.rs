//! Why chunks are invalid.

use super::{CHUNK_SIZE_FIELD_MAX, CHUNK_STREAMS_MAX, MESSAGE_BYTES_MAX};
use thiserror::Error;

/// Why chunks are invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// Set Chunk Size is out of range.
    #[error("chunk size {0} is not from 1 to {CHUNK_SIZE_FIELD_MAX}")]
    ChunkSize(u32),
    /// A message is too long.
    #[error(
        "message of {0} bytes is over the limit of {MESSAGE_BYTES_MAX}: lower the bitrate or the picture size"
    )]
    MessageLength(usize),
    /// There are too many chunk streams.
    #[error("chunk stream {0} exceeds the limit of {CHUNK_STREAMS_MAX} chunk streams")]
    ChunkStreams(u32),
    /// Unfinished messages take more than this many bytes.
    #[error("unfinished messages hold more than {0} bytes")]
    Unfinished(usize),
    /// A chunk refers to an earlier header that never came.
    #[error(
        "chunk of type {kind} on chunk stream {chunk_stream} refers to a header that never came"
    )]
    NoHeader {
        /// The chunk type, 2 or 3.
        kind: u8,
        /// The chunk stream.
        chunk_stream: u32,
    },
    /// A message starts before the last one on its chunk stream has ended.
    #[error("chunk of type {kind} on chunk stream {chunk_stream} begins within a message")]
    HeaderInsideMessage {
        /// The chunk type, from 0 to 2.
        kind: u8,
        /// The chunk stream.
        chunk_stream: u32,
    },
    /// Set Chunk Size or Abort is too short.
    #[error("control message of type {kind} has {length} bytes, fewer than 4")]
    ControlLength {
        /// Message type id.
        kind: u8,
        /// Its length in bytes.
        length: usize,
    },
}

impl ChunkError {
    /// Returns the value of a metric label. It never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ChunkSize(_) => "chunk_size",
            Self::MessageLength(_) => "message_length",
            Self::ChunkStreams(_) => "chunk_streams",
            Self::Unfinished(_) => "unfinished",
            Self::NoHeader { .. } => "no_header",
            Self::HeaderInsideMessage { .. } => "header_inside_message",
            Self::ControlLength { .. } => "control_length",
        }
    }
}
