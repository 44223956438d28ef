//! Encodes a black picture in H.264 (ISO/IEC 14496-10), for a video track that has not shown
//! anything yet.
//!
//! The profile is Constrained Baseline, and the picture is one IDR slice. The first macroblock is
//! black without compression (I_PCM). Every other one is predicted from its neighbours without a
//! difference, which takes one byte each. Section numbers below are those of ISO/IEC 14496-10.

use super::writer::BitWriter;
use crate::frame::{VideoCodec, VideoParameters};
use bytes::Bytes;

const NAL_IDR: u8 = 0x65;
const NAL_SPS: u8 = 0x67;
const NAL_PPS: u8 = 0x68;
const PROFILE_BASELINE: u8 = 66;
/// constraint_set0_flag and constraint_set1_flag: Constrained Baseline.
const CONSTRAINTS: u8 = 0xC0;
/// Level 4, or 5.1 for pictures with more macroblocks than level 4 allows (table A-1).
const LEVEL: u8 = 40;
const LEVEL_LARGE: u8 = 51;
const LEVEL_MACROBLOCKS: u32 = 8_192;
/// mb_type of I_PCM, and of I_16x16 with DC prediction and without a residual (table 7-11).
const MB_PCM: u32 = 25;
const MB_DC: u32 = 3;
/// slice_type: every slice of the picture is an I slice.
const SLICE_I: u32 = 7;
/// Samples in a macroblock.
const LUMA_SAMPLES: usize = 256;
const CHROMA_SAMPLES: usize = 128;
const LUMA_BLACK: u8 = 16;
const CHROMA_NONE: u8 = 128;

/// Returns a black picture of `width` by `height` pixels, rounded up to even numbers, and how to
/// decode it.
pub fn black_picture(width: u16, height: u16) -> (VideoParameters, Bytes) {
    let size = Size::of(width, height);
    let sps = nal(NAL_SPS, sps(&size));
    let pps = nal(NAL_PPS, pps());
    let slice = nal(NAL_IDR, slice(&size));
    let payload = [&(slice.len() as u32).to_be_bytes()[..], &slice].concat();
    let config = configuration(&size, &sps, &pps);
    let parameters = VideoParameters {
        codec: VideoCodec::H264,
        config,
        width: size.width as u16,
        height: size.height as u16,
    };
    (parameters, Bytes::from(payload))
}

struct Size {
    width: u32,
    height: u32,
    columns: u32,
    rows: u32,
}

impl Size {
    fn of(width: u16, height: u16) -> Self {
        let even = |side: u16| u32::from(side.clamp(2, u16::MAX - 1)).next_multiple_of(2);
        let width = even(width);
        let height = even(height);
        Self {
            width,
            height,
            columns: width.div_ceil(16),
            rows: height.div_ceil(16),
        }
    }

    fn level(&self) -> u8 {
        if self.columns * self.rows > LEVEL_MACROBLOCKS {
            LEVEL_LARGE
        } else {
            LEVEL
        }
    }
}

/// AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1), with lengths of four bytes.
fn configuration(size: &Size, sps: &[u8], pps: &[u8]) -> Bytes {
    let head = [1, PROFILE_BASELINE, CONSTRAINTS, size.level(), 0xFF, 0xE1];
    let length = |nal: &[u8]| (nal.len() as u16).to_be_bytes();
    Bytes::from([&head[..], &length(sps), sps, &[1], &length(pps), pps].concat())
}

/// seq_parameter_set_data (7.3.2.1.1).
fn sps(size: &Size) -> BitWriter {
    let mut bits = BitWriter::default();
    bits.put_bytes(&[PROFILE_BASELINE, CONSTRAINTS, size.level()]);
    bits.put_unsigned(0); // seq_parameter_set_id
    bits.put_unsigned(0); // log2_max_frame_num_minus4
    bits.put_unsigned(2); // pic_order_cnt_type: pictures are shown in the order of decoding
    bits.put_unsigned(1); // max_num_ref_frames
    bits.put(1, 0); // gaps_in_frame_num_value_allowed_flag
    bits.put_unsigned(size.columns - 1);
    bits.put_unsigned(size.rows - 1);
    bits.put(1, 1); // frame_mbs_only_flag
    bits.put(1, 1); // direct_8x8_inference_flag
    put_cropping(&mut bits, size);
    bits.put(1, 0); // vui_parameters_present_flag
    bits
}

