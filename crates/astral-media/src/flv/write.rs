//! FLV as it is sent: one head, the shared payload, one trailer.

use super::{TAG_HEAD_BYTES, TRAILER_BYTES, TYPE_AUDIO, TYPE_DATA, TYPE_VIDEO, is_metadata};
use crate::frame::{AudioParameters, Frame, Parameters, Track, VideoParameters};
use bytes::{BufMut, Bytes, BytesMut};

const BODY_HEAD_BYTES_MAX: usize = 5;
const AVC_KEYFRAME: u8 = 0x17;
const AVC_INTER_FRAME: u8 = 0x27;
/// AAC; the rate, size and channels that follow it are fixed for AAC and mean nothing (FLV, E.4.2.1).
const AAC: u8 = 0xaf;
/// Microseconds in a millisecond.
const MS: u64 = 1000;

/// The 5 (video) or 2 (audio) bytes that stand before a frame's payload in a tag or RTMP message.
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

/// The start of the body that carries `frame`; `frame.payload` is the rest of it.
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

/// The body that tells a player how to decode the video.
pub fn video_config_body(video: &VideoParameters) -> Bytes {
    [&[AVC_KEYFRAME, 0, 0, 0, 0], &video.config[..]]
        .concat()
        .into()
}

/// The body that tells a player how to decode the audio.
pub fn audio_config_body(audio: &AudioParameters) -> Bytes {
    [&[AAC, 0], &audio.config[..]].concat().into()
}

/// Decoding time in milliseconds, rounded down; wraps after 49 days as FLV and RTMP timestamps do.
pub fn dts_ms(frame: &Frame) -> u32 {
    (frame.dts / MS) as u32
}

/// The timestamp of the tag or RTMP message of `frame`: its decoding time, but 0 for `onMetaData`, which ffmpeg takes for
/// a track of text with any other.
pub fn message_ms(frame: &Frame) -> u32 {
    let is_metadata = frame.track == Track::Data && is_metadata(&frame.payload);
    if is_metadata { 0 } else { dts_ms(frame) }
}

/// Presentation less decoding time in milliseconds, such that the sum with [`dts_ms`] is the presentation time
/// rounded down; within the 24 bits that FLV has for it.
pub fn cts_ms(frame: &Frame) -> i32 {
    let within_ms = (frame.dts % MS) as i64;
    let cts = (within_ms + i64::from(frame.cts)).div_euclid(MS as i64);
    cts.clamp(-0x80_0000, 0x7f_ffff) as i32
}

/// The first bytes of an HTTP-FLV response: file header and PreviousTagSize0.
pub fn file_header(video: bool, audio: bool) -> Bytes {
    let tracks = u8::from(video) | u8::from(audio) << 2;
    Bytes::copy_from_slice(&[b'F', b'L', b'V', 1, tracks, 0, 0, 0, 9, 0, 0, 0, 0])
}

/// The tag of `frame` as head, payload and trailer: the payload is shared, head and trailer are one small
/// allocation. Payloads are of at most `FRAME_BYTES_MAX`; FLV has 24 bits for their length.
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

/// The tags that tell a player how to decode what follows: before the first frame, and at each change.
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

/// A whole tag.
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
