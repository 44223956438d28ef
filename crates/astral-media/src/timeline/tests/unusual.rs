//! Publishers whose clocks jump, differ or stand still, and streams with few pictures.

use super::*;
use crate::fmp4::{CompletedPart, PartAssembler};

/// Milliseconds of one AAC frame, as an encoder counts them.
pub(super) fn sound_ms(number: u32) -> u32 {
    number * 1024 * 1000 / 44_100
}

/// Pictures every `step_ms` and sound from `from_ms` on for `length_ms`, in the order of their
/// timestamps. A keyframe every `gop` pictures.
pub(super) fn both_tracks(from_ms: u32, length_ms: u32, step_ms: u32, gop: u32) -> Vec<Input> {
    let pictures = (0..length_ms.div_ceil(step_ms))
        .map(|n| (n * step_ms, video(from_ms + n * step_ms, n % gop == 0)));
    let sounds = (0..)
        .map(sound_ms)
        .take_while(|at| *at < length_ms)
        .map(|at| (at, audio(from_ms + at)));
    let mut inputs: Vec<_> = pictures.chain(sounds).collect();
    inputs.sort_by_key(|(at, _)| *at);
    inputs.into_iter().map(|(_, input)| input).collect()
}

fn shifted(inputs: Vec<Input>, track: Track, by_ms: i32) -> Vec<Input> {
    let shift = |input| match input {
        Input::Audio {
            timestamp_ms,
            payload,
        } if track == Track::Audio => Input::Audio {
            timestamp_ms: timestamp_ms.wrapping_add_signed(by_ms),
            payload,
        },
        Input::Video {
            timestamp_ms,
            cts_ms,
            keyframe,
            payload,
        } if track == Track::Video => Input::Video {
            timestamp_ms: timestamp_ms.wrapping_add_signed(by_ms),
            cts_ms,
            keyframe,
            payload,
        },
        other => other,
    };
    inputs.into_iter().map(shift).collect()
}

/// The media that a publish of `inputs` with both tracks makes, until after its end.
pub(super) fn publish(inputs: impl IntoIterator<Item = Input>) -> Vec<Media> {
    let (mut timeline, mut out) = run(beginning(), both().into_iter().chain(inputs));
    timeline.finish(&mut out);
    out
}

pub(super) fn times(out: &[Media], track: Track) -> Vec<u64> {
    frames(out)
        .iter()
        .filter(|frame| frame.track == track)
        .map(|frame| frame.dts)
        .collect()
}

