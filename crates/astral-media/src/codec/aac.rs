//! AAC: AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).

mod elements;
#[cfg(test)]
mod tests;

use super::{CodecError, bits::Bits};
use crate::frame::{AudioCodec, AudioParameters};
use bytes::Bytes;
pub(super) use elements::Element;
use elements::{channels, layout, program_channels, program_elements};
use std::ops::RangeInclusive;

const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];
const SAMPLE_RATE_RANGE: RangeInclusive<u32> = 7_350..=96_000;
const ESCAPED_OBJECT_TYPE: u32 = 31;
const EXPLICIT_SAMPLE_RATE: u32 = 15;
const SBR: u32 = 5;
const PS: u32 = 29;
/// Main, LC, SSR and LTP. All have frames of 1024 or 960 samples.
const CORE_OBJECT_TYPES: RangeInclusive<u32> = 1..=4;
const FRAME_SAMPLES: u32 = 1024;
const SHORT_FRAME_SAMPLES: u32 = 960;

/// Parses an AudioSpecificConfig. The result contains it unchanged. The sample rate is that of the
/// core AAC. With SBR, this is half of the rate that is played.
pub fn parse(config: &Bytes) -> Result<AudioParameters, CodecError> {
    let Specific {
        sample_rate,
        channels,
        ..
    } = Specific::read(config)?;
    Ok(AudioParameters {
        codec: AudioCodec::Aac,
        config: config.clone(),
        sample_rate,
        channels,
    })
}

/// Returns `mp4a.40.TYPE` (RFC 6381, 3.3). TYPE is the object type that is signalled first: 2 for
/// AAC-LC, 5 for HE-AAC.
pub fn codec_string(config: &[u8]) -> String {
    match object_type(&mut Bits::new(config, "AudioSpecificConfig")) {
        Ok(object_type) => format!("mp4a.40.{object_type}"),
        Err(_) => "mp4a.40".into(),
    }
}

/// Returns the samples in a frame at the sample rate of the core: 1024, or 960 if `config` says so.
pub fn frame_duration_samples(config: &[u8]) -> u32 {
    Specific::read(config).map_or(FRAME_SAMPLES, |specific| specific.frame_samples)
}

/// Returns whether `bytes` have an ADTS header (ISO/IEC 14496-3, 1.A.2): the sync word and layer 0.
/// No raw frame or configuration begins like this.
pub fn is_adts(bytes: &[u8]) -> bool {
    matches!(bytes, [0xFF, second, ..] if second & 0b1111_0110 == 0b1111_0000)
}

/// Returns the elements of each frame with their element_instance_tags, in order; `None` if
/// `config` cannot be parsed or its channel layout is not known here.
pub(super) fn elements(config: &[u8]) -> Option<Vec<(Element, u32)>> {
    let specific = Specific::read(config).ok()?;
    if !specific.program.is_empty() {
        return Some(specific.program);
    }
    let layout = layout(specific.configuration)?;
    let tag = |at: usize| {
        layout[..at]
            .iter()
            .filter(|before| **before == layout[at])
            .count() as u32
    };
    Some(
        layout
            .iter()
            .enumerate()
            .map(|(at, element)| (*element, tag(at)))
            .collect(),
    )
}

/// The fields of an AudioSpecificConfig.
struct Specific {
    sample_rate: u32,
    channels: u8,
    frame_samples: u32,
    /// channelConfiguration; 0 if `program` has the channels.
    configuration: u32,
    /// The elements of the program_config_element, if there is one.
    program: Vec<(Element, u32)>,
}

impl Specific {
    fn read(config: &[u8]) -> Result<Self, CodecError> {
        let bits = &mut Bits::new(config, "AudioSpecificConfig");
        let mut core = object_type(bits)?;
        let sample_rate = sample_rate(bits)?;
        let configuration = bits.take(4)?;
        if core == SBR || core == PS {
            self::sample_rate(bits)?;
            core = object_type(bits)?;
        }
        if !CORE_OBJECT_TYPES.contains(&core) {
            return Err(CodecError::ObjectType(core));
        }
        let frame_samples = if bits.flag()? {
            SHORT_FRAME_SAMPLES
        } else {
            FRAME_SAMPLES
        };
        let program = if configuration == 0 {
            program_elements(bits)?
        } else {
            Vec::new()
        };
        let channels = if configuration == 0 {
            program_channels(&program)?
        } else {
            channels(configuration)?
        };
        Ok(Self {
            sample_rate,
            channels,
            frame_samples,
            configuration,
            program,
        })
    }
}

fn object_type(bits: &mut Bits) -> Result<u32, CodecError> {
    Ok(match bits.take(5)? {
        ESCAPED_OBJECT_TYPE => 32 + bits.take(6)?,
        object_type => object_type,
    })
}

fn sample_rate(bits: &mut Bits) -> Result<u32, CodecError> {
    let index = bits.take(4)?;
    let rate = match index {
        EXPLICIT_SAMPLE_RATE => bits.take(24)?,
        _ => SAMPLE_RATES
            .get(index as usize)
            .copied()
            .unwrap_or_default(),
    };
    if SAMPLE_RATE_RANGE.contains(&rate) {
        Ok(rate)
    } else {
        Err(CodecError::SampleRate(rate))
    }
}
