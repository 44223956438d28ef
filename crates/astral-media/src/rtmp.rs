//! RTMP without sockets: an Adobe RTMP 1.0 server that real encoders and players can live with.
//!
//! [`ServerSession`] takes the bytes of one connection and gives [`Event`]s and bytes to send. [`write_message`]
//! makes media messages whose bytes are the same for every player, so they are made once and shared.
//!
//! What one connection may cost is bounded: messages of [`chunk::MESSAGE_BYTES_MAX`],
//! [`chunk::CHUNK_STREAMS_MAX`] chunk streams, [`chunk::UNFINISHED_BYTES_MAX`] of unfinished messages of a publisher and
//! [`chunk::UNFINISHED_COMMAND_BYTES_MAX`] of anybody else's,
//! [`session::OUTPUT_BYTES_MAX`] of answers that nobody takes.

pub mod amf0;
pub mod chunk;
mod error;
mod handshake;
mod message;
mod play;
pub mod session;

pub use chunk::{CHUNK_BYTES_OUT, MessageKind, STREAM_ID, message_head, write_message};
pub use error::SessionError;
pub use play::{frame_message, parameter_messages};
pub use session::{Event, ServerSession, StatusLevel, StreamMetadata, StreamRequest};
