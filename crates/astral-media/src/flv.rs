//! FLV: tags in (a publisher's messages) and tags out (HTTP-FLV).
//!
//! An RTMP message of type 8 or 9 and the data of an FLV tag are the same bytes, here called a body
//! (Adobe FLV specification 10.1, annex E.4; Enhanced RTMP v2).

mod message;
mod metadata;
mod reader;
mod write;

pub use message::{AudioMessage, VideoMessage, parse_audio, parse_video};
pub use metadata::{is_metadata, metadata_body, metadata_tag};
pub use reader::{FlvReader, Tag};
pub use write::{
    BodyHead, audio_config_body, config_tags, cts_ms, dts_ms, file_header, frame_body_head,
    message_ms, tag, video_config_body,
};

use std::borrow::Cow;

/// Tag and RTMP message type of audio.
pub const TYPE_AUDIO: u8 = 8;
/// Tag and RTMP message type of video.
pub const TYPE_VIDEO: u8 = 9;
/// Tag and RTMP message type of AMF0 data such as onMetaData.
pub const TYPE_DATA: u8 = 18;

const TAG_HEAD_BYTES: usize = 11;
const TRAILER_BYTES: usize = 4;

/// Why FLV is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlvError {
    /// Video that relays do not carry.
    #[error("video codec {0} is not taken yet, send H.264")]
    UnsupportedVideo(Cow<'static, str>),
    /// Audio that relays do not carry.
    #[error("audio codec {0} is not taken yet, send AAC")]
    UnsupportedAudio(Cow<'static, str>),
    /// A message of several tracks of a kind without the first one, which is the one that is played.
    #[error("multitrack {0} is not taken, send one track")]
    Multitrack(&'static str),
    /// A body that stops before its header does.
    #[error("{0} message ends early")]
    Truncated(&'static str),
    /// A packet type without meaning for the codec.
    #[error("{kind} packet type {packet_type} is unknown")]
    PacketType {
        /// Video or audio.
        kind: &'static str,
        /// The packet type found.
        packet_type: u8,
    },
    /// Bytes that are no FLV file.
    #[error("not an FLV file: {0}")]
    File(&'static str),
    /// A tag over the limit of a reader.
    #[error("FLV tag of {bytes} bytes is over the limit of {max}")]
    TagSize {
        /// What its head says.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// More pushed into a reader than it holds; take tags out first.
    #[error("{bytes} unread bytes are over the limit of {max}")]
    Backlog {
        /// Bytes it would hold.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}
