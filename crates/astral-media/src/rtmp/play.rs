//! Writes frames and parameters as messages for players. The bodies are those of FLV tags, and are
//! the same for every player.

use super::chunk::{MessageKind, write_message};
use crate::flv;
use crate::frame::{Frame, Parameters, Track};
use bytes::Bytes;

/// Returns a frame as a message, in pieces to be sent in order. The payload is shared.
pub fn frame_message(frame: &Frame) -> Vec<Bytes> {
    let head = Bytes::copy_from_slice(flv::frame_body_head(frame).as_ref());
    let kind = match frame.track {
        Track::Video => MessageKind::Video,
        Track::Audio => MessageKind::Audio,
        Track::Data => MessageKind::Data,
    };
    write_message(kind, flv::message_ms(frame), &[head, frame.payload.clone()])
}

/// Returns the messages that a player needs before the first frame and at each change: metadata and
/// codec configurations.
pub fn parameter_messages(parameters: &Parameters, dts_ms: u32) -> Vec<Bytes> {
    let mut messages = write_message(MessageKind::Data, 0, &[flv::metadata_body(parameters)]);
    if let Some(video) = &parameters.video {
        messages.extend(write_message(
            MessageKind::Video,
            dts_ms,
            &[flv::video_config_body(video)],
        ));
    }
    if let Some(audio) = &parameters.audio {
        messages.extend(write_message(
            MessageKind::Audio,
            dts_ms,
            &[flv::audio_config_body(audio)],
        ));
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtmp::chunk::ChunkReader;
    use astral_proto::FrameId;
    use bytes::BytesMut;

    #[test]
    fn data_is_a_data_message_of_its_values_at_its_time() {
        let payload = Bytes::from_static(b"\x02\0\x0aonTextData\x05");
        let id = FrameId::new(0, 1);
        let track = Track::Data;
        let frame = Frame {
            id,
            track,
            keyframe: true,
            dts: 40_000,
            cts: 0,
            part: 0,
            part_starts_at: 0,
            payload: payload.clone(),
        };
        let mut bytes = BytesMut::from(&frame_message(&frame).concat()[..]);
        let message = ChunkReader::new()
            .read(&mut bytes)
            .unwrap()
            .expect("one whole message");
        assert_eq!(
            (message.kind, message.timestamp, message.body),
            (18, 40, payload)
        );
    }
}
