use super::*;
use crate::frame::{
    AudioCodec, AudioParameters, Frame, GopEnd, GopStart, Parameters, Track, VideoCodec,
    VideoParameters,
};
use Track::{Audio, Video};
use astral_proto::{FrameId, Incarnation};
use bytes::Bytes;
use mp4_atom::{Decode, Encode, Mfhd, Moof, Moov, Tfdt, Tfhd, Traf, Trun, TrunEntry, TrunSamples};
use proptest::prelude::*;
use std::sync::Arc;

mod ffmpeg;

const GOP: u64 = 7;
/// The number of its first fragment.
const FIRST_FRAGMENT: u32 = 71;
/// How long the GOP lasts.
const GOP_MICROS: u32 = 4_000_000;

fn video_parameters() -> VideoParameters {
    let config =
        b"\x01\x64\x00\x0d\xff\xe1\x00\x1b\x67\x64\x00\x0d\xac\xd9\x41\x50\x87\x88\x88\xc0\x44\x00\x00\
        \x03\x00\x04\x00\x00\x03\x00\xc8\x3c\x50\xa6\x58\x01\x00\x06\x68\xeb\xe3\xcb\x22\xc0\xfd\xf8\xf8\x00";
    VideoParameters {
        codec: VideoCodec::H264,
        config: Bytes::from_static(config),
        width: 322,
        height: 242,
    }
}

fn audio_parameters() -> AudioParameters {
    let config = Bytes::from_static(b"\x11\x90");
    AudioParameters {
        codec: AudioCodec::Aac,
        config,
        sample_rate: 48_000,
        channels: 2,
    }
}

fn parameters(video: bool, audio: bool) -> Arc<Parameters> {
    Arc::new(Parameters {
        incarnation: Incarnation::default(),
        epoch: 1,
        init: 0,
        video: video.then(video_parameters),
        audio: audio.then(audio_parameters),
    })
}

fn start(parameters: Arc<Parameters>) -> GopStart {
    GopStart {
        gop: GOP,
        parameters,
        discontinuity: 0,
        independent: true,
        starts_at: 0,
        wall_clock_ms: 0,
        program_date_time_ms: 0,
        first_fragment: FIRST_FRAGMENT,
        target_duration_seconds: None,
    }
}

/// Frames of (track, decoding time, part), the first of the video being a keyframe. A part starts with the frame that opens it.
fn frames(list: &[(Track, u64, u32)]) -> Vec<Arc<Frame>> {
    let first_video = list.iter().position(|(track, ..)| *track == Video);
    let first_dts = list.first().map_or(0, |first| first.1);
    let mut open = (0, 0);
    list.iter()
        .enumerate()
        .map(|(number, &(track, dts, part))| {
            if part != open.0 {
                open = (part, (dts.saturating_sub(first_dts) as u32).max(open.1 + 1));
            }
            let keyframe = track == Audio || Some(number) == first_video;
            let cts = if track == Video {
                40_000 - 20_000 * (number as i32 % 4)
            } else {
                0
            };
            let payload = format!("{track:?} {number}").into();
            let id = FrameId::new(GOP, number as u32);
            Arc::new(Frame {
                id,
                track,
                keyframe,
                dts,
                cts,
                part,
                part_starts_at: open.1,
                payload,
            })
        })
        .collect()
}

fn end(frames: usize, video_duration: u32, audio_duration: u32) -> GopEnd {
    let frames = frames as u32;
    let duration = GOP_MICROS;
    GopEnd {
        gop: GOP,
        frames,
        duration,
        video_duration,
        audio_duration,
        target_duration_seconds: None,
    }
}

fn moof(part: &Part) -> Moof {
    Moof::decode(&mut &part.pieces[0][..]).unwrap()
}

fn traf(part: &Part, track_id: u32) -> Option<Traf> {
    moof(part)
        .traf
        .into_iter()
        .find(|traf| traf.tfhd.track_id == track_id)
}

fn durations(part: &Part, track_id: u32) -> Vec<u32> {
    let Some(traf) = traf(part, track_id) else {
        return Vec::new();
    };
    traf.trun[0]
        .samples
        .iter()
        .map(|entry| entry.duration.unwrap())
        .collect()
}

/// The parts that each push completes, and those that the end does.
fn assemble(has: Arc<Parameters>, frames: &[Arc<Frame>], end: &GopEnd) -> Vec<Vec<CompletedPart>> {
    let mut assembler = PartAssembler::new(&start(has));
    let mut steps: Vec<Vec<_>> = frames
        .iter()
        .map(|frame| assembler.push(frame.clone()).unwrap().into_iter().collect())
        .collect();
    steps.push(assembler.end(end).unwrap().into_iter().collect());
    steps
}

fn numbers(steps: &[Vec<CompletedPart>]) -> Vec<Vec<u32>> {
    steps
        .iter()
        .map(|parts| parts.iter().map(|part| part.part).collect())
        .collect()
}

