//! The records of a relay link: what a provider sends after `GET /relay/SLUG?from=GOP.FRAME`.
//!
//! Each record is a length (4 bytes, big-endian, counting what follows it), a type byte, and fields
//! of fixed width in big-endian order. The payload of a frame is at the end of its record, so a
//! sender writes a small head and then the shared payload without copying it.
//!
//! A reader skips record types that it does not know, and bytes after the last field that it knows.
//! So a later version may add both. Any other change, for example a codec or the head of a frame,
//! needs a new version: see [`Versions`]. docs/relay-link.md specifies every field.

mod read;
#[cfg(test)]
mod tests;
mod versions;

use crate::frame::{
    AudioCodec, AudioParameters, Frame, GopEnd, GopStart, Parameters, Track, VideoCodec,
    VideoParameters,
};
use astral_proto::limits::{FRAME_BYTES_MAX, HOPS_MAX};
use astral_proto::{FrameId, NodeId};
use bytes::{BufMut, Bytes, BytesMut};
pub use read::{RecordError, read};
use std::sync::Arc;
pub use versions::{VERSIONS_FIELD, Versions, VersionsError};

/// Longest record that is accepted, in bytes.
pub const RECORD_BYTES_MAX: usize = FRAME_BYTES_MAX + 1024;
/// Longest codec configuration that is accepted, in bytes.
const CONFIG_BYTES_MAX: usize = 64 << 10;
/// Longest path that is accepted. It is longer than the hop limit, so that a reader can see that
/// the limit is broken.
const PATH_MAX: usize = HOPS_MAX as usize + 2;

/// A record of a relay link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The node ids from the origin to the sender. It is sent at the start, and again when it
    /// changes.
    Path(Vec<NodeId>),
    /// How to decode the GOPs that follow.
    Parameters(Arc<Parameters>),
    /// A GOP starts. Its parameters are those of the last [`Record::Parameters`].
    Start(GopStart),
    /// A frame.
    Frame(Arc<Frame>),
    /// A GOP is complete.
    End(GopEnd),
    /// A keep-alive. It is sent when there is nothing else to send.
    KeepAlive {
        /// The newest frame of the sender, if it has any.
        newest: Option<FrameId>,
        /// Whether the sender receives from its own provider or publisher. True in the grace
        /// window, too.
        upstream_ok: bool,
    },
    /// The stream has ended. The sender then closes the connection, which is not a failure.
    Ended,
    /// The version that the provider has chosen. If it is sent, it is the first record.
    Version(u16),
}

pub(crate) mod kind {
    pub const PATH: u8 = 1;
    pub const PARAMETERS: u8 = 2;
    pub const START: u8 = 3;
    pub const FRAME: u8 = 4;
    pub const END: u8 = 5;
    pub const KEEP_ALIVE: u8 = 6;
    pub const ENDED: u8 = 7;
    pub const VERSION: u8 = 8;
}

const FLAG_KEYFRAME: u8 = 1;
const FLAG_AUDIO: u8 = 2;
const FLAG_DATA: u8 = 4;
const FRAME_HEAD_BYTES: usize = 4 + 1 + 8 + 4 + 1 + 8 + 4 + 4 + 4;

/// Encodes a record without a payload.
pub fn encode(record: &Record) -> Bytes {
    match record {
        Record::Path(path) => encode_path(path),
        Record::Parameters(parameters) => encode_parameters(parameters),
        Record::Start(start) => encode_start(start),
        Record::Frame(frame) => {
            let mut whole = BytesMut::from(&frame_head(frame)[..]);
            whole.extend_from_slice(&frame.payload);
            whole.freeze()
        }
        Record::End(end) => encode_end(end),
        Record::KeepAlive {
            newest,
            upstream_ok,
        } => encode_keep_alive(*newest, *upstream_ok),
        Record::Ended => framed(kind::ENDED, |_| {}),
        Record::Version(version) => framed(kind::VERSION, |out| out.put_u16(*version)),
    }
}

