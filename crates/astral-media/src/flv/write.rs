//! Writes FLV: a head, the shared payload, and a trailer.

use super::{TAG_HEAD_BYTES, TRAILER_BYTES, TYPE_AUDIO, TYPE_DATA, TYPE_VIDEO, is_metadata};
use crate::frame::{AudioParameters, Frame, Parameters, Track, VideoParameters};
use bytes::{BufMut, Bytes, BytesMut};

const BODY_HEAD_BYTES_MAX: usize = 5;
const AVC_KEYFRAME: u8 = 0x17;
const AVC_INTER_FRAME: u8 = 0x27;
/// AAC. The rate, size and channels after it are fixed for AAC and have no meaning (FLV, E.4.2.1).
const AAC: u8 = 0xaf;
/// Microseconds in a millisecond.
const MS: u64 = 1000;

/// The bytes before the payload of a frame in a tag or RTMP message: 5 for video, 2 for audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyHead {
    bytes: [u8; BODY_HEAD_BYTES_MAX],
    length: usize,
}

impl AsRef<[u8]> for BodyHead {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Returns the start of the body of `frame`. `frame.payload` is the rest of it.
pub fn frame_body_head(frame: &Frame) -> BodyHead {
    match frame.track {
        Track::Video => {
            let first = if frame.keyframe {
                AVC_KEYFRAME
            } else {
                AVC_INTER_FRAME
            };
            let [_, high, middle, low] = cts_ms(frame).to_be_bytes();
            BodyHead {
                bytes: [first, 1, high, middle, low],
                length: 5,
            }
        }
        Track::Audio => BodyHead {
            bytes: [AAC, 1, 0, 0, 0],
            length: 2,
        },
        Track::Data => BodyHead {
            bytes: [0; BODY_HEAD_BYTES_MAX],
            length: 0,
        },
    }
}

/// Returns the body that tells a player how to decode video.
pub fn video_config_body(video: &VideoParameters) -> Bytes {
    [&[AVC_KEYFRAME, 0, 0, 0, 0], &video.config[..]]
        .concat()
        .into()
}

/// Returns the body that tells a player how to decode audio.
pub fn audio_config_body(audio: &AudioParameters) -> Bytes {
    [&[AAC, 0], &audio.config[..]].concat().into()
}

/// Returns a decoding time in milliseconds, rounded down. It wraps around after 49 days, like FLV
/// and RTMP timestamps.
pub fn dts_ms(frame: &Frame) -> u32 {
    (frame.dts / MS) as u32
}

/// Returns the timestamp of the tag or RTMP message of `frame`: its decoding time. `onMetaData`
/// gets 0: with any other, ffmpeg takes it for a text track.
pub fn message_ms(frame: &Frame) -> u32 {
    let is_metadata = frame.track == Track::Data && is_metadata(&frame.payload);
    if is_metadata { 0 } else { dts_ms(frame) }
}

/// Returns presentation time minus decoding time in milliseconds, so that the sum with [`dts_ms`]
/// is the presentation time, rounded down. It is kept within the 24 bits that FLV has for it.
pub fn cts_ms(frame: &Frame) -> i32 {
    let within_ms = (frame.dts % MS) as i64;
    let cts = (within_ms + i64::from(frame.cts)).div_euclid(MS as i64);
    cts.clamp(-0x80_0000, 0x7f_ffff) as i32
}

/// The first bytes of an HTTP-FLV response: the file header and PreviousTagSize0.
pub fn file_header(video: bool, audio: bool) -> Bytes {
    let tracks = u8::from(video) | u8::from(audio) << 2;
    Bytes::copy_from_slice(&[b'F', b'L', b'V', 1, tracks, 0, 0, 0, 9, 0, 0, 0, 0])
}

/// Returns the tag of `frame` as head, payload and trailer. The payload is shared; head and trailer
/// are one small allocation. A payload has at most `FRAME_BYTES_MAX` bytes, because FLV has 24 bits
/// for its length.
pub fn tag(frame: &Frame) -> [Bytes; 3] {
    let body_head = frame_body_head(frame);
    let body_bytes = body_head.length + frame.payload.len();
    let mut head = BytesMut::with_capacity(TAG_HEAD_BYTES + BODY_HEAD_BYTES_MAX + TRAILER_BYTES);
    put_tag_head(
        &mut head,
        tag_type(frame.track),
        body_bytes,
        message_ms(frame),
    );
    head.put_slice(body_head.as_ref());
    put_trailer(&mut head, body_bytes);
    let mut head = head.freeze();
    let trailer = head.split_off(head.len() - TRAILER_BYTES);
    [head, frame.payload.clone(), trailer]
}

/// Returns the tags that tell a player how to decode what follows. They are sent before the first
/// frame and at each change.
pub fn config_tags(parameters: &Parameters, dts_ms: u32) -> Bytes {
    let mut tags = BytesMut::new();
    if let Some(video) = &parameters.video {
        put_tag(&mut tags, TYPE_VIDEO, &video_config_body(video), dts_ms);
    }
    if let Some(audio) = &parameters.audio {
        put_tag(&mut tags, TYPE_AUDIO, &audio_config_body(audio), dts_ms);
    }
    tags.freeze()
}

/// Returns a complete tag.
pub(super) fn put_tag(out: &mut BytesMut, tag_type: u8, body: &[u8], dts_ms: u32) {
    put_tag_head(out, tag_type, body.len(), dts_ms);
    out.put_slice(body);
    put_trailer(out, body.len());
}

fn put_tag_head(out: &mut BytesMut, tag_type: u8, body_bytes: usize, dts_ms: u32) {
    let [extension, high, middle, low] = dts_ms.to_be_bytes();
    out.put_u8(tag_type);
    out.put_uint(body_bytes as u64, 3);
    out.put_slice(&[high, middle, low, extension, 0, 0, 0]);
}

fn put_trailer(out: &mut BytesMut, body_bytes: usize) {
    out.put_u32((TAG_HEAD_BYTES + body_bytes) as u32);
}

fn tag_type(track: Track) -> u8 {
    match track {
        Track::Video => TYPE_VIDEO,
        Track::Audio => TYPE_AUDIO,
        Track::Data => TYPE_DATA,
    }
}

#[cfg(test)]
mod tests;