#[test]
fn data_between_frames_changes_no_part() {
    let plain = frames(&[
        (Video, 0, 0),
        (Audio, 0, 0),
        (Video, 40_000, 1),
        (Audio, 40_000, 1),
    ]);
    let mut mixed = Vec::new();
    for frame in &plain {
        for track in [frame.track, Track::Data] {
            let id = FrameId::new(GOP, mixed.len() as u32);
            mixed.push(Arc::new(Frame {
                id,
                track,
                ..Frame::clone(frame)
            }));
        }
    }
    let parts = |frames: &[Arc<Frame>]| {
        let mut assembler = PartAssembler::new(&start(parameters(true, true)));
        let mut parts: Vec<_> = frames
            .iter()
            .flat_map(|frame| assembler.push(frame.clone()).expect("good frames"))
            .collect();
        parts.extend(
            assembler
                .end(&end(frames.len(), 40_000, 40_000))
                .expect("a good end"),
        );
        parts
            .iter()
            .map(|part| part.bytes.pieces.concat())
            .collect::<Vec<_>>()
    };
    assert_eq!(parts(&mixed), parts(&plain));
}

#[test]
fn part_is_complete_with_the_frame_that_opens_the_next() {
    let frames = frames(&[
        (Video, 0, 0),
        (Audio, 5_000, 0),
        (Video, 40_000, 0),
        (Audio, 26_000, 0),
        (Video, 80_000, 1),
        (Video, 120_000, 2),
    ]);
    let steps = assemble(parameters(true, true), &frames, &end(6, 40_000, 21_333));
    assert_eq!(
        numbers(&steps),
        [vec![], vec![], vec![], vec![], vec![0], vec![1], vec![2]]
    );
    let parts = steps.concat();
    assert_eq!(durations(&parts[0].bytes, VIDEO_TRACK_ID), [40_000, 40_000]);
    assert_eq!(durations(&parts[0].bytes, AUDIO_TRACK_ID), [21_000]);
    assert_eq!(durations(&parts[1].bytes, VIDEO_TRACK_ID), [40_000]);
    assert_eq!(
        durations(&parts[2].bytes, VIDEO_TRACK_ID),
        [40_000],
        "the end of the GOP says so"
    );
    assert_eq!(
        durations(&parts[2].bytes, AUDIO_TRACK_ID),
        [21_333],
        "the end of the GOP says so"
    );
    let expected = [80_000, 40_000, u64::from(GOP_MICROS) - 120_000];
    assert_eq!(
        parts.iter().map(|part| part.duration).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(
        parts
            .iter()
            .map(|part| part.independent)
            .collect::<Vec<_>>(),
        [true, false, false]
    );
}

#[test]
fn picture_is_in_the_part_in_which_its_duration_becomes_known() {
    let sounds = (0..40u64).map(|n| (Audio, n * 21_000, (n / 10) as u32));
    let list: Vec<_> = [(Video, 0, 0)]
        .into_iter()
        .chain(sounds)
        .chain([(Video, 830_000, 3)])
        .collect();
    let steps = assemble(
        parameters(true, true),
        &frames(&list),
        &end(42, 170_000, 21_333),
    );
    let parts = steps.concat();
    let pictures: Vec<_> = parts
        .iter()
        .map(|part| durations(&part.bytes, VIDEO_TRACK_ID))
        .collect();
    assert_eq!(pictures, [vec![], vec![], vec![], vec![830_000, 170_000]]);
    assert_eq!(
        parts
            .iter()
            .map(|part| part.independent)
            .collect::<Vec<_>>(),
        [false, false, false, true]
    );
    assert_eq!(
        parts.iter().map(|part| part.duration).sum::<u64>(),
        u64::from(GOP_MICROS)
    );
}

#[test]
fn audio_alone_makes_independent_parts() {
    let frames = frames(&[(Audio, 0, 0), (Audio, 21_333, 0), (Audio, 42_666, 1)]);
    let parts = assemble(parameters(false, true), &frames, &end(3, 0, 21_334)).concat();
    let expected = [42_666, u64::from(GOP_MICROS) - 42_666];
    assert_eq!(
        parts.iter().map(|part| part.duration).collect::<Vec<_>>(),
        expected
    );
    assert!(parts.iter().all(|part| part.independent));
}

#[test]
fn frames_that_do_not_follow_are_refused_and_change_nothing() {
    let good = frames(&[(Video, 1_000, 0), (Video, 2_000, 0), (Video, 3_000, 1)]);
    let mut assembler = PartAssembler::new(&start(parameters(true, true)));
    assembler.push(good[0].clone()).unwrap();
    let mut refused = |change: fn(&mut Frame)| {
        let mut frame = (*good[1]).clone();
        change(&mut frame);
        assembler.push(frame.into()).unwrap_err()
    };
    assert_eq!(
        refused(|frame| frame.id.gop = 8),
        AssemblyError::OtherGop {
            actual: 8,
            expected: GOP
        }
    );
    let out_of_order = |actual| AssemblyError::OutOfOrder {
        gop: GOP,
        actual,
        expected: 1,
    };
    assert_eq!(refused(|frame| frame.id.number = 0), out_of_order(0));
    assert_eq!(refused(|frame| frame.id.number = 2), out_of_order(2));
    assert_eq!(
        refused(|frame| frame.dts = 1_000),
        AssemblyError::Time {
            actual: 1_000,
            last: 1_000
        }
    );
    assert_eq!(
        refused(|frame| frame.part = 2),
        AssemblyError::Part { actual: 2, last: 0 }
    );
    assert_eq!(
        refused(|frame| frame.part = 1),
        AssemblyError::Part { actual: 1, last: 0 },
        "it starts nowhere"
    );
    let empty = |frame: &mut Frame| {
        frame.part = 1;
        frame.part_starts_at = 1;
        frame.track = Audio;
    };
    assert_eq!(refused(empty), AssemblyError::Empty(0));
    assert_eq!(assembler.end(&end(2, 0, 0)), Err(out_of_order(2)));
    assert_eq!(assembler.push(good[1].clone()).unwrap(), None);
    assert_eq!(assembler.push(good[2].clone()).unwrap().unwrap().part, 0);
    assert_eq!(assembler.end(&end(3, 1, 0)).unwrap().unwrap().part, 1);
}

#[test]
fn part_has_a_limit_of_frames() {
    let list: Vec<_> = (0..=1 << 16).map(|index| (Audio, index, 0)).collect();
    let mut assembler = PartAssembler::new(&start(parameters(true, true)));
    let refused = frames(&list)
        .into_iter()
        .find_map(|frame| assembler.push(frame).err());
    assert_eq!(refused, Some(AssemblyError::PartSize(0)));
}

#[test]
fn payloads_are_shared() {
    let frames = frames(&[(Audio, 0, 0), (Video, 0, 0)]);
    let parts = assemble(parameters(true, true), &frames, &end(2, 1, 1)).concat();
    let part = &parts[0].bytes;
    assert_eq!(
        part.pieces[1].as_ptr(),
        frames[1].payload.as_ptr(),
        "video first"
    );
    assert_eq!(part.pieces[2].as_ptr(), frames[0].payload.as_ptr());
    assert_eq!(
        part.length,
        part.pieces.iter().map(Bytes::len).sum::<usize>()
    );
}

#[test]
fn initialisation_section_describes_the_tracks() {
    let section = init_section(&parameters(true, true)).unwrap();
    let mut rest = &section[..];
    mp4_atom::Ftyp::decode(&mut rest).unwrap();
    let moov = Moov::decode(&mut rest).unwrap();
    assert!(rest.is_empty());
    let ids: Vec<u32> = moov.trak.iter().map(|trak| trak.tkhd.track_id).collect();
    assert_eq!(ids, [VIDEO_TRACK_ID, AUDIO_TRACK_ID]);
    assert!(
        moov.trak
            .iter()
            .all(|trak| trak.mdia.mdhd.timescale == TIMESCALE)
    );
    let contains = |bytes: &[u8]| section.windows(bytes.len()).any(|window| window == bytes);
    assert!(
        contains(&video_parameters().config),
        "the record as it came"
    );
    assert!(
        contains(b"\x05\x02\x11\x90"),
        "the AudioSpecificConfig as it came"
    );
    let audio_only = init_section(&parameters(false, true)).unwrap();
    assert!(audio_only.len() < section.len());
}

#[test]
fn initialisation_section_survives_a_broken_extension_and_refuses_a_broken_record() {
    let with_config = |config: Bytes| {
        let video = Some(VideoParameters {
            config,
            ..video_parameters()
        });
        init_section(&Parameters {
            video,
            ..(*parameters(true, true)).clone()
        })
    };
    let config = video_parameters().config;
    assert!(with_config(config.slice(..config.len() - 2)).is_ok());
    assert!(matches!(
        with_config(config.slice(..20)),
        Err(InitError::Configuration(_))
    ));
    let opus = AudioParameters {
        codec: AudioCodec::Opus,
        ..audio_parameters()
    };
    let opus = Parameters {
        audio: Some(opus),
        ..(*parameters(false, false)).clone()
    };
    assert_eq!(init_section(&opus), Err(InitError::Codec("Opus")));
}

/// The part of each frame's sample: the one that was open when the next frame of its track came, or the last.
fn part_of(frames: &[Arc<Frame>], frame: &Frame) -> u32 {
    let next = frames
        .iter()
        .skip(frame.id.number as usize + 1)
        .find(|next| next.track == frame.track);
    let before = next.map_or(frames.len(), |next| next.id.number as usize) - 1;
    frames[before].part
}

/// The moof of the part `part` of `frames` in mp4-atom's terms, and what the mdat must hold.
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
            // For a single sample mp4-atom writes its flags as first_sample_flags: other bytes, the same meaning.
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
