//! Tracks that begin late, end, and come back. Players still receive both tracks at any time,
//! without a gap.

use super::unusual::{both_tracks, lengths, publish, steps, times};
use super::*;
use crate::codec::silence::silent_frame;

/// Longest publish in these tests, milliseconds.
const LENGTH_MS: u32 = 16_000;
/// Most that a track may lag behind the other, microseconds: the time after which video counts as
/// ended, and one step of stand-in pictures.
const LAG_MICROS_MAX: u64 = 3_300_000;

/// 25 pictures per second with a keyframe every 2 s, and sound. The frames of `track` whose
/// timestamps are in `holes` are left out.
fn without(track: Track, holes: &[(u32, u32)]) -> Vec<Input> {
    let is_left_out = |input: &Input| match input {
        Input::Video { timestamp_ms, .. } if track == Track::Video => Some(*timestamp_ms),
        Input::Audio { timestamp_ms, .. } if track == Track::Audio => Some(*timestamp_ms),
        _ => None,
    };
    both_tracks(0, LENGTH_MS, 40, 50)
        .into_iter()
        .filter(|input| {
            is_left_out(input)
                .is_none_or(|at| !holes.iter().any(|(from, to)| (*from..*to).contains(&at)))
        })
        .collect()
}

/// Both tracks, as encoders announce them.
fn announced() -> Vec<Input> {
    vec![Input::Expect {
        video: true,
        audio: true,
    }]
}

fn run_announced(inputs: Vec<Input>) -> Vec<Media> {
    let (mut timeline, mut out) = run(
        beginning(),
        announced().into_iter().chain(both()).chain(inputs),
    );
    timeline.finish(&mut out);
    out
}

/// Checks that every GOP has both tracks, and that neither track has a gap.
fn is_whole(what: &str, out: &[Media]) {
    for start in starts(out) {
        let Parameters { video, audio, .. } = &*start.parameters;
        assert!(
            video.is_some() && audio.is_some(),
            "{what}: GOP {} lacks a track",
            start.gop
        );
    }
    let sounds = times(out, Track::Audio);
    let pictures = times(out, Track::Video);
    assert!(
        steps(&sounds)
            .iter()
            .all(|step| (1_000..=47_000).contains(step)),
        "{what}: {:?}",
        steps(&sounds)
    );
    assert!(
        steps(&pictures).iter().all(|step| *step <= LAG_MICROS_MAX),
        "{what}: {:?}",
        steps(&pictures)
    );
    for times in [&sounds, &pictures] {
        let first = times[0];
        let last = times[times.len() - 1];
        assert!(first < 100_000, "{what}: begins at {first}");
        assert!(
            last + 2_100_000 > u64::from(LENGTH_MS) * 1_000,
            "{what}: ends at {last}"
        );
    }
    assert!(
        lengths(out).iter().all(|length| *length <= 4_000_000),
        "{what}: {:?}",
        lengths(out)
    );
    sound_has_no_overlap(what, out);
}

/// Checks that the last sound of each GOP lasts until the first sound of the next GOP, except over
/// a discontinuity.
fn sound_has_no_overlap(what: &str, out: &[Media]) {
    let mut ends_at = None;
    let mut last = None;
    let mut discontinuity = 0;
    for media in out {
        match media {
            Media::Start(start) => {
                let is_change = std::mem::replace(&mut discontinuity, start.discontinuity)
                    != start.discontinuity;
                ends_at = ends_at.filter(|_| !is_change);
            }
            Media::Frame(frame) if frame.track == Track::Audio => {
                let due = ends_at.take();
                assert!(
                    due.is_none_or(|due: u64| due.abs_diff(frame.dts) <= 1),
                    "{what}: {due:?} {frame:?}"
                );
                last = Some(frame.dts);
            }
            Media::End(end) => ends_at = last.map(|last| last + u64::from(end.audio_duration)),
            Media::Frame(_) => {}
        }
    }
}

fn discontinuities(out: &[Media]) -> u64 {
    starts(out).last().unwrap().discontinuity
}

fn silent(out: &[Media]) -> usize {
    let silence = silent_frame(&audio_parameters().config).unwrap();
    frames(out)
        .iter()
        .filter(|frame| frame.track == Track::Audio && frame.payload == silence)
        .count()
}