/// Macroblocks may extend beyond the picture. The rest is cropped on the right and at the bottom,
/// in pairs of pixels.
fn put_cropping(bits: &mut BitWriter, size: &Size) {
    bits.put(1, 1);
    bits.put_unsigned(0);
    bits.put_unsigned((size.columns * 16 - size.width) / 2);
    bits.put_unsigned(0);
    bits.put_unsigned((size.rows * 16 - size.height) / 2);
}

/// pic_parameter_set_rbsp (7.3.2.2): CAVLC, one slice group, no options.
fn pps() -> BitWriter {
    let mut bits = BitWriter::default();
    bits.put_unsigned(0); // pic_parameter_set_id
    bits.put_unsigned(0); // seq_parameter_set_id
    bits.put(2, 0); // entropy_coding_mode_flag, bottom_field_pic_order_in_frame_present_flag
    bits.put_unsigned(0); // num_slice_groups_minus1
    bits.put_unsigned(0); // num_ref_idx_l0_default_active_minus1
    bits.put_unsigned(0); // num_ref_idx_l1_default_active_minus1
    bits.put(3, 0); // weighted_pred_flag, weighted_bipred_idc
    bits.put_unsigned(0); // pic_init_qp_minus26
    bits.put_unsigned(0); // pic_init_qs_minus26
    bits.put_unsigned(0); // chroma_qp_index_offset
    bits.put(3, 0); // no deblocking control, constrained intra prediction or redundant pictures
    bits
}

/// slice_layer_without_partitioning_rbsp of an IDR picture (7.3.3).
fn slice(size: &Size) -> BitWriter {
    let mut bits = BitWriter::default();
    bits.put_unsigned(0); // first_mb_in_slice
    bits.put_unsigned(SLICE_I);
    bits.put_unsigned(0); // pic_parameter_set_id
    bits.put(4, 0); // frame_num
    bits.put_unsigned(0); // idr_pic_id
    bits.put(2, 0); // no_output_of_prior_pics_flag, long_term_reference_flag
    bits.put_unsigned(0); // slice_qp_delta
    put_black_macroblock(&mut bits);
    for at in 1..size.columns * size.rows {
        // coeff_token depends on the number of coefficients in the blocks to the left and above.
        // I_PCM has 16 (9.2.1).
        let is_beside_pcm = at == 1 && size.columns > 1 || at == size.columns;
        put_predicted_macroblock(&mut bits, is_beside_pcm);
    }
    bits
}

fn put_black_macroblock(bits: &mut BitWriter) {
    bits.put_unsigned(MB_PCM);
    bits.put_bytes(&[LUMA_BLACK; LUMA_SAMPLES]);
    bits.put_bytes(&[CHROMA_NONE; CHROMA_SAMPLES]);
}

fn put_predicted_macroblock(bits: &mut BitWriter, is_beside_pcm: bool) {
    bits.put_unsigned(MB_DC);
    bits.put_unsigned(0); // intra_chroma_pred_mode: DC
    bits.put_unsigned(0); // mb_qp_delta
    match is_beside_pcm {
        true => bits.put(6, 0b00_0011),
        false => bits.put(1, 1),
    }
}

/// Returns a NAL unit: the payload with its stop bit. After two zero bytes, inserts a byte 3 where
/// the payload would otherwise look like a start code (7.4.1).
fn nal(head: u8, mut payload: BitWriter) -> Vec<u8> {
    payload.put(1, 1);
    let mut unit = vec![head];
    let mut zeros = 0;
    for byte in payload.finish() {
        if zeros >= 2 && byte <= 3 {
            unit.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        unit.push(byte);
    }
    unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::avc;
    use crate::codec::nal::AccessUnit;

    #[test]
    fn the_configuration_has_the_requested_size() {
        for (width, height) in [
            (640, 360),
            (1920, 1080),
            (3840, 2160),
            (16, 16),
            (2, 2),
            (322, 182),
        ] {
            let (parameters, picture) = black_picture(width, height);
            let read = avc::parse(&parameters.config).unwrap();
            assert_eq!(read, parameters);
            assert_eq!((read.width, read.height), (width, height));
            assert!(AccessUnit::read(&picture, 4).unwrap().is_idr);
        }
    }

    #[test]
    fn odd_and_empty_sizes_are_rounded_up() {
        let size = |width, height| {
            let (parameters, _) = black_picture(width, height);
            (parameters.width, parameters.height)
        };
        assert_eq!(size(0, 0), (2, 2));
        assert_eq!(size(641, 361), (642, 362));
    }

    #[test]
    fn a_picture_takes_a_byte_a_macroblock() {
        let (_, picture) = black_picture(1280, 720);
        assert!(picture.len() < 80 * 45 + 500, "{} bytes", picture.len());
    }
}
