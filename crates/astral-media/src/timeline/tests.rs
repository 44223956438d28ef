use super::*;
use crate::frame::{AudioCodec, AudioParameters, Frame, GopStart, VideoCodec, VideoParameters};
use astral_proto::Incarnation;

mod data;
mod missing;
mod playlists;
mod random;
mod unusual;

fn video_parameters(width: u16) -> VideoParameters {
    VideoParameters {
        codec: VideoCodec::H264,
        config: Bytes::from(vec![width as u8; 8]),
        width,
        height: 720,
    }
}

fn audio_parameters() -> AudioParameters {
    AudioParameters {
        codec: AudioCodec::Aac,
        config: Bytes::from_static(&[0x12, 0x10]),
        sample_rate: 44_100,
        channels: 2,
    }
}

fn beginning() -> EpochStart {
    EpochStart {
        incarnation: Incarnation::default(),
        epoch: 1,
        first_gop: 0,
        first_dts: 0,
        discontinuity: 0,
        target_duration_seconds: None,
        tracks: TracksBefore::default(),
        first_fragment: None,
    }
}

fn video(timestamp_ms: u32, keyframe: bool) -> Input {
    Input::Video {
        timestamp_ms,
        cts_ms: 66,
        keyframe,
        payload: Bytes::from_static(b"picture"),
    }
}

fn audio(timestamp_ms: u32) -> Input {
    Input::Audio {
        timestamp_ms,
        payload: Bytes::from_static(b"sound"),
    }
}

/// A timeline that has taken `inputs`, and what came out.
fn run(beginning: EpochStart, inputs: impl IntoIterator<Item = Input>) -> (Timeline, Vec<Media>) {
    let mut timeline = Timeline::new(beginning);
    let mut out = Vec::new();
    inputs
        .into_iter()
        .for_each(|input| timeline.push(input, UnixMillis::new(1_700_000_000_000), &mut out));
    (timeline, out)
}

fn both() -> Vec<Input> {
    vec![
        Input::VideoParameters(video_parameters(1)),
        Input::AudioParameters(audio_parameters()),
    ]
}

fn video_only() -> Vec<Input> {
    vec![
        Input::Expect {
            video: true,
            audio: false,
        },
        Input::VideoParameters(video_parameters(1)),
    ]
}

/// 30 frames a second from `from_ms`, a keyframe every `gop_frames`, `count` frames.
fn pictures(from_ms: u32, gop_frames: u32, count: u32) -> impl Iterator<Item = Input> {
    (0..count).map(move |n| {
        video(
            from_ms.wrapping_add((n * 1000).div_ceil(30)),
            n % gop_frames == 0,
        )
    })
}

fn starts(out: &[Media]) -> Vec<&GopStart> {
    out.iter()
        .filter_map(|media| {
            if let Media::Start(start) = media {
                Some(start)
            } else {
                None
            }
        })
        .collect()
}

fn ends(out: &[Media]) -> Vec<&GopEnd> {
    out.iter()
        .filter_map(|media| {
            if let Media::End(end) = media {
                Some(end)
            } else {
                None
            }
        })
        .collect()
}

fn frames(out: &[Media]) -> Vec<&Frame> {
    out.iter()
        .filter_map(|media| {
            if let Media::Frame(frame) = media {
                Some(&**frame)
            } else {
                None
            }
        })
        .collect()
}

#[test]
fn every_keyframe_starts_a_gop_and_all_tracks_share_the_numbers() {
    let inputs = [
        video(0, true),
        audio(0),
        audio(23),
        video(33, false),
        video(2000, true),
    ];
    let (_, out) = run(beginning(), both().into_iter().chain(inputs));
    let ids: Vec<_> = frames(&out)
        .iter()
        .map(|frame| frame.id.to_string())
        .collect();
    assert_eq!(ids, ["0.0", "0.1", "0.2", "0.3", "1.0"]);
    assert_eq!(ends(&out)[0].frames, 4);
    assert!(starts(&out).iter().all(|start| start.independent));
}

