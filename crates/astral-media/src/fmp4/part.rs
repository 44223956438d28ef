//! Writes one part: a moof, and an mdat with the payloads of the frames.
//!
//! The boxes are written by hand, for speed: a relay does this for every part of every stream.

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

/// A frame and how long it lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The frame.
    pub frame: Arc<Frame>,
    /// Until the next frame of its track, microseconds.
    pub duration: u32,
}

/// What one track has in a part: a `traf`.
#[derive(Clone, Copy, Debug)]
pub struct TrackFragment<'a> {
    /// [`VIDEO_TRACK_ID`](super::VIDEO_TRACK_ID) or [`AUDIO_TRACK_ID`](super::AUDIO_TRACK_ID).
    pub track_id: u32,
    /// Decoding time of the first sample; without samples, of the next sample of the track.
    pub decode_time: u64,
    /// The samples in decoding order. It may be empty.
    pub samples: &'a [Sample],
}

/// The moof and mdat of one part, in pieces to be sent one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The moof and the head of the mdat, then the payloads, which are shared with the frames.
    pub pieces: Vec<Bytes>,
    /// Total size of the pieces in bytes.
    pub length: usize,
}

/// Writes a part with `tracks` in the given order. All payloads together must be smaller than 1
/// GiB; [`super::PartAssembler`] ensures this.
pub fn part(tracks: &[TrackFragment<'_>], sequence_number: u32) -> Part {
    let moof_bytes = BOX_HEAD_BYTES + MFHD_BYTES + tracks.iter().map(traf_bytes).sum::<usize>();
    let payloads_bytes = tracks.iter().map(payload_bytes).sum::<usize>();
    let mdat_bytes = BOX_HEAD_BYTES + payloads_bytes;
    let mut head = BytesMut::with_capacity(moof_bytes + BOX_HEAD_BYTES);
    put_box(&mut head, moof_bytes, b"moof");
    put_full_box(&mut head, MFHD_BYTES, b"mfhd", 0);
    head.put_u32(sequence_number);
    let mut data_offset = moof_bytes + BOX_HEAD_BYTES;
    for track in tracks {
        put_traf(&mut head, track, data_offset);
        data_offset += payload_bytes(track);
    }
    put_box(&mut head, mdat_bytes, b"mdat");
    let payloads = tracks
        .iter()
        .flat_map(|track| track.samples)
        .map(|sample| sample.frame.payload.clone());
    let pieces = std::iter::once(head.freeze()).chain(payloads).collect();
    Part {
        pieces,
        length: moof_bytes + mdat_bytes,
    }
}

fn payload_bytes(track: &TrackFragment<'_>) -> usize {
    track
        .samples
        .iter()
        .map(|sample| sample.frame.payload.len())
        .sum()
}

fn trun_bytes(samples: &[Sample]) -> usize {
    if samples.is_empty() {
        0
    } else {
        TRUN_HEAD_BYTES + TRUN_SAMPLE_BYTES * samples.len()
    }
}

fn traf_bytes(track: &TrackFragment<'_>) -> usize {
    BOX_HEAD_BYTES + TFHD_BYTES + TFDT_BYTES + trun_bytes(track.samples)
}

fn put_traf(out: &mut BytesMut, track: &TrackFragment<'_>, data_offset: usize) {
    put_box(out, traf_bytes(track), b"traf");
    put_full_box(out, TFHD_BYTES, b"tfhd", DEFAULT_BASE_IS_MOOF);
    out.put_u32(track.track_id);
    put_full_box(out, TFDT_BYTES, b"tfdt", VERSION_1);
    out.put_u64(track.decode_time);
    if !track.samples.is_empty() {
        put_trun(out, track.samples, data_offset);
    }
}

fn put_trun(out: &mut BytesMut, samples: &[Sample], data_offset: usize) {
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
