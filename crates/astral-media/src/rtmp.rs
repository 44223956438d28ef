//! RTMP without sockets: an Adobe RTMP 1.0 server that works with real encoders and players.
//!
//! [`ServerSession`] takes the bytes of one connection and returns [`Event`]s and bytes to send.
//! [`write_message`] makes media messages. Their bytes are the same for every player, so they are
//! made once and shared.
//!
//! A connection has these limits: messages of [`chunk::MESSAGE_BYTES_MAX`],
//! [`chunk::CHUNK_STREAMS_MAX`] chunk streams, unfinished messages of
//! [`chunk::UNFINISHED_BYTES_MAX`] for publishers and [`chunk::UNFINISHED_COMMAND_BYTES_MAX`] for
//! everyone else, and [`session::OUTPUT_BYTES_MAX`] of unsent answers.

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