#[test]
fn the_end_of_a_gop_has_the_durations_of_its_last_frames() {
    let inputs = [video(0, true), audio(0), video(40, false), video(240, true)];
    let (_, out) = run(beginning(), both().into_iter().chain(inputs));
    let end = ends(&out)[0];
    assert_eq!((end.video_duration, end.audio_duration), (200_000, 23_219));
}

#[test]
fn audio_times_follow_the_sample_rate_and_not_the_milliseconds() {
    let mut inputs = both();
    inputs.push(video(0, true));
    inputs.extend((0..50u32).map(|n| audio(n * 1024 * 1000 / 44_100 + n % 2)));
    let (_, out) = run(beginning(), inputs);
    let times: Vec<_> = frames(&out)
        .iter()
        .filter(|f| f.track == Track::Audio)
        .map(|f| f.dts)
        .collect();
    let grid: Vec<_> = (0..50u64).map(|n| n * 1024 * 1_000_000 / 44_100).collect();
    assert_eq!(times, grid);
}

#[test]
fn timestamps_continue_after_32_bits_wrap_around() {
    let from = u32::MAX - 500;
    let (_, out) = run(
        beginning(),
        video_only().into_iter().chain(pictures(from, 60, 60)),
    );
    let times: Vec<_> = frames(&out).iter().map(|frame| frame.dts).collect();
    assert_eq!(times.first(), Some(&0));
    assert_eq!(times.last(), Some(&1_967_000));
}

#[test]
fn a_publisher_that_resets_its_clock_leaves_no_gap() {
    let inputs = [
        video(5_000_000, true),
        video(5_000_033, false),
        video(0, false),
        video(33, false),
    ];
    let (_, out) = run(beginning(), video_only().into_iter().chain(inputs));
    let times: Vec<_> = frames(&out).iter().map(|frame| frame.dts).collect();
    assert_eq!(times, [0, 33_000, 66_000, 99_000]);
}

#[test]
fn a_long_gop_is_cut_into_dependent_pieces_and_reported() {
    let (mut timeline, out) = run(
        beginning(),
        video_only().into_iter().chain(pictures(0, 10_000, 900)),
    );
    let pieces: Vec<_> = starts(&out)
        .iter()
        .map(|start| (start.gop, start.independent))
        .collect();
    assert_eq!(pieces, [(0, true), (1, false), (2, false)]);
    assert!(timeline.take_cut_long_gop() && !timeline.take_cut_long_gop());
    assert_eq!(
        timeline.progress().unwrap().target_duration_seconds,
        Some(10)
    );
}

#[test]
fn the_first_gop_fixes_the_target_duration() {
    let inputs = pictures(0, 60, 61).chain(pictures(2034, 1000, 400).skip(1));
    let (timeline, out) = run(beginning(), video_only().into_iter().chain(inputs));
    assert_eq!(ends(&out)[0].target_duration_seconds, Some(4));
    assert_eq!(
        timeline.progress().unwrap().target_duration_seconds,
        Some(4)
    );
    let lengths: Vec<_> = starts(&out)
        .windows(2)
        .map(|pair| pair[1].gop - pair[0].gop)
        .collect();
    assert!(lengths.iter().all(|step| *step == 1) && starts(&out).len() >= 4);
}

#[test]
fn not_every_keyframe_starts_a_gop_if_every_frame_is_one() {
    let (_, out) = run(
        beginning(),
        video_only().into_iter().chain(pictures(0, 1, 60)),
    );
    assert!(starts(&out).len() <= 10, "{}", starts(&out).len());
}

