//! What is wrong with a peer's chunks.

use super::{CHUNK_SIZE_FIELD_MAX, CHUNK_STREAMS_MAX, MESSAGE_BYTES_MAX};
use thiserror::Error;

/// What is wrong with a peer's chunks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// Set Chunk Size out of range.
    #[error("chunk size {0} is not from 1 to {CHUNK_SIZE_FIELD_MAX}")]
    ChunkSize(u32),
    /// A message is too long.
    #[error(
        "message of {0} bytes is over the limit of {MESSAGE_BYTES_MAX}: lower the bitrate or the picture size"
    )]
    MessageLength(usize),
    /// Too many chunk streams.
    #[error("chunk stream {0} would be one more than {CHUNK_STREAMS_MAX}")]
    ChunkStreams(u32),
    /// Unfinished messages hold more than this many bytes.
    #[error("unfinished messages hold more than {0} bytes")]
    Unfinished(usize),
    /// A chunk refers to a header that never came.
    #[error("chunk of type {kind} on chunk stream {chunk_stream} has no header before it")]
    NoHeader {
        /// The chunk type, 2 or 3.
        kind: u8,
        /// The chunk stream.
        chunk_stream: u32,
    },
    /// A message starts before the one before it on its chunk stream has ended.
    #[error("chunk of type {kind} on chunk stream {chunk_stream} cuts a message")]
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
    /// A short stable word for a metric's label.
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
