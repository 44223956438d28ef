//! Why a connection is closed.

use super::amf0::Amf0Error;
use super::chunk::ChunkError;
use thiserror::Error;

/// Why a connection is closed. No variant contains anything that may be part of a publish key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SessionError {
    /// C0 has another version than plain RTMP.
    #[error("rtmp version {0} is not 3")]
    Version(u8),
    /// The chunks are invalid.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A protocol or user control message is too short.
    #[error("control message of type {kind} has {length} bytes, fewer than {least}")]
    ControlLength {
        /// Message type id.
        kind: u8,
        /// Its length in bytes.
        length: usize,
        /// Its shortest possible length in bytes.
        least: usize,
    },
    /// A command message is too long.
    #[error("command of {length} bytes is over the limit of {limit}")]
    CommandLength {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A command is not AMF0.
    #[error("command is not amf0: {0}")]
    Amf0(#[from] Amf0Error),
    /// An AMF3 command does not start with the byte that switches to AMF0.
    #[error("amf3 command does not start with 0")]
    Amf3,
    /// The first value of a command is not a string.
    #[error("command does not start with its name")]
    CommandName,
    /// The first command is not `connect`.
    #[error("command {0:?} comes before connect")]
    BeforeConnect(String),
    /// `connect` came a second time.
    #[error("connect comes a second time")]
    SecondConnect,
    /// `createStream` came too often.
    #[error("createStream comes more than {0} times")]
    Streams(usize),
    /// `publish` or `play` names no stream.
    #[error("{0} names no stream: the stream key is empty, send to rtmp://HOST/live/NAME")]
    StreamName(&'static str),
    /// The app, name and query of a request are too long.
    #[error("stream address of {length} bytes is over the limit of {limit}")]
    AddressLength {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// `publish` or `play` came on a connection that already publishes or plays.
    #[error("{0} comes while the connection publishes or plays already")]
    Busy(&'static str),
    /// Audio or video came before a publish was accepted.
    #[error("media message of type {0} before a publish was accepted")]
    MediaBeforePublish(u8),
    /// A part of an aggregate message is longer than the rest of the message.
    #[error("a part of an aggregate message is {missing} bytes longer than the message")]
    Aggregate {
        /// Bytes that are missing.
        missing: usize,
    },
    /// The peer sends requests but does not read the answers.
    #[error("the peer has not read {length} bytes of answers, the limit is {limit}")]
    Output {
        /// Unsent bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

impl SessionError {
    /// Returns the value of a metric label. It never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Version(_) => "version",
            Self::Chunk(error) => error.reason(),
            Self::ControlLength { .. } => "control_length",
            Self::CommandLength { .. } => "command_length",
            Self::Amf0(_) => "amf0",
            Self::Amf3 => "amf3",
            Self::CommandName => "command_name",
            Self::BeforeConnect(_) => "before_connect",
            Self::SecondConnect => "second_connect",
            Self::Streams(_) => "streams",
            Self::StreamName(_) => "stream_name",
            Self::AddressLength { .. } => "address_length",
            Self::Busy(_) => "busy",
            Self::MediaBeforePublish(_) => "media_before_publish",
            Self::Aggregate { .. } => "aggregate",
            Self::Output { .. } => "output",
        }
    }
}
