//! Chunks (RTMP 1.0, 5.3): the pieces of messages that share a connection.

mod error;
mod header;
mod reader;
mod stream;
mod writer;

pub use error::ChunkError;
pub use reader::ChunkReader;
pub(super) use writer::put_message;
pub use writer::{MessageKind, message_head, write_message};

use astral_proto::limits::FRAME_BYTES_MAX;
use bytes::Bytes;

/// Chunk size until a Set Chunk Size message changes it.
pub const CHUNK_BYTES_DEFAULT: usize = 128;
/// Largest chunk size that makes a difference: the largest length that a message header can state.
pub const CHUNK_BYTES_MAX: usize = 0xFF_FFFF;
/// Largest chunk size that a peer may announce: the top bit must be 0 (RTMP 1.0, 5.4.1).
pub const CHUNK_SIZE_FIELD_MAX: u32 = 0x7FFF_FFFF;
/// Chunk size of everything that is sent. It is the same on every connection, so that the bytes can
/// be shared.
pub const CHUNK_BYTES_OUT: usize = 1 << 20;
/// Longest message that is accepted: a frame and its FLV header.
pub const MESSAGE_BYTES_MAX: usize = FRAME_BYTES_MAX + 1024;
/// Most chunk streams of a peer.
pub const CHUNK_STREAMS_MAX: usize = 16;
/// Most bytes of unfinished messages on the connection of a publisher.
pub const UNFINISHED_BYTES_MAX: usize = 16 << 20;
/// The same before a publish is accepted. Until then the peer may be anyone, and needs to send only
/// commands.
pub const UNFINISHED_COMMAND_BYTES_MAX: usize = 256 << 10;
/// The only message stream of a connection.
pub const STREAM_ID: u32 = 1;

/// Value of the three-byte timestamp field if an extended timestamp follows.
const EXTENDED: u32 = 0xFF_FFFF;

/// A complete message.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Message type id.
    pub kind: u8,
    /// Milliseconds, modulo 2³².
    pub timestamp: u32,
    /// Message stream id.
    pub stream_id: u32,
    /// The message without its header.
    pub body: Bytes,
}

impl std::fmt::Debug for Message {
    /// The body is left out: it may contain a publish key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("kind", &self.kind)
            .field("timestamp", &self.timestamp)
            .field("stream_id", &self.stream_id)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

#[cfg(test)]
pub(super) mod tests;