#[test]
fn audio_that_ends_becomes_silence_without_a_discontinuity() {
    for from_ms in [3_000, 5_017, 6_000] {
        let out = publish(without(Track::Audio, &[(from_ms, LENGTH_MS)]));
        is_whole("sound that ends", &out);
        assert_eq!(discontinuities(&out), 0);
        let expected = (LENGTH_MS - from_ms) as usize * 44_100 / 1_024_000;
        assert!(
            silent(&out).abs_diff(expected) <= 3,
            "{} silent frames of {expected}",
            silent(&out)
        );
        assert_eq!(
            times(&out, Track::Video).len(),
            400,
            "every picture is there"
        );
    }
}

#[test]
fn audio_that_returns_is_played_from_its_first_frame() {
    let out = publish(without(
        Track::Audio,
        &[(3_000, 7_000), (9_000, 9_500), (12_000, 15_000)],
    ));
    is_whole("sound that comes back", &out);
    assert_eq!(discontinuities(&out), 0);
    let real = frames(&out)
        .iter()
        .filter(|frame| frame.payload == "sound")
        .count();
    let expected = (LENGTH_MS - 7_500) as usize * 44_100 / 1_024_000;
    assert!(real.abs_diff(expected) <= 4, "{real} of {expected}");
}

#[test]
fn audio_that_returns_with_another_clock_is_played() {
    for (hole_ms, back_ms) in [
        (3_000u32, 0i64),
        (4_000, -2_000),
        (8_000, 100_000),
        (2_000, -700),
    ] {
        let from_ms = 3_000;
        let back = |input: Input| match input {
            Input::Audio {
                timestamp_ms,
                payload,
            } if timestamp_ms >= from_ms + hole_ms => {
                let timestamp_ms = (i64::from(timestamp_ms) - i64::from(hole_ms) + back_ms) as u32;
                Input::Audio {
                    timestamp_ms,
                    payload,
                }
            }
            other => other,
        };
        let inputs = without(Track::Audio, &[(from_ms, from_ms + hole_ms)]);
        let out = publish(inputs.into_iter().map(back));
        is_whole("sound by another clock", &out);
        let real = frames(&out)
            .iter()
            .filter(|frame| frame.payload == "sound")
            .count();
        let sent = (LENGTH_MS - hole_ms) as usize * 44_100 / 1_024_000;
        assert!(
            real + 50 > sent,
            "{hole_ms} {back_ms}: {real} of {sent} are heard"
        );
    }
}

#[test]
fn audio_that_only_arrives_late_loses_no_more_than_its_first_moment() {
    // Sound comes in bundles of half a second, after the pictures of the same time.
    let mut inputs = without(Track::Audio, &[]);
    inputs.sort_by_key(|input| match input {
        Input::Video { timestamp_ms, .. } => (*timestamp_ms, 0),
        Input::Audio { timestamp_ms, .. } => (timestamp_ms.div_ceil(500) * 500, 1),
        _ => (0, 0),
    });
    let out = publish(inputs);
    is_whole("bundles of sound", &out);
    assert!(silent(&out) < 45, "{} silent frames", silent(&out));
    let last = |track| *times(&out, track).last().unwrap();
    assert!(last(Track::Video).abs_diff(last(Track::Audio)) < 60_000);
}

#[test]
fn video_that_ends_shows_its_last_keyframe_while_audio_continues() {
    for from_ms in [4_000, 5_000, 5_960] {
        let out = publish(without(Track::Video, &[(from_ms, LENGTH_MS)]));
        is_whole("video that ends", &out);
        assert_eq!(discontinuities(&out), 0);
        let keyframes = frames(&out)
            .iter()
            .filter(|frame| frame.track == Track::Video && frame.keyframe)
            .count();
        assert!(keyframes > 30, "{keyframes} keyframes");
        assert!(starts(&out).iter().all(|start| start.independent));
    }
}

#[test]
fn large_keyframes_are_repeated_less_often() {
    let huge = Bytes::from(vec![1; 200_000]);
    let large = |input| match input {
        Input::Video {
            timestamp_ms,
            cts_ms,
            keyframe: true,
            ..
        } => Input::Video {
            timestamp_ms,
            cts_ms,
            keyframe: true,
            payload: huge.clone(),
        },
        other => other,
    };
    let inputs = without(Track::Video, &[(4_000, LENGTH_MS)]);
    let out = publish(inputs.into_iter().map(large));
    is_whole("large keyframes", &out);
    let bytes: usize = frames(&out)
        .iter()
        .filter(|frame| frame.dts > 8_000_000)
        .map(|frame| frame.payload.len())
        .sum();
    assert!(bytes < 8 * 160_000, "{bytes} bytes in 8 s");
}

