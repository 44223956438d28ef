//! The elements of a frame that carry channels.

use crate::codec::{CodecError, bits::Bits};

/// A syntactic element that carries channels (ISO/IEC 14496-3, 4.4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// single_channel_element
    Single,
    /// channel_pair_element
    Pair,
    /// lfe_channel_element
    LowFrequency,
}

impl Element {
    /// id_syn_ele (ISO/IEC 14496-3, table 4.85).
    pub fn id(self) -> u32 {
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

/// Returns the elements of a channel configuration (ISO/IEC 14496-3, table 1.19).
pub fn layout(configuration: u32) -> Option<&'static [Element]> {
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

/// Returns the number of channels of a channel configuration (ISO/IEC 14496-3, table 1.19).
pub fn channels(configuration: u32) -> Result<u8, CodecError> {
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

/// Returns the number of channels of a program_config_element.
pub fn program_channels(program: &[(Element, u32)]) -> Result<u8, CodecError> {
    let channels: u32 = program.iter().map(|(element, _)| element.channels()).sum();
    u8::try_from(channels)
        .ok()
        .filter(|channels| *channels > 0)
        .ok_or(CodecError::Channels(0))
}

/// Reads the elements of the program_config_element in the GASpecificConfig (ISO/IEC 14496-3, 4.4.1
/// and 4.5.1.2).
pub fn program_elements(bits: &mut Bits) -> Result<Vec<(Element, u32)>, CodecError> {
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