/// Encodes the head of the record of a frame. The payload follows it on the wire.
pub fn frame_head(frame: &Frame) -> Bytes {
    let mut head = BytesMut::with_capacity(FRAME_HEAD_BYTES);
    let length = FRAME_HEAD_BYTES - 4 + frame.payload.len();
    head.put_u32(length as u32);
    head.put_u8(kind::FRAME);
    put_frame_id(&mut head, frame.id);
    let keyframe = if frame.keyframe { FLAG_KEYFRAME } else { 0 };
    let track = match frame.track {
        Track::Video => 0,
        Track::Audio => FLAG_AUDIO,
        Track::Data => FLAG_DATA,
    };
    head.put_u8(keyframe | track);
    head.put_u64(frame.dts);
    head.put_i32(frame.cts);
    head.put_u32(frame.part);
    head.put_u32(frame.part_starts_at);
    head.freeze()
}

fn framed(kind: u8, body: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut record = BytesMut::with_capacity(64);
    record.put_u32(0);
    record.put_u8(kind);
    body(&mut record);
    let length = (record.len() - 4) as u32;
    record[..4].copy_from_slice(&length.to_be_bytes());
    record.freeze()
}

fn encode_path(path: &[NodeId]) -> Bytes {
    framed(kind::PATH, |out| {
        out.put_u8(path.len() as u8);
        path.iter()
            .for_each(|node| out.put_slice(node.0.as_bytes()));
    })
}

fn encode_parameters(parameters: &Parameters) -> Bytes {
    framed(kind::PARAMETERS, |out| {
        out.put_u32(parameters.incarnation.bits());
        out.put_u64(parameters.epoch);
        out.put_u32(parameters.init);
        put_video(out, parameters.video.as_ref());
        put_audio(out, parameters.audio.as_ref());
    })
}

fn encode_start(start: &GopStart) -> Bytes {
    framed(kind::START, |out| {
        out.put_u64(start.gop);
        out.put_u64(start.discontinuity);
        out.put_u8(u8::from(start.independent));
        out.put_u64(start.starts_at);
        out.put_u64(start.wall_clock.get());
        out.put_u64(start.program_date_time.get());
        put_target(out, start.target_duration_seconds);
        out.put_u32(start.first_fragment);
    })
}

fn encode_end(end: &GopEnd) -> Bytes {
    framed(kind::END, |out| {
        out.put_u64(end.gop);
        out.put_u32(end.frames);
        out.put_u32(end.duration);
        out.put_u32(end.video_duration);
        out.put_u32(end.audio_duration);
        put_target(out, end.target_duration_seconds);
    })
}

fn encode_keep_alive(newest: Option<FrameId>, upstream_ok: bool) -> Bytes {
    framed(kind::KEEP_ALIVE, |out| {
        out.put_u8(u8::from(upstream_ok));
        out.put_u8(u8::from(newest.is_some()));
        put_frame_id(out, newest.unwrap_or_default());
    })
}

fn put_frame_id(out: &mut BytesMut, id: FrameId) {
    out.put_u64(id.gop);
    out.put_u32(id.number);
}

/// 0 means that the target duration is not fixed yet.
fn put_target(out: &mut BytesMut, seconds: Option<u32>) {
    out.put_u32(seconds.unwrap_or(0));
}

fn put_video(out: &mut BytesMut, video: Option<&VideoParameters>) {
    let Some(video) = video else {
        return out.put_u8(0);
    };
    out.put_u8(match video.codec {
        VideoCodec::H264 => 1,
        VideoCodec::Hevc => 2,
        VideoCodec::Av1 => 3,
    });
    out.put_u16(video.width);
    out.put_u16(video.height);
    put_config(out, &video.config);
}

fn put_audio(out: &mut BytesMut, audio: Option<&AudioParameters>) {
    let Some(audio) = audio else {
        return out.put_u8(0);
    };
    out.put_u8(match audio.codec {
        AudioCodec::Aac => 1,
        AudioCodec::Opus => 2,
    });
    out.put_u32(audio.sample_rate);
    out.put_u8(audio.channels);
    put_config(out, &audio.config);
}

fn put_config(out: &mut BytesMut, config: &Bytes) {
    out.put_u32(config.len() as u32);
    out.put_slice(config);
}
