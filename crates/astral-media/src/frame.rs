//! The media model: what an origin makes of a publish, and every relay passes on unchanged.
//!
//! Time is in microseconds on the stream's own timeline, one for all tracks and all epochs. Only the origin
//! numbers, times and parts frames; nothing downstream decides any of it again, so every relay makes the same
//! bytes of the same frames.

use astral_proto::{EpochId, FrameId, Incarnation};
use bytes::Bytes;
use std::sync::Arc;

/// One of the tracks of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    /// Moving pictures.
    Video,
    /// Sound.
    Audio,
    /// What a publisher says beside them in AMF0, such as `onTextData`, `onCuePoint` and changes of `onMetaData`. For
    /// players of FLV and RTMP; HLS has no place for it.
    Data,
}

impl Track {
    /// The other track of media.
    pub fn other(self) -> Self {
        match self {
            Track::Video => Track::Audio,
            Track::Audio | Track::Data => Track::Video,
        }
    }
}

/// A video codec with a place in the model. Only H.264 is taken from publishers for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoCodec {
    /// H.264, ISO/IEC 14496-10.
    H264,
    /// H.265, ISO/IEC 23008-2.
    Hevc,
    /// AV1.
    Av1,
}

/// An audio codec with a place in the model. Only AAC is taken from publishers for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioCodec {
    /// AAC, ISO/IEC 14496-3.
    Aac,
    /// Opus, RFC 6716.
    Opus,
}

/// How to decode the video of some GOPs.
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

/// How to decode the audio of some GOPs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioParameters {
    /// The codec.
    pub codec: AudioCodec,
    /// Its configuration, such as AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).
    pub config: Bytes,
    /// Samples a second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u8,
}

/// How to decode some GOPs: the initialisation section `/live/SLUG/INCARNATION-EPOCH/init-INIT.mp4`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The history that the publish belongs to.
    pub incarnation: Incarnation,
    /// The publish they belong to.
    pub epoch: u64,
    /// Parameter changes before them within the epoch, from 0.
    pub init: u32,
    /// The video track, if there is one.
    pub video: Option<VideoParameters>,
    /// The audio track, if there is one.
    pub audio: Option<AudioParameters>,
}

impl Parameters {
    /// The epoch as media URLs name it.
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
    /// Its number; goes on over epochs.
    pub gop: u64,
    /// How to decode it.
    pub parameters: Arc<Parameters>,
    /// Parameter changes and epochs before it since the stream began: EXT-X-DISCONTINUITY-SEQUENCE.
    pub discontinuity: u64,
    /// Whether a decoder can start here. False for the piece after a GOP was cut for its length.
    pub independent: bool,
    /// Where it starts on the timeline, microseconds: where the GOP before it ends.
    pub starts_at: u64,
    /// When the origin got its first frame, Unix milliseconds: what latency and drift are measured from.
    pub wall_clock_ms: u64,
    /// EXT-X-PROGRAM-DATE-TIME, Unix milliseconds: the wall clock at the start of the epoch, or at its last jump, and the
    /// time on the timeline since. It never follows the arrival of frames.
    pub program_date_time_ms: u64,
    /// The stream's target duration, seconds; none until its first origin has fixed it.
    pub target_duration_seconds: Option<u32>,
    /// `mfhd.sequence_number` of its first part; the parts are numbered one by one over all GOPs of an epoch.
    pub first_fragment: u32,
}

/// The number of the first fragment of GOP `gop` when nobody knows how many there were before: above that of any before,
/// since no GOP has as many parts as this leaves room for.
pub fn first_fragment_of(gop: u64) -> u32 {
    (gop.wrapping_mul(1024) as u32).wrapping_add(1).max(1)
}

/// One timestamped access unit of one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its place in the stream; numbers run over both tracks.
    pub id: FrameId,
    /// Its track.
    pub track: Track,
    /// Whether a decoder can start at it. Always true for audio and data.
    pub keyframe: bool,
    /// Decoding time, microseconds; strictly increasing within a track, over all epochs.
    pub dts: u64,
    /// Presentation time less decoding time, microseconds.
    pub cts: i32,
    /// The LL-HLS part that is open once it has arrived, from 0 in each GOP, rising by one at most. A sample belongs to
    /// the part that was open when its successor arrived, since only then is its duration known.
    pub part: u32,
    /// Where that part starts, microseconds after the start of the GOP.
    pub part_starts_at: u32,
    /// The access unit: length-prefixed NAL units for H.264 (4-byte lengths or as the config says), raw AAC;
    /// the AMF0 values of a data message, of which the first is its name.
    pub payload: Bytes,
}

/// The end of a GOP. A sample lasts until the next of its track; this says how long the last ones do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GopEnd {
    /// The GOP.
    pub gop: u64,
    /// How many frames it has.
    pub frames: u32,
    /// How long it lasts on the timeline, microseconds: EXTINF.
    pub duration: u32,
    /// Duration of its last video frame, microseconds; 0 if it has none.
    pub video_duration: u32,
    /// Duration of its last audio frame, microseconds; 0 if it has none.
    pub audio_duration: u32,
    /// The stream's target duration, seconds; none until its first origin has fixed it.
    pub target_duration_seconds: Option<u32>,
}

/// What an origin emits and a relay passes on, in order: `Start (Frame)* End` for each GOP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// A GOP starts.
    Start(GopStart),
    /// A frame of the GOP that started last.
    Frame(Arc<Frame>),
    /// The GOP that started last is complete.
    End(GopEnd),
}
