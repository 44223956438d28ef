//! Chunks, RTMP 1.0 section 5.3: how messages share a connection.

mod error;
mod reader;
mod writer;

pub use error::ChunkError;
pub use reader::ChunkReader;
pub(super) use writer::put_message;
pub use writer::{MessageKind, message_head, write_message};

use astral_proto::limits::FRAME_BYTES_MAX;
use bytes::Bytes;

/// Chunk size until a Set Chunk Size message changes it.
pub const CHUNK_BYTES_DEFAULT: usize = 128;
/// Largest chunk size in use: the longest length a message header can state.
pub const CHUNK_BYTES_MAX: usize = 0xFF_FFFF;
/// Largest chunk size that a peer may announce, RTMP 1.0 section 5.4.1: the top bit is 0.
pub const CHUNK_SIZE_FIELD_MAX: u32 = 0x7FFF_FFFF;
/// Chunk size of all that is sent, the same on every connection.
pub const CHUNK_BYTES_OUT: usize = 1 << 20;
/// Longest message that is taken: a frame and its FLV header.
pub const MESSAGE_BYTES_MAX: usize = FRAME_BYTES_MAX + 1024;
/// Most chunk streams a peer may use.
pub const CHUNK_STREAMS_MAX: usize = 16;
/// Most bytes of unfinished messages a publisher may leave on a connection.
pub const UNFINISHED_BYTES_MAX: usize = 16 << 20;
/// The same before a publish is accepted, when anybody may be there and has nothing but commands to say.
pub const UNFINISHED_COMMAND_BYTES_MAX: usize = 256 << 10;
/// The one message stream of every connection.
pub const STREAM_ID: u32 = 1;

/// Value of the three-byte timestamp field that says an extended timestamp follows.
const EXTENDED: u32 = 0xFF_FFFF;

/// One whole message.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Message type id.
    pub kind: u8,
    /// Milliseconds, wrapping.
    pub timestamp: u32,
    /// Message stream id.
    pub stream_id: u32,
    /// The message less its header.
    pub body: Bytes,
}

impl std::fmt::Debug for Message {
    /// Without the body, which may hold a publish key.
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
