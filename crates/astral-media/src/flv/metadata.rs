//! onMetaData: describes a stream to players before they have decoded anything.

use super::{TYPE_DATA, write::put_tag};
use crate::codec::frame_rate;
use crate::frame::Parameters;
use bytes::{BufMut, Bytes, BytesMut};

const AMF0_NUMBER: u8 = 0;
const AMF0_BOOLEAN: u8 = 1;
const AMF0_STRING: u8 = 2;
const AMF0_ECMA_ARRAY: u8 = 8;
const AMF0_OBJECT_END: [u8; 3] = [0, 0, 9];
const VIDEO_AVC: f64 = 7.0;
const AUDIO_AAC: f64 = 10.0;

/// The start of the body of an onMetaData message.
const METADATA_HEAD: &[u8] = b"\x02\0\x0aonMetaData";

/// Returns whether the data message with this body is an onMetaData.
pub fn is_metadata(body: &[u8]) -> bool {
    body.starts_with(METADATA_HEAD)
}

/// Returns the AMF0 body of an onMetaData message.
pub fn metadata_body(parameters: &Parameters) -> Bytes {
    let numbers = numbers(parameters);
    let stereo = parameters.audio.as_ref().map(|audio| audio.channels > 1);
    let mut body = BytesMut::new();
    body.put_u8(AMF0_STRING);
    put_name(&mut body, "onMetaData");
    body.put_u8(AMF0_ECMA_ARRAY);
    body.put_u32(numbers.len() as u32 + u32::from(stereo.is_some()));
    for (name, value) in numbers {
        put_name(&mut body, name);
        body.put_u8(AMF0_NUMBER);
        body.put_f64(value);
    }
    if let Some(stereo) = stereo {
        put_name(&mut body, "stereo");
        body.put_slice(&[AMF0_BOOLEAN, u8::from(stereo)]);
    }
    body.put_slice(&AMF0_OBJECT_END);
    body.freeze()
}

/// Returns an onMetaData tag. Its time is always 0: with any other, ffmpeg takes it for a text
/// track.
pub fn metadata_tag(parameters: &Parameters) -> Bytes {
    let mut tag = BytesMut::new();
    put_tag(&mut tag, TYPE_DATA, &metadata_body(parameters), 0);
    tag.freeze()
}

fn numbers(parameters: &Parameters) -> Vec<(&'static str, f64)> {
    let mut numbers = Vec::new();
    if let Some(video) = &parameters.video {
        numbers.push(("width", f64::from(video.width)));
        numbers.push(("height", f64::from(video.height)));
        numbers.push(("videocodecid", VIDEO_AVC));
        // Without it, players guess the rate from a few rounded timestamps, and ffmpeg guesses
        // wrong.
        numbers.extend(frame_rate(video).map(|rate| ("framerate", rate)));
    }
    if let Some(audio) = &parameters.audio {
        numbers.push(("audiocodecid", AUDIO_AAC));
        numbers.push(("audiosamplerate", f64::from(audio.sample_rate)));
        numbers.push(("audiosamplesize", 16.0));
        numbers.push(("audiochannels", f64::from(audio.channels)));
    }
    numbers
}

fn put_name(body: &mut BytesMut, name: &str) {
    body.put_u16(name.len() as u16);
    body.put_slice(name.as_bytes());
}
