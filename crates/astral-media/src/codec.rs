//! Parses the codec configurations of H.264 and AAC, and writes black pictures and silence.

use crate::frame::{AudioCodec, AudioParameters, VideoCodec, VideoParameters};

pub mod aac;
pub mod avc;
mod bits;
pub mod black;
pub mod nal;
pub mod silence;
mod writer;

/// Why a codec configuration is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end before the syntax does.
    #[error("{0} ends early")]
    Truncated(&'static str),
    /// An AVCDecoderConfigurationRecord of an unknown version.
    #[error("AVCDecoderConfigurationRecord has version {0}, must be 1")]
    Version(u8),
    /// NAL unit lengths of an impossible size.
    #[error("NAL unit lengths take {0} bytes, must be 1, 2 or 4")]
    LengthSize(u8),
    /// The SPS or the PPS is missing.
    #[error("AVCDecoderConfigurationRecord has no {0}")]
    NoParameterSet(&'static str),
    /// A NAL unit of another type in place of a parameter set.
    #[error("NAL unit has type {actual}, must be {expected}")]
    NalUnitType {
        /// The `nal_unit_type` that was found.
        actual: u8,
        /// The `nal_unit_type` that was expected.
        expected: u8,
    },
    /// An exp-Golomb code that is too long for a 32-bit value.
    #[error("exp-Golomb code has over 31 leading zeros")]
    ExpGolomb,
    /// A field of the SPS is larger than the standard allows.
    #[error("{name} is {value}, must be at most {max}")]
    Field {
        /// Its name in the standard.
        name: &'static str,
        /// Its value.
        value: u32,
        /// The largest value that is allowed.
        max: u32,
    },
    /// A picture without area, or with a side of more than 65,535 pixels.
    #[error("picture is {width}x{height}, sides must be 1 to 65535")]
    PictureSize {
        /// Pixels after cropping.
        width: i64,
        /// Pixels after cropping.
        height: i64,
    },
    /// An audio object type other than AAC Main, LC, SSR, LTP, or HE on top of them.
    #[error("AAC object type {0} is not supported, send AAC-LC (2)")]
    ObjectType(u32),
    /// The sample rate is out of range.
    #[error("sample rate is {0} Hz, must be 7350 to 96000")]
    SampleRate(u32),
    /// A channel configuration that is reserved or has no channels.
    #[error("channel configuration {0} has no channels")]
    Channels(u32),
}

/// Returns the RFC 6381 codec string, such as `avc1.64001f`. For codecs that publishers may not
/// send yet, returns only the name of the sample entry.
pub fn video_codec_string(video: &VideoParameters) -> String {
    match video.codec {
        VideoCodec::H264 => avc::codec_string(&video.config),
        VideoCodec::Hevc => "hvc1".into(),
        VideoCodec::Av1 => "av01".into(),
    }
}

/// Returns the frames per second that the codec configuration states; `None` if it states none.
pub fn frame_rate(video: &VideoParameters) -> Option<f64> {
    match video.codec {
        VideoCodec::H264 => avc::frame_rate(&video.config),
        VideoCodec::Hevc | VideoCodec::Av1 => None,
    }
}

/// Returns the RFC 6381 codec string, such as `mp4a.40.2`.
pub fn audio_codec_string(audio: &AudioParameters) -> String {
    match audio.codec {
        AudioCodec::Aac => aac::codec_string(&audio.config),
        AudioCodec::Opus => "opus".into(),
    }
}

/// Returns the duration of an audio frame in samples at `sample_rate`. For Opus, assumes frames of
/// 20 ms.
pub fn frame_duration_samples(audio: &AudioParameters) -> u32 {
    match audio.codec {
        AudioCodec::Aac => aac::frame_duration_samples(&audio.config),
        AudioCodec::Opus => audio.sample_rate / 50,
    }
}
