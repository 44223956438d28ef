//! Encodes silent AAC frames (ISO/IEC 14496-3, 4.4.2).
//!
//! The spectrum of every channel has no bands. So a frame takes a few bytes at any sample rate, and
//! a decoder with SBR has nothing to extend.

use super::aac::{Element, elements};
use super::writer::BitWriter;
use bytes::Bytes;

/// Widths of id_syn_ele and element_instance_tag.
const ID_BITS: u32 = 3;
const TAG_BITS: u32 = 4;
/// id_syn_ele of the end of a frame.
const ID_END: u32 = 7;
/// global_gain. It has no meaning without bands; this is what encoders write.
const GAIN: u32 = 140;
/// The window shape that encoders write: Kaiser-Bessel derived.
const WINDOW_SHAPE: u32 = 1;

/// Returns a silent frame for decoders with the AudioSpecificConfig `config`; `None` if the channel
/// layout is not known here.
pub fn silent_frame(config: &[u8]) -> Option<Bytes> {
    let mut bits = BitWriter::default();
    for (element, tag) in elements(config)? {
        bits.put(ID_BITS, element.id());
        bits.put(TAG_BITS, tag);
        put_element(&mut bits, element);
    }
    bits.put(ID_BITS, ID_END);
    Some(Bytes::from(bits.finish()))
}

fn put_element(bits: &mut BitWriter, element: Element) {
    match element {
        Element::Single | Element::LowFrequency => {
            bits.put(8, GAIN);
            put_window(bits);
            put_no_tools(bits);
        }
        Element::Pair => {
            bits.put(1, 1); // common_window
            put_window(bits);
            bits.put(2, 0); // ms_mask_present
            for _ in 0..2 {
                bits.put(8, GAIN);
                put_no_tools(bits);
            }
        }
    }
}

/// ics_info of one long window without scale factor bands, and so without sections, scale factors
/// and spectrum.
fn put_window(bits: &mut BitWriter) {
    bits.put(1, 0); // ics_reserved_bit
    bits.put(2, 0); // window_sequence: ONLY_LONG_SEQUENCE
    bits.put(1, WINDOW_SHAPE);
    bits.put(6, 0); // max_sfb
    bits.put(1, 0); // predictor_data_present
}

/// pulse_data_present, tns_data_present and gain_control_data_present: all 0.
fn put_no_tools(bits: &mut BitWriter) {
    bits.put(3, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stereo_is_the_frame_that_encoders_write_for_silence() {
        assert_eq!(
            silent_frame(&[0x12, 0x10]).unwrap(),
            &[0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c][..]
        );
    }

    #[test]
    fn the_elements_of_each_layout_are_in_order() {
        // id_syn_ele and element_instance_tag of the first element, and how many bits the frame
        // takes.
        let frame_bits = |singles: usize, pairs: usize| 29 * singles + 43 * pairs + 3;
        for (configuration, first, bits) in [
            (1, 0b000_0000, frame_bits(1, 0)),
            (2, 0b001_0000, frame_bits(0, 1)),
            (3, 0b000_0000, frame_bits(1, 1)),
            (4, 0b000_0000, frame_bits(2, 1)),
            (5, 0b000_0000, frame_bits(1, 2)),
            (6, 0b000_0000, frame_bits(2, 2)),
            (7, 0b000_0000, frame_bits(2, 3)),
        ] {
            let config = [0x12, configuration << 3];
            let frame = silent_frame(&config).unwrap();
            assert_eq!(frame[0] >> 1, first, "configuration {configuration}");
            assert_eq!(
                frame.len(),
                bits.div_ceil(8),
                "configuration {configuration}"
            );
        }
    }

    #[test]
    fn he_aac_has_the_frame_of_its_core_and_what_is_unknown_has_none() {
        assert_eq!(
            silent_frame(&[0x2b, 0x11, 0x88, 0x00]),
            silent_frame(&[0x12, 0x10])
        );
        assert_eq!(silent_frame(&[]), None);
        assert_eq!(silent_frame(&[0x11, 0xe8]), None, "24 channels");
    }
}
