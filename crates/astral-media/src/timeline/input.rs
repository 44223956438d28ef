//! What goes into a timeline and how far it is.

use crate::frame::{AudioParameters, VideoParameters};
use astral_proto::{FrameId, Incarnation};
use bytes::Bytes;

/// Where an epoch begins on its stream. The directory grants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The history of the stream that the epoch belongs to.
    pub incarnation: Incarnation,
    /// The epoch.
    pub epoch: u64,
    /// Number of its first GOP.
    pub first_gop: u64,
    /// Time of its first frame, microseconds.
    pub first_dts: u64,
    /// Discontinuity sequence of its first GOP.
    pub discontinuity: u64,
    /// Target duration of the stream in seconds; `None` before the first origin has fixed it.
    pub target_duration_seconds: Option<u32>,
    /// Tracks of the epoch before, which viewers still have open.
    pub tracks: TracksBefore,
    /// Number of its first fragment, if the last one of the epoch before is known.
    pub first_fragment: Option<u32>,
}

/// The tracks that viewers already have. They stay connected when one epoch ends and the next
/// begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TracksBefore {
    /// They have video.
    pub video: bool,
    /// They have audio.
    pub audio: bool,
}

/// One message of a publisher.
#[derive(Clone, Debug)]
pub enum Input {
    /// What the publisher says that it will send.
    Expect {
        /// Whether it will send video.
        video: bool,
        /// Whether it will send audio.
        audio: bool,
    },
    /// How to decode the video that follows.
    VideoParameters(VideoParameters),
    /// How to decode the audio that follows.
    AudioParameters(AudioParameters),
    /// An access unit of video.
    Video {
        /// RTMP timestamp: the decoding time in milliseconds, modulo 2³².
        timestamp_ms: u32,
        /// Presentation time minus decoding time, milliseconds.
        cts_ms: i32,
        /// Whether a decoder can start here.
        keyframe: bool,
        /// NAL units, each after its length.
        payload: Bytes,
    },
    /// An access unit of audio.
    Audio {
        /// RTMP timestamp in milliseconds, modulo 2³².
        timestamp_ms: u32,
        /// One raw AAC frame.
        payload: Bytes,
    },
    /// A data message. It takes the time of the newest frame; its own timestamp is ignored.
    Data {
        /// AMF0 values, of which the first is a name.
        payload: Bytes,
    },
}

/// How far a timeline is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimelineProgress {
    /// The newest frame.
    pub newest: FrameId,
    /// The end of the frame that ends last, microseconds.
    pub end_dts: u64,
    /// Discontinuity sequence of the newest GOP.
    pub discontinuity: u64,
    /// Target duration in seconds, once it is fixed.
    pub target_duration_seconds: Option<u32>,
}
