//! Frames and parameters as the messages a player takes: the bodies of FLV tags, made once for every player.

use super::chunk::{MessageKind, write_message};
use crate::flv;
use crate::frame::{Frame, Parameters, Track};
use bytes::Bytes;

/// A frame as a message, in pieces to be sent in order: its payload is shared.
pub fn frame_message(frame: &Frame) -> Vec<Bytes> {
    let head = Bytes::copy_from_slice(flv::frame_body_head(frame).as_ref());
    let kind = match frame.track {
        Track::Video => MessageKind::Video,
        Track::Audio => MessageKind::Audio,
        Track::Data => MessageKind::Data,
    };
    write_message(kind, flv::message_ms(frame), &[head, frame.payload.clone()])
}

/// What a player must be told before the first frame, and at each change: metadata and codec configurations.
pub fn parameter_messages(parameters: &Parameters, dts_ms: u32) -> Vec<Bytes> {
    let mut messages = write_message(MessageKind::Data, 0, &[flv::metadata_body(parameters)]);
    if let Some(video) = &parameters.video {
        messages.extend(write_message(MessageKind::Video, dts_ms, &[flv::video_config_body(video)]));
    }
    if let Some(audio) = &parameters.audio {
        messages.extend(write_message(MessageKind::Audio, dts_ms, &[flv::audio_config_body(audio)]));
    }
    messages
}