pub(super) fn steps(times: &[u64]) -> Vec<u64> {
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// The parts of each GOP.
pub(super) fn parts(out: &[Media]) -> Vec<Vec<CompletedPart>> {
    let mut gops: Vec<Vec<CompletedPart>> = Vec::new();
    let mut assembler = None;
    for media in out {
        match media {
            Media::Start(start) => {
                assembler = Some(PartAssembler::new(start));
                gops.push(Vec::new());
            }
            Media::Frame(frame) => {
                let made = assembler.as_mut().unwrap().push(frame.clone()).unwrap();
                gops.last_mut().unwrap().extend(made);
            }
            Media::End(end) => gops
                .last_mut()
                .unwrap()
                .extend(assembler.take().unwrap().end(end).unwrap()),
        }
    }
    gops
}

/// Duration of each segment, microseconds.
pub(super) fn lengths(out: &[Media]) -> Vec<u64> {
    parts(out)
        .iter()
        .map(|parts| parts.iter().map(|part| part.duration).sum())
        .collect()
}

#[test]
fn a_gap_that_all_tracks_share_is_removed_and_the_next_keyframe_is_a_discontinuity() {
    for gap_ms in [3_000, 5_000, 8_000, 20_000, 3_600_000] {
        let mut inputs = both_tracks(0, 3_000, 40, 50);
        // The gap begins within a GOP, and the publisher goes on with pictures that are no
        // keyframes.
        let after = both_tracks(3_000 + gap_ms, 6_000, 40, 50);
        inputs.extend(after.into_iter().map(|input| match input {
            Input::Video {
                timestamp_ms,
                cts_ms,
                payload,
                ..
            } => {
                let keyframe = (timestamp_ms - 3_000 - gap_ms) % 2_000 == 1_000;
                Input::Video {
                    timestamp_ms,
                    cts_ms,
                    keyframe,
                    payload,
                }
            }
            other => other,
        }));
        let out = publish(inputs);
        assert!(
            steps(&times(&out, Track::Video))
                .iter()
                .all(|step| *step == 40_000),
            "{gap_ms}"
        );
        let sound = steps(&times(&out, Track::Audio));
        assert!(
            sound.iter().all(|step| (1_000..=47_000).contains(step)),
            "{gap_ms} {sound:?}"
        );
        let discontinuities: Vec<_> = starts(&out)
            .iter()
            .map(|start| start.discontinuity)
            .collect();
        assert_eq!(discontinuities, [0, 0, 1, 1, 1], "{gap_ms}");
        assert_eq!(lengths(&out)[..4], [2_000_000; 4], "{gap_ms}");
    }
}

/// The gap swallows a keyframe, so the GOP is longer than the target duration and is cut.
#[test]
fn a_clock_jump_is_not_reported_as_distant_keyframes() {
    let after = both_tracks(9_500, 6_000, 40, 50);
    let after = after.into_iter().map(|input| match input {
        Input::Video {
            timestamp_ms,
            cts_ms,
            keyframe,
            payload,
        } => Input::Video {
            timestamp_ms,
            cts_ms,
            keyframe: keyframe && timestamp_ms > 13_000,
            payload,
        },
        other => other,
    });
    let inputs = both_tracks(0, 3_000, 40, 50).into_iter().chain(after);
    let (mut timeline, out) = run(beginning(), both().into_iter().chain(inputs));
    assert!(starts(&out).iter().any(|start| !start.independent));
    assert!(!timeline.take_cut_long_gop());
}

#[test]
fn a_clock_that_goes_back_is_a_discontinuity_too() {
    let inputs = both_tracks(90_000, 4_000, 40, 50)
        .into_iter()
        .chain(both_tracks(0, 4_000, 40, 50));
    let out = publish(inputs);
    assert!(
        steps(&times(&out, Track::Video))
            .iter()
            .all(|step| *step == 40_000)
    );
    let discontinuities: Vec<_> = starts(&out)
        .iter()
        .map(|start| start.discontinuity)
        .collect();
    assert_eq!(discontinuities, [0, 0, 1, 1]);
}

#[test]
fn tracks_with_different_clocks_keep_their_duration() {
    for offset_ms in [
        1_200,
        -1_200,
        -5_000,
        5_000,
        300_000,
        -300_000,
        i32::MAX - 60_000,
    ] {
        for track in [Track::Audio, Track::Video] {
            let out = publish(shifted(
                both_tracks(20_000, 12_000, 40, 50),
                track,
                offset_ms,
            ));
            let pictures = times(&out, Track::Video);
            let sounds = times(&out, Track::Audio);
            assert!(
                steps(&pictures).iter().all(|step| *step == 40_000),
                "{offset_ms}"
            );
            assert!(
                steps(&sounds)
                    .iter()
                    .all(|step| (23_219..=23_221).contains(step)),
                "{offset_ms}"
            );
            let apart = pictures.last().unwrap().abs_diff(*sounds.last().unwrap());
            assert!(
                apart < 100_000,
                "{offset_ms} of {track:?}: {apart} us apart at the end"
            );
            assert_eq!(
                starts(&out).iter().map(|start| start.discontinuity).max(),
                Some(0),
                "{offset_ms}"
            );
            assert_eq!(
                lengths(&out)[..5],
                [2_000_000; 5],
                "{offset_ms} of {track:?}"
            );
        }
    }
}

/// Encoders send audio ahead of the pictures that belong to it, because pictures take longer.
#[test]
fn parts_begin_with_their_pictures_if_audio_is_ahead() {
    for ahead_ms in [0, 10, 30, 49, 80, 200] {
        let mut inputs: Vec<(u32, Input)> = Vec::new();
        inputs.extend((0..300).map(|n| (n * 40 + ahead_ms, video(n * 40, n % 50 == 0))));
        let sounds = (0..500).map(sound_ms);
        inputs.extend(sounds.map(|at| (at, audio(at))));
        inputs.sort_by_key(|(sent_at, _)| *sent_at);
        let out = publish(inputs.into_iter().map(|(_, input)| input));
        let mut begins = None;
        for part in parts(&out).concat() {
            let head = &part.bytes.pieces[0];
            let tfdt = head.windows(4).position(|kind| kind == b"tfdt").unwrap();
            let first = u64::from_be_bytes(*head[tfdt + 8..].first_chunk().unwrap());
            let expected = begins.unwrap_or(first);
            assert!(
                first.abs_diff(expected) < 1_000,
                "{ahead_ms}: {first} {expected}"
            );
            begins = Some(expected + part.duration);
        }
    }
}

#[test]
fn audio_with_a_small_offset_keeps_it() {
    let out = publish(shifted(
        both_tracks(20_000, 4_000, 40, 50),
        Track::Audio,
        500,
    ));
    let pictures = times(&out, Track::Video);
    let sounds = times(&out, Track::Audio);
    let apart = i64::try_from(sounds[0]).unwrap() - i64::try_from(pictures[0]).unwrap();
    assert!((499_000..=524_000).contains(&apart), "{apart}");
}

#[test]
fn rare_pictures_last_until_the_next_and_parts_follow_the_audio() {
    for (step_ms, gop) in [
        (1_000, 2),
        (1_000, 4),
        (700, 3),
        (500, 4),
        (250, 8),
        (143, 14),
        (83, 24),
    ] {
        let out = publish(both_tracks(0, 21_000, step_ms, gop));
        let gop_us = u64::from(step_ms * gop) * 1_000;
        let whole = lengths(&out).len() - 1;
        assert!(
            lengths(&out)[..whole]
                .iter()
                .all(|length| *length == gop_us),
            "{step_ms}: {:?}",
            lengths(&out)
        );
        let longest = parts(&out)
            .concat()
            .iter()
            .map(|part| part.duration)
            .max()
            .unwrap();
        assert!(longest <= 240_000, "{step_ms}: a part of {longest}");
    }
}

#[test]
fn pictures_with_holes_last_until_the_next() {
    let steps_ms = [
        40, 40, 450, 40, 900, 40, 40, 1_500, 33, 2_500, 40, 40, 120, 600,
    ];
    let mut at = 0;
    let mut inputs: Vec<(u32, Input)> = Vec::new();
    for n in 0..84 {
        inputs.push((at, video(at, n % 14 == 0)));
        at += steps_ms[n % 14];
    }
    inputs.extend(
        (0..)
            .map(sound_ms)
            .take_while(|sound| *sound < at)
            .map(|sound| (sound, audio(sound))),
    );
    inputs.sort_by_key(|(at, _)| *at);
    let out = publish(inputs.into_iter().map(|(_, input)| input));
    assert_eq!(times(&out, Track::Video).len(), 84);
    let length: u64 = lengths(&out).iter().sum();
    assert!(
        length.abs_diff(u64::from(at) * 1_000) < 650_000,
        "{length} us for {at} ms"
    );
    let target = ends(&out)[0].target_duration_seconds.unwrap();
    assert!(
        lengths(&out)
            .iter()
            .all(|length| *length <= u64::from(target) * 1_000_000),
        "{:?}",
        lengths(&out)
    );
}

/// Nobody can decode these pictures: their parameters come late, and no keyframe comes.
#[test]
fn audio_continues_in_segments_while_video_never_starts() {
    let sounds = |from: u32, to: u32| (from..to).map(|number| audio(sound_ms(number)));
    let mut inputs = vec![Input::AudioParameters(audio_parameters()), video(0, false)];
    inputs.extend(sounds(0, 200));
    inputs.push(Input::VideoParameters(video_parameters(1)));
    inputs.extend(sounds(200, 1_300));
    let (mut timeline, mut out) = run(beginning(), inputs);
    timeline.finish(&mut out);
    assert_eq!(times(&out, Track::Audio).len(), 1_300, "no sound is lost");
    let longest = parts(&out).iter().map(Vec::len).max();
    assert!(
        longest.is_some_and(|parts| parts < 12),
        "{longest:?} parts in a GOP of 2 s"
    );
    assert!(
        starts(&out)
            .iter()
            .all(|start| start.discontinuity == 0 && start.parameters.video.is_none())
    );
}

#[test]
fn video_that_pauses_and_then_jumps_stays_with_the_audio() {
    let inputs = both_tracks(0, 12_000, 40, 50)
        .into_iter()
        .filter_map(|input| match input {
            Input::Video { timestamp_ms, .. } if (4_000..6_000).contains(&timestamp_ms) => None,
            other => Some(other),
        });
    let jumps = |timestamp_ms| match timestamp_ms {
        6_000.. => timestamp_ms + 60_000,
        _ => timestamp_ms,
    };
    let out = publish(inputs.map(|input| with_picture_time(input, jumps)));
    let pictures = times(&out, Track::Video);
    let sounds = times(&out, Track::Audio);
    let apart = pictures.last().unwrap().abs_diff(*sounds.last().unwrap());
    assert!(apart < 2_500_000, "{apart} us apart at the end");
}

/// `input` with another timestamp, if it is a picture.
fn with_picture_time(input: Input, time: impl Fn(u32) -> u32) -> Input {
    match input {
        Input::Video {
            timestamp_ms,
            cts_ms,
            keyframe,
            payload,
        } => Input::Video {
            timestamp_ms: time(timestamp_ms),
            cts_ms,
            keyframe,
            payload,
        },
        other => other,
    }
}

/// Each picture comes 40 ms after the one before it, but its timestamp says 20 ms.
#[test]
fn a_slow_clock_does_not_fall_behind_without_limit() {
    let inputs = both_tracks(0, 30_000, 40, 50)
        .into_iter()
        .map(|input| with_picture_time(input, |timestamp_ms| timestamp_ms / 2));
    let out = publish(inputs);
    let pictures = times(&out, Track::Video);
    let sounds = times(&out, Track::Audio);
    let apart = pictures.last().unwrap().abs_diff(*sounds.last().unwrap());
    assert!(apart < 5_200_000, "{apart} us apart at the end");
}

#[test]
fn a_piece_after_a_cut_keeps_the_parameters() {
    let mut inputs = both_tracks(0, 14_000, 40, 10_000);
    let mono = AudioParameters {
        config: Bytes::from_static(&[0x11, 0x88]),
        sample_rate: 48_000,
        channels: 1,
        ..audio_parameters()
    };
    let middle = inputs.len() / 3;
    inputs.insert(middle, Input::AudioParameters(mono));
    let out = publish(inputs);
    let pieces: Vec<_> = starts(&out)
        .iter()
        .map(|start| {
            (
                start.independent,
                start.discontinuity,
                start.parameters.init,
            )
        })
        .collect();
    assert_eq!(pieces, [(true, 0, 0), (false, 0, 0)]);
}
