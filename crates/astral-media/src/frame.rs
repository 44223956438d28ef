//! The media model. An origin makes these values from a publisher's messages, and every relay
//! passes them on unchanged.
//!
//! Times are microseconds on the timeline of the stream. There is one timeline for all tracks and
//! all epochs. Only the origin decides numbers, times and parts. So every relay makes the same
//! bytes from the same frames.

use astral_proto::{EpochId, FrameId, Incarnation, UnixMillis};
use bytes::Bytes;
use std::sync::Arc;

/// One of the tracks of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// AMF0 messages such as `onTextData`, `onCuePoint` and changed `onMetaData`, for FLV and RTMP
    /// players. HLS ignores them.
    Data,
}

impl Track {
    /// Returns the other track of video and audio. For data, returns video.
    pub fn other(self) -> Self {
        match self {
            Track::Video => Track::Audio,
            Track::Audio | Track::Data => Track::Video,
        }
    }
}

/// A video codec. Publishers may send only H.264 for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoCodec {
    /// H.264, ISO/IEC 14496-10.
    H264,
    /// H.265, ISO/IEC 23008-2.
    Hevc,
    /// AV1.
    Av1,
}

/// An audio codec. Publishers may send only AAC for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioCodec {
    /// AAC, ISO/IEC 14496-3.
    Aac,
    /// Opus, RFC 6716.
    Opus,
}

/// How to decode video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoParameters {
    /// The codec.
    pub codec: VideoCodec,
    /// Its configuration record, such as AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1).
    pub config: Bytes,
    /// Picture width in pixels, from the SPS.
    pub width: u16,
    /// Picture height in pixels, from the SPS.
    pub height: u16,
}

/// How to decode audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioParameters {
    /// The codec.
    pub codec: AudioCodec,
    /// Its configuration, such as AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).
    pub config: Bytes,
    /// Samples per second.
    pub sample_rate: u32,
    /// Number of channels.
    pub channels: u8,
}

/// How to decode a GOP: the initialization section `/live/SLUG/INCARNATION-EPOCH/init-INIT.mp4`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The history of the stream that the epoch belongs to.
    pub incarnation: Incarnation,
    /// The epoch.
    pub epoch: u64,
    /// How often the parameters changed before, within the epoch.
    pub init: u32,
    /// The video track, if there is one.
    pub video: Option<VideoParameters>,
    /// The audio track, if there is one.
    pub audio: Option<AudioParameters>,
}

impl Parameters {
    /// Returns the epoch as it appears in media URLs.
    pub fn epoch_id(&self) -> EpochId {
        EpochId {
            incarnation: self.incarnation,
            epoch: self.epoch,
        }
    }
}

/// The start of a GOP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GopStart {
    /// Its number. Numbers continue from one epoch to the next.
    pub gop: u64,
    /// How to decode it.
    pub parameters: Arc<Parameters>,
    /// Discontinuities before it since the stream began: EXT-X-DISCONTINUITY-SEQUENCE.
    pub discontinuity: u64,
    /// Whether a decoder can start here. False for the second and later pieces of a GOP that was
    /// cut because it was too long.
    pub independent: bool,
    /// Start on the timeline, microseconds. It is the end of the GOP before.
    pub starts_at: u64,
    /// When the origin received its first frame. Latency and drift are measured
    /// from this.
    pub wall_clock: UnixMillis,
    /// EXT-X-PROGRAM-DATE-TIME: the wall clock at the start of the epoch or at
    /// its last jump, plus the time on the timeline since then. It never follows the arrival of
    /// frames.
    pub program_date_time: UnixMillis,
    /// Target duration of the stream in seconds; `None` until its first origin has fixed it.
    pub target_duration_seconds: Option<u32>,
    /// `mfhd.sequence_number` of its first part. The parts of an epoch are numbered in one
    /// sequence.
    pub first_fragment: u32,
}

/// Returns the number of the first fragment of GOP `gop` for the case that the number of the
/// fragment before it is not known. It is larger than all earlier numbers, because no GOP has 1,024
/// parts.
pub fn first_fragment_of(gop: u64) -> u32 {
    (gop.wrapping_mul(1024) as u32).wrapping_add(1).max(1)
}

/// One timestamped access unit of one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its number in the stream. All tracks share one sequence of numbers.
    pub id: FrameId,
    /// Its track.
    pub track: Track,
    /// Whether a decoder can start at it. Always true for audio and data.
    pub keyframe: bool,
    /// Decoding time, microseconds. It strictly increases within a track, also from one epoch to
    /// the next.
    pub dts: u64,
    /// Presentation time minus decoding time, microseconds.
    pub cts: i32,
    /// The LL-HLS part that is open after this frame. It starts at 0 in each GOP and rises by at
    /// most one from frame to frame. A sample is in the part that was open just before the next
    /// frame of its track, because its duration is known only then.
    pub part: u32,
    /// The start of that part, in microseconds after the start of the GOP.
    pub part_starts_at: u32,
    /// H.264: NAL units, each after its length (4 bytes, or as the configuration says). AAC: one
    /// raw frame. Data: AMF0 values, of which the first is the name.
    pub payload: Bytes,
}

/// The end of a GOP. A sample lasts until the next one of its track. For the last sample of each
/// track, the end of the GOP states the duration, so that the sample need not wait for the next
/// GOP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GopEnd {
    /// The GOP.
    pub gop: u64,
    /// How many frames it has.
    pub frames: u32,
    /// Duration of the GOP, microseconds: EXTINF.
    pub duration: u32,
    /// Duration of its last video frame, microseconds; 0 if it has none.
    pub video_duration: u32,
    /// Duration of its last audio frame, microseconds; 0 if it has none.
    pub audio_duration: u32,
    /// Target duration of the stream in seconds; `None` until its first origin has fixed it.
    pub target_duration_seconds: Option<u32>,
}

/// What an origin emits and relays pass on, in order: `Start Frame* End` for each GOP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// A GOP starts.
    Start(GopStart),
    /// A frame of the open GOP.
    Frame(Arc<Frame>),
    /// The open GOP is complete.
    End(GopEnd),
}