#[test]
fn new_parameters_apply_from_the_next_keyframe_and_are_a_discontinuity() {
    let change = [
        Input::VideoParameters(video_parameters(2)),
        video(500, false),
        video(533, true),
        Input::VideoParameters(video_parameters(2)),
        video(1033, true),
    ];
    let (_, out) = run(
        beginning(),
        video_only()
            .into_iter()
            .chain([video(0, true)])
            .chain(change),
    );
    let seen: Vec<_> = starts(&out)
        .iter()
        .map(|start| (start.parameters.init, start.discontinuity))
        .collect();
    assert_eq!(seen, [(0, 0), (1, 1), (1, 1)]);
    assert_eq!(
        frames(&out).len(),
        3,
        "a picture that nothing can decode is dropped"
    );
}

#[test]
fn parts_last_about_200_ms_and_are_numbered_within_each_gop() {
    let (_, out) = run(
        beginning(),
        video_only().into_iter().chain(pictures(0, 60, 61)),
    );
    let parts: Vec<_> = frames(&out).iter().map(|frame| frame.part).collect();
    let expected: Vec<_> = (0..60).map(|n| n / 6).chain([0]).collect();
    assert_eq!(parts, expected);
}

#[test]
fn audio_alone_is_cut_every_two_seconds() {
    let inputs = (0..200u32).map(|n| audio(n * 1024 * 1000 / 44_100));
    let announced = [
        Input::Expect {
            video: false,
            audio: true,
        },
        Input::AudioParameters(audio_parameters()),
    ];
    let (_, out) = run(beginning(), announced.into_iter().chain(inputs));
    assert_eq!(starts(&out).len(), 3);
    assert!(
        starts(&out)
            .iter()
            .all(|start| start.independent && start.parameters.video.is_none())
    );
}

#[test]
fn audio_with_a_frozen_clock_does_not_make_an_endless_gop() {
    let only = [
        Input::Expect {
            video: false,
            audio: true,
        },
        Input::AudioParameters(audio_parameters()),
    ];
    let (_, out) = run(
        beginning(),
        only.into_iter().chain((0..40_000).map(|_| audio(0))),
    );
    let ends: Vec<_> = ends(&out).iter().map(|end| end.frames).collect();
    // Frames are at least a millisecond apart, so a GOP reaches its limit in time before that in
    // frames.
    assert!(ends.iter().all(|frames| *frames <= 2_000), "{ends:?}");
    assert!(starts(&out).iter().all(|start| start.independent));
}

#[test]
fn video_waits_a_moment_for_announced_audio() {
    let inputs = vec![
        Input::Expect {
            video: true,
            audio: true,
        },
        Input::VideoParameters(video_parameters(1)),
        video(0, true),
        Input::AudioParameters(audio_parameters()),
        audio(10),
    ];
    let (_, out) = run(beginning(), inputs);
    assert_eq!(starts(&out).len(), 1);
    assert!(starts(&out)[0].parameters.audio.is_some());
    assert_eq!(frames(&out).len(), 2);
}

#[test]
fn the_next_epoch_continues_where_the_grant_says() {
    let resumed = EpochStart {
        incarnation: Incarnation::default(),
        epoch: 2,
        first_gop: 17,
        first_dts: 90_000_000,
        discontinuity: 1,
        target_duration_seconds: Some(4),
        tracks: TracksBefore::default(),
        first_fragment: None,
    };
    let (timeline, out) = run(
        resumed,
        video_only().into_iter().chain(pictures(7_000, 60, 61)),
    );
    assert_eq!(starts(&out)[0].gop, 17);
    assert_eq!(frames(&out)[0].dts, 90_000_000);
    assert_eq!(starts(&out)[0].discontinuity, 1);
    assert_eq!(timeline.progress().unwrap().newest, FrameId::new(18, 0));
}

#[test]
fn finishing_ends_the_open_gop_once() {
    let (mut timeline, mut out) = run(
        beginning(),
        video_only().into_iter().chain(pictures(0, 60, 10)),
    );
    timeline.finish(&mut out);
    timeline.finish(&mut out);
    assert_eq!(ends(&out).len(), 1);
    assert_eq!(ends(&out)[0].frames, 10);
}
