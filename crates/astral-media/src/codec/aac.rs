//! AAC: AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).

use super::{CodecError, bits::Bits};
use crate::frame::{AudioCodec, AudioParameters};
use bytes::Bytes;
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
/// Main, LC, SSR and LTP: all with frames of 1024 or 960 samples.
const CORE_OBJECT_TYPES: RangeInclusive<u32> = 1..=4;
const FRAME_SAMPLES: u32 = 1024;
const SHORT_FRAME_SAMPLES: u32 = 960;

/// What AudioSpecificConfig `config` describes; it is kept, not copied. The sample rate is that of the core
/// AAC, which is half of what is heard where SBR is used.
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

/// `mp4a.40.TYPE` (RFC 6381, 3.3), TYPE being the object type signalled first: 2 for AAC-LC, 5 for HE-AAC.
pub fn codec_string(config: &[u8]) -> String {
    match object_type(&mut Bits::new(config, "AudioSpecificConfig")) {
        Ok(object_type) => format!("mp4a.40.{object_type}"),
        Err(_) => "mp4a.40".into(),
    }
}

/// Samples in a frame at the core's sample rate: 1024, or 960 where `config` says so.
pub fn frame_duration_samples(config: &[u8]) -> u32 {
    Specific::read(config).map_or(FRAME_SAMPLES, |specific| specific.frame_samples)
}

/// Whether `bytes` are an ADTS stream (ISO/IEC 14496-3, 1.A.2) where one raw frame or its configuration belongs: they
/// begin with the sync word and layer 0, and a raw frame never begins so.
pub fn is_adts(bytes: &[u8]) -> bool {
    matches!(bytes, [0xFF, second, ..] if second & 0b1111_0110 == 0b1111_0000)
}

/// A syntactic element that carries channels (ISO/IEC 14496-3, 4.4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// single_channel_element
    Single,
    /// channel_pair_element
    Pair,
    /// lfe_channel_element
    LowFrequency,
}

impl Element {
    /// id_syn_ele (ISO/IEC 14496-3, table 4.85).
    pub(super) fn id(self) -> u32 {
        match self {
            Element::Single => 0,
            Element::Pair => 1,
            Element::LowFrequency => 3,
        }
    }

    fn channels(self) -> u32 {
        if self == Element::Pair { 2 } else { 1 }
    }
}

/// The elements of each frame with their element_instance_tags, in order; none if `config` cannot be read, or its layout is
/// not known here.
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

/// The elements of a channel configuration (ISO/IEC 14496-3, table 1.19).
fn layout(configuration: u32) -> Option<&'static [Element]> {
    use Element::{LowFrequency, Pair, Single};
    Some(match configuration {
        1 => &[Single],
        2 => &[Pair],
        3 => &[Single, Pair],
        4 => &[Single, Pair, Single],
        5 => &[Single, Pair, Pair],
        6 => &[Single, Pair, Pair, LowFrequency],
        7 | 12 => &[Single, Pair, Pair, Pair, LowFrequency],
        11 => &[Single, Pair, Pair, Single, LowFrequency],
        14 => &[Single, Pair, Pair, LowFrequency, Pair],
        _ => return None,
    })
}

