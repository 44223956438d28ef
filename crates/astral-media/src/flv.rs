//! FLV: reads the audio and video messages of publishers, and writes the tags of HTTP-FLV.
//!
//! An RTMP message of type 8 or 9 and the data of an FLV tag are the same bytes. Here they are
//! called a *body* (Adobe FLV specification 10.1, annex E.4; Enhanced RTMP v2).

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

/// Why FLV is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlvError {
    /// A video codec that relays do not carry.
    #[error("video codec {0} is not supported, send H.264")]
    UnsupportedVideo(Cow<'static, str>),
    /// An audio codec that relays do not carry.
    #[error("audio codec {0} is not supported, send AAC")]
    UnsupportedAudio(Cow<'static, str>),
    /// A multitrack message without the first track, which is the only one that is played.
    #[error("multitrack {0} without a first track is not supported, send one track")]
    Multitrack(&'static str),
    /// The body ends within its header.
    #[error("{0} message ends early")]
    Truncated(&'static str),
    /// The packet type has no meaning for the codec.
    #[error("{kind} packet type {packet_type} is unknown")]
    PacketType {
        /// Video or audio.
        kind: &'static str,
        /// The packet type found.
        packet_type: u8,
    },
    /// The bytes are not an FLV file.
    #[error("not an FLV file: {0}")]
    File(&'static str),
    /// The tag is larger than a reader allows.
    #[error("FLV tag of {bytes} bytes is over the limit of {max}")]
    TagSize {
        /// The size that its head states.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The reader holds too many unread bytes. Take tags out before you add more.
    #[error("{bytes} unread bytes are over the limit of {max}")]
    Backlog {
        /// Bytes that it would hold.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}
