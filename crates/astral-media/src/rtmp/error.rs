//! Why a connection is given up.

use super::amf0::Amf0Error;
use super::chunk::ChunkError;
use thiserror::Error;

/// Why a connection is given up. None carries anything that may hold a publish key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SessionError {
    /// C0 names a version other than plain RTMP.
    #[error("rtmp version {0} is not 3")]
    Version(u8),
    /// The chunk layer is broken.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A protocol or user control message is too short.
    #[error("control message of type {kind} has {length} bytes, fewer than {least}")]
    ControlLength {
        /// Message type id.
        kind: u8,
        /// Its length in bytes.
        length: usize,
        /// The fewest bytes it can have.
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
    /// A command in AMF3 does not start with the byte that switches to AMF0.
    #[error("amf3 command does not start with 0")]
    Amf3,
    /// The first value of a command is not a string.
    #[error("command does not start with its name")]
    CommandName,
    /// A command other than `connect` comes first.
    #[error("command {0:?} comes before connect")]
    BeforeConnect(String),
    /// `connect` comes again.
    #[error("connect comes a second time")]
    SecondConnect,
    /// `createStream` comes too often.
    #[error("createStream comes more than {0} times")]
    Streams(usize),
    /// `publish` or `play` names no stream.
    #[error("{0} names no stream: the stream key is empty, send to rtmp://HOST/live/NAME")]
    StreamName(&'static str),
    /// The app, name and query of a request are too long together.
    #[error("stream address of {length} bytes is over the limit of {limit}")]
    AddressLength {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// `publish` or `play` while the connection publishes or plays already.
    #[error("{0} comes while the connection publishes or plays already")]
    Busy(&'static str),
    /// Audio or video on a connection that has no accepted publish.
    #[error("media message of type {0} comes without an accepted publish")]
    MediaBeforePublish(u8),
    /// A part of an aggregate message runs past the message's end.
    #[error("aggregate message ends {missing} bytes short of its part's end")]
    Aggregate {
        /// Bytes that are missing.
        missing: usize,
    },
    /// Answers pile up faster than they are taken.
    #[error("{length} bytes of answers wait to be sent, over the limit of {limit}")]
    Output {
        /// Bytes waiting.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

impl SessionError {
    /// A short stable word for a metric's label.
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