struct Specific {
    sample_rate: u32,
    channels: u8,
    frame_samples: u32,
    /// channelConfiguration; 0 if `program` says it.
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

/// Channels of a channel configuration (ISO/IEC 14496-3, table 1.19).
fn channels(configuration: u32) -> Result<u8, CodecError> {
    Ok(match configuration {
        1 => 1,
        2 => 2,
        3 => 3,
        4 => 4,
        5 => 5,
        6 => 6,
        7 | 12 | 14 => 8,
        11 => 7,
        13 => 24,
        _ => return Err(CodecError::Channels(configuration)),
    })
}

/// Channels of a program_config_element.
fn program_channels(program: &[(Element, u32)]) -> Result<u8, CodecError> {
    let channels: u32 = program.iter().map(|(element, _)| element.channels()).sum();
    u8::try_from(channels)
        .ok()
        .filter(|channels| *channels > 0)
        .ok_or(CodecError::Channels(0))
}

/// The elements of the program_config_element in the GASpecificConfig (ISO/IEC 14496-3, 4.4.1 and 4.5.1.2).
fn program_elements(bits: &mut Bits) -> Result<Vec<(Element, u32)>, CodecError> {
    let depends_on_core_coder = bits.flag()?;
    if depends_on_core_coder {
        bits.take(14)?;
    }
    bits.flag()?;
    bits.take(4 + 2 + 4)?;
    let elements = bits.take(4)? + bits.take(4)? + bits.take(4)?;
    let low_frequency = bits.take(2)?;
    bits.take(3 + 4)?;
    for mixdown_bits in [4, 4, 3] {
        let has_mixdown = bits.flag()?;
        if has_mixdown {
            bits.take(mixdown_bits)?;
        }
    }
    let mut program = Vec::new();
    for _ in 0..elements {
        let element = if bits.flag()? {
            Element::Pair
        } else {
            Element::Single
        };
        program.push((element, bits.take(4)?));
    }
    for _ in 0..low_frequency {
        program.push((Element::LowFrequency, bits.take(4)?));
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(config: &[u8], sample_rate: u32, channels: u8, codec: &str, samples: u32) {
        let parameters = parse(&Bytes::copy_from_slice(config)).unwrap();
        assert_eq!(
            (parameters.sample_rate, parameters.channels),
            (sample_rate, channels),
            "{config:02x?}"
        );
        assert_eq!(codec_string(config), codec);
        assert_eq!(frame_duration_samples(config), samples);
    }

    #[test]
    fn common_configurations_are_understood() {
        check(&[0x12, 0x10], 44_100, 2, "mp4a.40.2", 1024);
        check(
            &[0x11, 0x90, 0x56, 0xe5, 0x00],
            48_000,
            2,
            "mp4a.40.2",
            1024,
        );
        check(&[0x11, 0xb0], 48_000, 6, "mp4a.40.2", 1024);
        check(&[0x12, 0x14], 44_100, 2, "mp4a.40.2", 960);
    }

    #[test]
    fn explicit_sample_rate_is_read() {
        // 00010 1111 (44101 in 24 bits) 0001 0 0 0
        let bits: u64 = (0b00010 << 35) | (0b1111 << 31) | (44_101 << 7) | (0b0001 << 3);
        check(&bits.to_be_bytes()[3..], 44_101, 1, "mp4a.40.2", 1024);
    }

    #[test]
    fn he_aac_has_the_rate_of_its_core() {
        // 00101 0110 0010 0011 00010 000: SBR, core 24 kHz, stereo, heard at 48 kHz, core LC.
        check(&[0x2b, 0x11, 0x88, 0x00], 24_000, 2, "mp4a.40.5", 1024);
    }

    #[test]
    fn program_config_element_gives_the_channels() {
        // LC 48 kHz, configuration 0; a front pair, one side single, one LFE.
        let bits: u128 = [
            (5, 2),
            (4, 3),
            (4, 0),
            (3, 0),
            (10, 0),
            (4, 1),
            (4, 1),
            (4, 0),
            (2, 1),
            (7, 0),
            (3, 0),
            (5, 0b10000),
            (5, 0),
        ]
        .iter()
        .fold(0, |bits, (width, value)| bits << width | value);
        let bytes = (bits << 4).to_be_bytes();
        check(&bytes[8..], 48_000, 4, "mp4a.40.2", 1024);
    }

    #[test]
    fn an_adts_header_is_told_from_a_raw_frame_and_from_a_configuration() {
        for adts in [
            &[0xFF, 0xF1, 0x50, 0x80][..],
            &[0xFF, 0xF9, 0x4C],
            &[0xFF, 0xF0],
        ] {
            assert!(is_adts(adts), "{adts:02x?}");
        }
        for other in [
            &[0x21, 0x10][..],
            &[0xDE, 0x02],
            &[0x12, 0x10],
            &[0xFF],
            &[],
            &[0xFF, 0xFB],
        ] {
            assert!(!is_adts(other), "{other:02x?}");
        }
    }

    #[test]
    fn what_is_not_aac_as_taken_is_named() {
        let refused = |config: &'static [u8]| parse(&Bytes::from_static(config)).unwrap_err();
        assert_eq!(refused(&[]), CodecError::Truncated("AudioSpecificConfig"));
        assert_eq!(refused(&[0xb9, 0x90]), CodecError::ObjectType(23));
        assert_eq!(refused(&[0x16, 0x90]), CodecError::SampleRate(0));
        assert_eq!(refused(&[0x11, 0xc0]), CodecError::Channels(8));
        assert_eq!(
            refused(&[0xb9]).to_string(),
            "AudioSpecificConfig ends early"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(config: Vec<u8>) {
            let _ = codec_string(&config);
            let _ = frame_duration_samples(&config);
            if let Ok(parameters) = parse(&config.into()) {
                prop_assert!(parameters.sample_rate > 0 && parameters.channels > 0);
            }
        }
    }
}