#[test]
fn video_that_returns_is_shown_from_its_next_keyframe() {
    let out = publish(without(Track::Video, &[(3_000, 8_500), (11_000, 11_500)]));
    is_whole("video that comes back", &out);
    assert_eq!(discontinuities(&out), 0);
    let after = times(&out, Track::Video)
        .iter()
        .filter(|at| **at >= 10_000_000)
        .count();
    assert!(after >= 130, "{after} pictures in the last 6 s");
}

#[test]
fn audio_that_begins_late_is_preceded_by_silence() {
    let out = run_announced(without(Track::Audio, &[(0, 5_000)]));
    is_whole("late sound", &out);
    assert_eq!(discontinuities(&out), 0);
    assert_eq!(times(&out, Track::Video).len(), 400);
}

#[test]
fn audio_of_a_publisher_without_metadata_may_begin_late() {
    let mut inputs = without(Track::Audio, &[(0, 5_000)]);
    let at = inputs
        .iter()
        .position(|input| matches!(input, Input::Audio { .. }))
        .unwrap();
    inputs.insert(at, Input::AudioParameters(audio_parameters()));
    let mut timeline = Timeline::new(beginning());
    let mut out = Vec::new();
    let described = Input::VideoParameters(video_parameters(1));
    for (number, input) in std::iter::once(described).chain(inputs).enumerate() {
        timeline.push(
            input,
            UnixMillis::new(1_700_000_000_000 + 40 * number as u64),
            &mut out,
        );
    }
    timeline.finish(&mut out);
    is_whole("sound that nobody announced", &out);
}

#[test]
fn late_audio_parameters_are_a_discontinuity_with_the_same_tracks() {
    let described = without(Track::Audio, &[(0, 5_000)]);
    let at = described
        .iter()
        .position(|input| matches!(input, Input::Audio { .. }))
        .unwrap();
    let mono = AudioParameters {
        config: Bytes::from_static(&[0x11, 0x88]),
        sample_rate: 48_000,
        channels: 1,
        ..audio_parameters()
    };
    let mut inputs = described.clone();
    inputs.insert(at, Input::AudioParameters(mono.clone()));
    let opening = announced()
        .into_iter()
        .chain(video_only().into_iter().skip(1))
        .chain(inputs);
    let (mut timeline, mut out) = run(beginning(), opening);
    timeline.finish(&mut out);
    is_whole("sound that is described late", &out);
    assert_eq!(discontinuities(&out), 1);
    assert_eq!(starts(&out).last().unwrap().parameters.audio, Some(mono));
}

#[test]
fn video_that_begins_late_is_preceded_by_black() {
    let opening = vec![
        Input::Expect {
            video: true,
            audio: true,
        },
        Input::AudioParameters(audio_parameters()),
    ];
    let inputs = without(Track::Video, &[(0, 6_000)]);
    let described = inputs
        .iter()
        .position(|input| matches!(input, Input::Video { .. }))
        .unwrap();
    let mut inputs = inputs.clone();
    inputs.insert(described, Input::VideoParameters(video_parameters(1)));
    let (mut timeline, mut out) = run(beginning(), opening.into_iter().chain(inputs));
    timeline.finish(&mut out);
    is_whole("late video", &out);
    assert_eq!(discontinuities(&out), 1);
    let after = times(&out, Track::Video)
        .iter()
        .filter(|at| **at >= 6_000_000)
        .count();
    assert_eq!(after, 250);
}

#[test]
fn a_publisher_that_returns_without_audio_keeps_the_track_of_viewers() {
    let back = EpochStart {
        epoch: 2,
        tracks: TracksBefore {
            video: true,
            audio: true,
        },
        ..beginning()
    };
    let inputs = without(Track::Audio, &[(0, LENGTH_MS)]);
    let (mut timeline, mut out) = run(back, video_only().into_iter().chain(inputs));
    timeline.finish(&mut out);
    is_whole("a publisher without sound", &out);
}

#[test]
fn an_unannounced_track_does_not_exist() {
    let pictures = without(Track::Audio, &[(0, LENGTH_MS)]);
    let (_, out) = run(beginning(), video_only().into_iter().chain(pictures));
    assert!(
        starts(&out)
            .iter()
            .all(|start| start.parameters.audio.is_none())
    );
    let sounds = without(Track::Video, &[(0, LENGTH_MS)]);
    let only = [
        Input::Expect {
            video: false,
            audio: true,
        },
        Input::AudioParameters(audio_parameters()),
    ];
    let (_, out) = run(beginning(), only.into_iter().chain(sounds));
    assert!(
        starts(&out)
            .iter()
            .all(|start| start.parameters.video.is_none())
    );
}
