//! Random streams: the parts are those that mp4-atom would write.

use super::*;
use mp4_atom::{Encode, Mfhd, Tfdt, Tfhd, Trun, TrunEntry, TrunSamples};
use proptest::prelude::*;

/// The part of each frame's sample: the one that was open when the next frame of its track came, or
/// the last.
fn part_of(frames: &[Arc<Frame>], frame: &Frame) -> u32 {
    let next = frames
        .iter()
        .skip(frame.id.number as usize + 1)
        .find(|next| next.track == frame.track);
    let before = next.map_or(frames.len(), |next| next.id.number as usize) - 1;
    frames[before].part
}

/// The moof that `part` of `frames` must have, as a value of mp4-atom, and the expected content of
/// the mdat.
fn oracle(frames: &[Arc<Frame>], part: &CompletedPart) -> (Moof, Vec<u8>) {
    let of_part = frames
        .iter()
        .filter(|frame| part_of(frames, frame) == part.part)
        .cloned();
    let (video, audio): (Vec<_>, Vec<_>) = of_part.partition(|frame| frame.track == Video);
    let payload = |frames: &[Arc<Frame>]| {
        frames
            .iter()
            .flat_map(|frame| frame.payload.to_vec())
            .collect()
    };
    let video_payload: Vec<u8> = payload(&video);
    let audio_payload: Vec<u8> = payload(&audio);
    let video_offset = part.bytes.pieces[0].len();
    let tracks = [
        (VIDEO_TRACK_ID, video, 0),
        (AUDIO_TRACK_ID, audio, video_payload.len()),
    ];
    let traf = tracks
        .iter()
        .filter(|(_, frames, _)| !frames.is_empty())
        .map(|(id, frames, offset)| {
            oracle_traf(
                *id,
                frames,
                &durations(&part.bytes, *id),
                video_offset + offset,
            )
        });
    let mfhd = Mfhd {
        sequence_number: FIRST_FRAGMENT + part.part,
    };
    (
        Moof {
            mfhd,
            traf: traf.collect(),
        },
        [video_payload, audio_payload].concat(),
    )
}

/// The moof as mp4-atom writes it, and the mdat.
fn encoded(moof: &Moof, payload: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    moof.encode(&mut encoded).unwrap();
    encoded.extend((8 + payload.len() as u32).to_be_bytes());
    encoded.extend(b"mdat");
    encoded.extend(payload);
    encoded
}

fn oracle_traf(track_id: u32, frames: &[Arc<Frame>], durations: &[u32], offset: usize) -> Traf {
    let entries = frames
        .iter()
        .zip(durations)
        .map(|(frame, duration)| TrunEntry {
            duration: Some(*duration),
            size: Some(frame.payload.len() as u32),
            flags: Some(if frame.keyframe {
                0x0200_0000
            } else {
                0x0101_0000
            }),
            cts: Some(frame.cts.into()),
        });
    Traf {
        tfhd: Tfhd {
            track_id,
            default_base_is_moof: true,
            ..Tfhd::default()
        },
        tfdt: Some(Tfdt {
            base_media_decode_time: frames[0].dts,
        }),
        trun: vec![Trun {
            data_offset: Some(offset as i32),
            samples: TrunSamples::Explicit(entries.collect()),
        }],
        ..Traf::default()
    }
}

/// How long `frame` must last.
fn duration_of(frames: &[Arc<Frame>], frame: &Frame, end: &GopEnd) -> u32 {
    let after = &frames[frame.id.number as usize + 1..];
    match (
        after.iter().find(|next| next.track == frame.track),
        frame.track,
    ) {
        (Some(next), _) => (next.dts - frame.dts) as u32,
        (None, Video) => end.video_duration,
        (None, _) => end.audio_duration,
    }
}

prop_compose! {
    fn streams()(steps in prop::collection::vec((any::<bool>(), 1u64..50_000, 0u32..12), 1..40)) -> Vec<Arc<Frame>> {
        let mut dts = [1u64 << 33; 2];
        let mut part = 0;
        let mut is_seen = [false; 2];
        let mut has_sample = false;
        let mut list: Vec<(Track, u64, u32)> = Vec::new();
        for (is_audio, step, advance) in steps {
            let track = usize::from(is_audio);
            dts[track] += step;
            has_sample |= std::mem::replace(&mut is_seen[track], true);
            if advance > 7 && has_sample {
                part += 1;
                has_sample = false;
            }
            list.push((if is_audio { Audio } else { Video }, dts[track], part));
        }
        frames(&list)
    }
}

proptest! {
    #[test]
    fn parts_are_those_of_mp4_atom_with_all_frames_in_order(frames in streams()) {
        let end = end(frames.len(), 40_000, 21_333);
        let parts = assemble(parameters(true, true), &frames, &end).concat();
        let mut expected: Vec<u32> = frames.iter().map(|frame| frame.part).collect();
        expected.dedup();
        prop_assert_eq!(parts.iter().map(|part| part.part).collect::<Vec<_>>(), expected);
        for part in &parts {
            let (expected, payload) = oracle(&frames, part);
let written = part.bytes.pieces.concat();
            prop_assert_eq!(&moof(&part.bytes), &expected);
            prop_assert_eq!(part.bytes.pieces[1..].concat(), &payload[..]);
            prop_assert_eq!(part.bytes.length, written.len());
            // For a single sample mp4-atom writes its flags as first_sample_flags: other bytes, the
            // same meaning.
            if expected.traf.iter().all(|traf| traf.trun[0].samples.len() > 1) {
                prop_assert_eq!(written, encoded(&expected, &payload));
            }
        }
    }

    #[test]
    fn samples_last_until_the_next_of_their_track(frames in streams()) {
        let end = end(frames.len(), 40_000, 21_333);
        let parts = assemble(parameters(true, true), &frames, &end).concat();
        for (track, id) in [(Video, VIDEO_TRACK_ID), (Audio, AUDIO_TRACK_ID)] {
            let actual = parts.iter().flat_map(|part| durations(&part.bytes, id));
            for (frame, actual) in frames.iter().filter(|frame| frame.track == track).zip(actual) {
                prop_assert_eq!(actual, duration_of(&frames, frame, &end), "{:?}", frame);
            }
        }
    }

    #[test]
    fn another_relay_makes_the_same_bytes(frames in streams()) {
        let end = end(frames.len(), 40_000, 21_333);
        let copies: Vec<_> = frames.iter().map(|frame| {
            let payload = Bytes::copy_from_slice(&frame.payload);
            Arc::new(Frame { payload, ..(**frame).clone() })
        }).collect();
        let one = assemble(parameters(true, true), &frames, &end);
        prop_assert_eq!(one, assemble(parameters(true, true), &copies, &end));
    }

    #[test]
    fn any_frames_are_survived(list in prop::collection::vec((any::<bool>(), any::<u64>(), any::<u32>(), 0u32..3), 0..20)) {
        let mut assembler = PartAssembler::new(&start(parameters(true, true)));
        let mut number = 0;
        for (video, dts, part, skip) in list {
            let part_starts_at = part;
            let id = FrameId::new(GOP, number + skip / 2);
            let track = if video { Video } else { Audio };
            let frame = Frame { id, track, keyframe: false, dts, cts: 0, part, part_starts_at, payload: Bytes::new() };
            number += u32::from(assembler.push(frame.into()).is_ok());
        }
        prop_assert!(assembler.end(&end(number as usize, 0, 0)).is_ok());
    }
}
