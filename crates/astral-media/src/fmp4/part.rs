//! One part: a moof written by hand, since it is written for every part of every stream, and the payloads as
//! they are.

use super::{AUDIO_TRACK_ID, VIDEO_TRACK_ID};
use crate::frame::{Frame, Track};
use bytes::{BufMut, Bytes, BytesMut};
use std::sync::Arc;

const BOX_HEAD_BYTES: usize = 8;
const MFHD_BYTES: usize = 16;
const TFHD_BYTES: usize = 16;
const TFDT_BYTES: usize = 20;
const TRUN_HEAD_BYTES: usize = 20;
const TRUN_SAMPLE_BYTES: usize = 16;
const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
const VERSION_1: u32 = 1 << 24;
/// Data offset; each sample's duration, size, flags and composition offset.
const TRUN_FLAGS: u32 = 0x01 | 0x100 | 0x200 | 0x400 | 0x800;
/// sample_depends_on = 2: on no other.
const SYNC_SAMPLE: u32 = 0x0200_0000;
/// sample_depends_on = 1, sample_is_non_sync_sample.
const NON_SYNC_SAMPLE: u32 = 0x0101_0000;

/// A frame and how long it lasts, microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The frame.
    pub frame: Arc<Frame>,
    /// Until the next frame of its track, microseconds.
    pub duration: u32,
}

/// moof and mdat of one part, in pieces to be sent one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// moof and the mdat's head, then the payloads of its frames, shared with them.
    pub pieces: Vec<Bytes>,
    /// Bytes of all pieces.
    pub length: usize,
}

/// The part of `samples`: all video, then all audio, each in decoding order. Payloads must be of less than 1 GiB
/// together, as those of [`super::PartAssembler`] are.
pub fn part(video: &[Sample], audio: &[Sample], sequence_number: u32) -> Part {
    let moof_bytes = BOX_HEAD_BYTES + MFHD_BYTES + traf_bytes(video) + traf_bytes(audio);
    let video_bytes = payload_bytes(video);
    let mdat_bytes = BOX_HEAD_BYTES + video_bytes + payload_bytes(audio);
    let mut head = BytesMut::with_capacity(moof_bytes + BOX_HEAD_BYTES);
    put_box(&mut head, moof_bytes, b"moof");
    put_full_box(&mut head, MFHD_BYTES, b"mfhd", 0);
    head.put_u32(sequence_number);
    let video_offset = moof_bytes + BOX_HEAD_BYTES;
    put_traf(&mut head, VIDEO_TRACK_ID, video, video_offset);
    put_traf(&mut head, AUDIO_TRACK_ID, audio, video_offset + video_bytes);
    put_box(&mut head, mdat_bytes, b"mdat");
    let payloads = video
        .iter()
        .chain(audio)
        .map(|sample| sample.frame.payload.clone());
    let pieces = std::iter::once(head.freeze()).chain(payloads).collect();
    Part {
        pieces,
        length: moof_bytes + mdat_bytes,
    }
}

fn payload_bytes(samples: &[Sample]) -> usize {
    samples
        .iter()
        .map(|sample| sample.frame.payload.len())
        .sum()
}

fn trun_bytes(samples: &[Sample]) -> usize {
    TRUN_HEAD_BYTES + TRUN_SAMPLE_BYTES * samples.len()
}

fn traf_bytes(samples: &[Sample]) -> usize {
    if samples.is_empty() {
        0
    } else {
        BOX_HEAD_BYTES + TFHD_BYTES + TFDT_BYTES + trun_bytes(samples)
    }
}

fn put_traf(out: &mut BytesMut, track_id: u32, samples: &[Sample], data_offset: usize) {
    let Some(first) = samples.first() else { return };
    put_box(out, traf_bytes(samples), b"traf");
    put_full_box(out, TFHD_BYTES, b"tfhd", DEFAULT_BASE_IS_MOOF);
    out.put_u32(track_id);
    put_full_box(out, TFDT_BYTES, b"tfdt", VERSION_1);
    out.put_u64(first.frame.dts);
    put_full_box(out, trun_bytes(samples), b"trun", VERSION_1 | TRUN_FLAGS);
    out.put_u32(samples.len() as u32);
    out.put_u32(data_offset as u32);
    for Sample { frame, duration } in samples {
        out.put_u32(*duration);
        out.put_u32(frame.payload.len() as u32);
        out.put_u32(sample_flags(frame));
        out.put_i32(frame.cts);
    }
}

fn sample_flags(frame: &Frame) -> u32 {
    if frame.keyframe || frame.track == Track::Audio {
        SYNC_SAMPLE
    } else {
        NON_SYNC_SAMPLE
    }
}

fn put_box(out: &mut BytesMut, bytes: usize, kind: &[u8; 4]) {
    out.put_u32(bytes as u32);
    out.put_slice(kind);
}

fn put_full_box(out: &mut BytesMut, bytes: usize, kind: &[u8; 4], version_and_flags: u32) {
    put_box(out, bytes, kind);
    out.put_u32(version_and_flags);
}
