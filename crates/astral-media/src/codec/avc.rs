//! H.264: the AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1) and the SPS in it.

use super::{CodecError, bits::Bits};
use crate::frame::{VideoCodec, VideoParameters};
use bytes::Bytes;

const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const RECORD: &str = "AVCDecoderConfigurationRecord";
/// Profiles whose SPS describes the sample format (ISO/IEC 14496-10, 7.3.2.1.1).
const PROFILES_WITH_CHROMA: [u32; 13] =
    [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
/// The aspect_ratio_idc after which a width and a height follow (ISO/IEC 14496-10, table E-1).
const EXTENDED_SAR: u32 = 255;
/// Plausible frame rates. Others are ignored.
const FRAME_RATES: std::ops::RangeInclusive<f64> = 1.0..=300.0;
/// Largest width or height in macroblocks. This is 65,536 pixels, so it excludes no picture that is
/// accepted, but it keeps products far from overflow.
const MACROBLOCKS_MAX: u32 = 1 << 12;

/// Parses an AVCDecoderConfigurationRecord. The result contains it unchanged.
pub fn parse(config: &Bytes) -> Result<VideoParameters, CodecError> {
    let (sps, _) = parameter_sets(config)?;
    let (width, height) = picture_size(sps)?;
    Ok(VideoParameters {
        codec: VideoCodec::H264,
        config: config.clone(),
        width,
        height,
    })
}

/// Returns how many bytes the length before each NAL unit has according to `config`: 1, 2 or 4.
pub fn nal_length_bytes(config: &[u8]) -> usize {
    config.get(4).map_or(4, |byte| usize::from(byte & 3) + 1)
}

/// Returns `avc1.PPCCLL` (RFC 6381, 3.3), or `avc1` if `config` is too short.
pub fn codec_string(config: &[u8]) -> String {
    match config {
        [_, profile, compatibility, level, ..] => {
            format!("avc1.{profile:02x}{compatibility:02x}{level:02x}")
        }
        _ => "avc1".into(),
    }
}

/// Returns `config` up to its last PPS, without the extension, which some encoders get wrong.
pub(crate) fn without_extension(config: &[u8]) -> Result<&[u8], CodecError> {
    let (_, rest) = parameter_sets(config)?;
    Ok(&config[..config.len() - rest.len()])
}

/// Returns the first SPS and the bytes after the last PPS.
fn parameter_sets(config: &[u8]) -> Result<(&[u8], &[u8]), CodecError> {
    let (head, rest) = config
        .split_first_chunk::<6>()
        .ok_or(CodecError::Truncated(RECORD))?;
    if head[0] != 1 {
        return Err(CodecError::Version(head[0]));
    }
    if head[4] & 3 == 2 {
        return Err(CodecError::LengthSize(3));
    }
    let (sps, rest) = nal_units(rest, head[5] & 0x1f, NAL_SPS)?;
    let (count, rest) = rest.split_first().ok_or(CodecError::Truncated(RECORD))?;
    let (pps, rest) = nal_units(rest, *count, NAL_PPS)?;
    pps.ok_or(CodecError::NoParameterSet("PPS"))?;
    Ok((sps.ok_or(CodecError::NoParameterSet("SPS"))?, rest))
}

/// Returns the first of `count` NAL units, which must all be of type `expected`, and the bytes
/// after them.
fn nal_units(
    mut bytes: &[u8],
    count: u8,
    expected: u8,
) -> Result<(Option<&[u8]>, &[u8]), CodecError> {
    let mut first = None;
    for _ in 0..count {
        let (length, rest) = bytes
            .split_first_chunk()
            .ok_or(CodecError::Truncated(RECORD))?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (nal, rest) = rest
            .split_at_checked(length)
            .ok_or(CodecError::Truncated(RECORD))?;
        let actual = nal.first().ok_or(CodecError::Truncated(RECORD))? & 0x1f;
        if actual != expected {
            return Err(CodecError::NalUnitType { actual, expected });
        }
        first = first.or(Some(nal));
        bytes = rest;
    }
    Ok((first, bytes))
}

/// Returns width and height in pixels after cropping, from an SPS NAL unit (ISO/IEC 14496-10,
/// 7.3.2.1.1).
fn picture_size(sps: &[u8]) -> Result<(u16, u16), CodecError> {
    read_picture_size(&mut Bits::new(
        &without_emulation_prevention(sps.get(1..).unwrap_or_default()),
        "SPS",
    ))
}

/// Reads an SPS up to its VUI parameters.
fn read_picture_size(bits: &mut Bits) -> Result<(u16, u16), CodecError> {
    let profile = bits.take(8)?;
    bits.take(16)?;
    bits.bounded("seq_parameter_set_id", 31)?;
    let chroma_array_type = if PROFILES_WITH_CHROMA.contains(&profile) {
        chroma_format(bits)?
    } else {
        1
    };
    bits.bounded("log2_max_frame_num_minus4", 12)?;
    skip_picture_order_count(bits)?;
    bits.bounded("max_num_ref_frames", 16)?;
    bits.flag()?;
    let columns = i64::from(bits.bounded("pic_width_in_mbs_minus1", MACROBLOCKS_MAX)?) + 1;
    let rows = i64::from(bits.bounded("pic_height_in_map_units_minus1", MACROBLOCKS_MAX)?) + 1;
    let frame_macroblocks_only = bits.flag()?;
    if !frame_macroblocks_only {
        bits.flag()?;
    }
    bits.flag()?;
    let fields = if frame_macroblocks_only { 1 } else { 2 };
    let (crop_width, crop_height) = cropping(bits, chroma_array_type, fields)?;
    let width = columns * 16 - crop_width;
    let height = rows * 16 * fields - crop_height;
    let side = |pixels: i64| u16::try_from(pixels).ok().filter(|pixels| *pixels > 0);
    side(width)
        .zip(side(height))
        .ok_or(CodecError::PictureSize { width, height })
}

/// Returns the frames per second according to the VUI timing in the first SPS of `config` (ISO/IEC
/// 14496-10, E.2.1); `None` if it has no timing, or an implausible one.
pub fn frame_rate(config: &[u8]) -> Option<f64> {
    let (sps, _) = parameter_sets(config).ok()?;
    let payload = without_emulation_prevention(sps.get(1..)?);
    let bits = &mut Bits::new(&payload, "SPS");
    read_picture_size(bits).ok()?;
    let (units_in_tick, time_scale) = timing(bits).ok()??;
    let rate = f64::from(time_scale) / (2.0 * f64::from(units_in_tick));
    FRAME_RATES.contains(&rate).then_some(rate)
}

/// Reads num_units_in_tick and time_scale, if the SPS contains them.
fn timing(bits: &mut Bits) -> Result<Option<(u32, u32)>, CodecError> {
    let has_vui = bits.flag()?;
    if !has_vui {
        return Ok(None);
    }
    let has_aspect_ratio = bits.flag()?;
    if has_aspect_ratio && bits.take(8)? == EXTENDED_SAR {
        bits.take(32)?;
    }
    let has_overscan = bits.flag()?;
    bits.take(u32::from(has_overscan))?;
    let has_video_signal_type = bits.flag()?;
    if has_video_signal_type {
        bits.take(4)?;
        let has_colour_description = bits.flag()?;
        bits.take(if has_colour_description { 24 } else { 0 })?;
    }
    let has_chroma_location = bits.flag()?;
    if has_chroma_location {
        bits.bounded("chroma_sample_loc_type_top_field", 5)?;
        bits.bounded("chroma_sample_loc_type_bottom_field", 5)?;
    }
    let has_timing = bits.flag()?;
    Ok(if has_timing {
        Some((bits.take(32)?, bits.take(32)?))
    } else {
        None
    })
}

/// Reads the fields that only high profiles have. Returns ChromaArrayType.
fn chroma_format(bits: &mut Bits) -> Result<u32, CodecError> {
    let chroma_format = bits.bounded("chroma_format_idc", 3)?;
    let separate_planes = chroma_format == 3 && bits.flag()?;
    bits.bounded("bit_depth_luma_minus8", 6)?;
    bits.bounded("bit_depth_chroma_minus8", 6)?;
    bits.flag()?;
    if bits.flag()? {
        for list in 0..if chroma_format == 3 { 12 } else { 8 } {
            if bits.flag()? {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Ok(if separate_planes { 0 } else { chroma_format })
}

fn skip_scaling_list(bits: &mut Bits, size: u32) -> Result<(), CodecError> {
    let mut last = 8;
    let mut next = 8;
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.signed()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Ok(())
}

fn skip_picture_order_count(bits: &mut Bits) -> Result<(), CodecError> {
    match bits.bounded("pic_order_cnt_type", 2)? {
        0 => drop(bits.bounded("log2_max_pic_order_cnt_lsb_minus4", 12)?),
        1 => {
            bits.flag()?;
            bits.signed()?;
            bits.signed()?;
            for _ in 0..bits.bounded("num_ref_frames_in_pic_order_cnt_cycle", 255)? {
                bits.signed()?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Returns the pixels that are cropped horizontally and vertically (ISO/IEC 14496-10, 7.4.2.1.1:
/// CropUnitX, CropUnitY).
fn cropping(
    bits: &mut Bits,
    chroma_array_type: u32,
    fields: i64,
) -> Result<(i64, i64), CodecError> {
    if !bits.flag()? {
        return Ok((0, 0));
    }
    let (unit_x, unit_y) = match chroma_array_type {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let mut pair = || Ok(i64::from(bits.unsigned()?) + i64::from(bits.unsigned()?));
    Ok((pair()? * unit_x, pair()? * unit_y * fields))
}

/// Removes each emulation prevention byte: a 3 after two zeros (ISO/IEC 14496-10, 7.4.1).
fn without_emulation_prevention(nal: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        payload.push(byte);
    }
    payload
}

#[cfg(test)]
mod tests;
