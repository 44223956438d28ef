//! Codec configuration: what H.264 and AAC say of themselves.

use crate::frame::{AudioCodec, AudioParameters, VideoCodec, VideoParameters};

pub mod aac;
pub mod avc;
mod bits;
pub mod black;
pub mod nal;
pub mod silence;
mod writer;

/// Why a codec configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes stop before the syntax does.
    #[error("{0} ends early")]
    Truncated(&'static str),
    /// Not an AVCDecoderConfigurationRecord as known.
    #[error("AVCDecoderConfigurationRecord has version {0}, must be 1")]
    Version(u8),
    /// NAL unit lengths of a size that does not exist.
    #[error("NAL unit lengths take {0} bytes, must be 1, 2 or 4")]
    LengthSize(u8),
    /// No SPS or no PPS.
    #[error("AVCDecoderConfigurationRecord has no {0}")]
    NoParameterSet(&'static str),
    /// Another NAL unit where a parameter set belongs.
    #[error("NAL unit of type {actual} where type {expected} belongs")]
    NalUnitType {
        /// The `nal_unit_type` found.
        actual: u8,
        /// The one that belongs there.
        expected: u8,
    },
    /// An exp-Golomb code that no 32-bit value has.
    #[error("exp-Golomb code has over 31 leading zeros")]
    ExpGolomb,
    /// A field of the SPS beyond what the standard allows.
    #[error("{name} is {value}, must be at most {max}")]
    Field {
        /// Its name in the standard.
        name: &'static str,
        /// What it says.
        value: u32,
        /// The most it may say.
        max: u32,
    },
    /// A picture without area, or of more than 16 bits a side.
    #[error("picture is {width}x{height}, sides must be 1 to 65535")]
    PictureSize {
        /// Pixels after cropping.
        width: i64,
        /// Pixels after cropping.
        height: i64,
    },
    /// An audio object type other than AAC Main, LC, SSR, LTP, and HE over them.
    #[error("AAC object type {0} is not taken, send AAC-LC (2)")]
    ObjectType(u32),
    /// A sample rate out of range.
    #[error("sample rate is {0} Hz, must be 7350 to 96000")]
    SampleRate(u32),
    /// A channel configuration that is reserved, or has no channel.
    #[error("channel configuration {0} names no channels")]
    Channels(u32),
}

/// The RFC 6381 codec string, such as `avc1.64001f`; the bare sample entry name for codecs not taken yet.
pub fn video_codec_string(video: &VideoParameters) -> String {
    match video.codec {
        VideoCodec::H264 => avc::codec_string(&video.config),
        VideoCodec::Hevc => "hvc1".into(),
        VideoCodec::Av1 => "av01".into(),
    }
}

/// Frames a second as the codec's configuration has it; none if it does not say.
pub fn frame_rate(video: &VideoParameters) -> Option<f64> {
    match video.codec {
        VideoCodec::H264 => avc::frame_rate(&video.config),
        VideoCodec::Hevc | VideoCodec::Av1 => None,
    }
}

/// The RFC 6381 codec string, such as `mp4a.40.2`.
pub fn audio_codec_string(audio: &AudioParameters) -> String {
    match audio.codec {
        AudioCodec::Aac => aac::codec_string(&audio.config),
        AudioCodec::Opus => "opus".into(),
    }
}

/// Samples that one audio frame lasts at `sample_rate`; for Opus those of its usual 20 ms.
pub fn frame_duration_samples(audio: &AudioParameters) -> u32 {
    match audio.codec {
        AudioCodec::Aac => aac::frame_duration_samples(&audio.config),
        AudioCodec::Opus => audio.sample_rate / 50,
    }
}
