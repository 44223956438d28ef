//! The NAL units of an H.264 access unit, each after its length (ISO/IEC 14496-15, 5.3.2).

use super::bits::Bits;

const SLICE_IDR: u8 = 5;
const SEI: u8 = 6;
/// SEI payload type of a recovery point (ISO/IEC 14496-10, D.1.8).
const RECOVERY_POINT: u32 = 6;
/// Most SEI messages that are read in one NAL unit.
const SEI_MESSAGES_MAX: usize = 16;

/// What an access unit says about where a decoder can start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessUnit {
    /// Whether it is an IDR picture: no later picture refers to an earlier one.
    pub is_idr: bool,
    /// The number of pictures until a decoder that starts here shows correct ones. `None` if the
    /// encoder does not state it.
    pub recovery_frames: Option<u32>,
}

impl AccessUnit {
    /// Reads the heads of the NAL units in `payload`, whose lengths have `length_bytes` bytes.
    /// Returns `None` if the lengths do not add up to the payload, or a NAL unit is empty.
    pub fn read(payload: &[u8], length_bytes: usize) -> Option<Self> {
        let mut unit = Self::default();
        let mut rest = payload;
        while !rest.is_empty() {
            let (length, behind) = rest.split_at_checked(length_bytes)?;
            let length = length
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            let (nal, behind) = behind.split_at_checked(length)?;
            unit.note(nal)?;
            rest = behind;
        }
        (!payload.is_empty()).then_some(unit)
    }

    fn note(&mut self, nal: &[u8]) -> Option<()> {
        let (head, body) = nal.split_first()?;
        match head & 0x1F {
            SLICE_IDR => self.is_idr = true,
            SEI => self.recovery_frames = self.recovery_frames.or_else(|| recovery_frames(body)),
            _ => {}
        }
        Some(())
    }
}

/// Returns whether `bytes` begin like a byte stream (ISO/IEC 14496-10, annex B): with a start code
/// instead of a length.
pub fn is_annex_b(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0, 0, 1]) || bytes.starts_with(&[0, 0, 0, 1])
}

/// Returns recovery_frame_cnt of the first recovery point among SEI messages (ISO/IEC 14496-10,
/// 7.3.2.3.1).
fn recovery_frames(mut sei: &[u8]) -> Option<u32> {
    for _ in 0..SEI_MESSAGES_MAX {
        let kind = extended_byte(&mut sei)?;
        let length = extended_byte(&mut sei)? as usize;
        let (message, behind) = sei.split_at_checked(length)?;
        if kind == RECOVERY_POINT {
            return Bits::new(message, "SEI").unsigned().ok();
        }
        sei = behind;
    }
    None
}

/// Reads a number that is coded as the sum of bytes of 255 and one smaller byte.
fn extended_byte(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    loop {
        let (byte, behind) = bytes.split_first()?;
        *bytes = behind;
        number += u32::from(*byte);
        if *byte != 0xFF {
            return Some(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// NAL units behind lengths of four bytes.
    fn access_unit(nals: &[&[u8]]) -> Vec<u8> {
        let framed = nals
            .iter()
            .flat_map(|nal| [&(nal.len() as u32).to_be_bytes()[..], nal].concat());
        framed.collect()
    }

    #[test]
    fn an_idr_picture_is_recognized_by_its_slices() {
        let idr = access_unit(&[
            &[0x06, 0x05, 0x02, 1, 2, 0x80],
            &[0x65, 0x88],
            &[0x65, 0x01],
        ]);
        let expected = AccessUnit {
            is_idr: true,
            recovery_frames: None,
        };
        assert_eq!(AccessUnit::read(&idr, 4), Some(expected));
        assert_eq!(
            AccessUnit::read(&access_unit(&[&[0x41, 0x9a]]), 4),
            Some(AccessUnit::default())
        );
    }

    #[test]
    fn the_recovery_point_is_immediate_in_an_open_gop_and_later_with_intra_refresh() {
        // As x264 writes them, behind a SEI message of another kind.
        let open = access_unit(&[&[0x06, 0x06, 0x01, 0xc4, 0x80], &[0x41, 0x9a]]);
        assert_eq!(AccessUnit::read(&open, 4).unwrap().recovery_frames, Some(0));
        let refresh = access_unit(&[
            &[0x06, 0x05, 0x01, 9, 0x06, 0x02, 0x09, 0xc4, 0x80],
            &[0x41, 0x9a],
        ]);
        assert_eq!(
            AccessUnit::read(&refresh, 4).unwrap().recovery_frames,
            Some(18)
        );
    }

    #[test]
    fn lengths_that_do_not_add_up_to_the_payload_are_rejected() {
        for payload in [
            &b""[..],
            b"\x65",
            b"\0\0\0\x02\x65",
            b"\0\0\0\0",
            b"\0\0\0\x01\x67\x42\0\x1f\0\0\0\x01\x65",
        ] {
            assert_eq!(AccessUnit::read(payload, 4), None, "{payload:02x?}");
        }
        assert!(AccessUnit::read(b"\0\x01\x65", 2).is_some_and(|unit| unit.is_idr));
        assert!(AccessUnit::read(b"\x01\x65\x01\x41", 1).is_some_and(|unit| unit.is_idr));
    }

    #[test]
    fn a_start_code_is_not_a_length() {
        assert!(is_annex_b(b"\0\0\0\x01\x67") && is_annex_b(b"\0\0\x01\x67"));
        assert!(!is_annex_b(b"\0\0\0\x02\x65\x88") && !is_annex_b(b"\0\0\x02"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(payload: Vec<u8>, length_bytes in 1..=4usize) {
            let _ = AccessUnit::read(&payload, length_bytes);
            let _ = recovery_frames(&payload);
        }
    }
}
