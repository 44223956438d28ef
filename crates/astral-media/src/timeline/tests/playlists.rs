//! What playlists require of any publish: no segment is longer than the target duration, dates
//! advance with the media since their anchor, and fragments are numbered one by one.

use super::random::any_input;
use super::unusual::{both_tracks, parts};
use super::*;
use proptest::prelude::*;
use std::time::Duration;

/// A message, and its distance from the message before it, milliseconds.
type Sent = (Input, u64);

/// A publisher whose tracks are mostly steady. Sometimes its clocks jump, or frames are missing.
fn publisher() -> impl Strategy<Value = Vec<Sent>> {
    let step = prop_oneof![20 => 20u32..60, 3 => 200u32..4_000, 1 => any::<u32>()];
    let message = (
        any::<bool>(),
        step,
        0u8..12,
        prop_oneof![9 => 0u64..60, 1 => 0u64..9_000],
    );
    proptest::collection::vec(message, 1..400).prop_map(|messages| {
        let mut at = [0u32; 2];
        let frame = |(is_video, step, kind, came_after_ms): (bool, u32, u8, u64)| {
            let at = &mut at[usize::from(is_video)];
            *at = at.wrapping_add(step);
            (
                if is_video {
                    video(*at, kind == 0)
                } else {
                    audio(*at)
                },
                came_after_ms,
            )
        };
        messages.into_iter().map(frame).collect()
    })
}

/// Random messages that come at random times.
fn noise() -> impl Strategy<Value = Vec<Sent>> {
    proptest::collection::vec((any_input(), 0u64..3_000), 1..200)
}

fn published(opening: Vec<Input>, messages: Vec<Sent>) -> Vec<Media> {
    let mut timeline = Timeline::new(beginning());
    let mut out = Vec::new();
    let mut now = 1_700_000_000_000;
    let opening = opening.into_iter().map(|input| (input, 0));
    for (input, came_after_ms) in opening.chain(messages) {
        now += came_after_ms;
        timeline.push(input, now.into(), &mut out);
    }
    timeline.finish(&mut out);
    out
}

fn check(out: &[Media]) -> Result<(), TestCaseError> {
    let gops: Vec<_> = starts(out)
        .into_iter()
        .zip(ends(out))
        .zip(parts(out))
        .collect();
    let target = gops
        .first()
        .map_or(4, |((_, end), _)| end.target_duration_seconds.unwrap());
    let mut next_fragment = 1;
    let mut anchor: Option<(&GopStart, u64)> = None;
    for ((start, end), parts) in gops {
        prop_assert_eq!(end.target_duration_seconds, Some(target));
        prop_assert!(
            u64::from(end.duration) <= u64::from(target) * 1_000_000,
            "EXTINF {}",
            end.duration
        );
        let sum: u64 = parts.iter().map(|part| part.duration).sum();
        prop_assert_eq!(sum, u64::from(end.duration));
        prop_assert!(parts.iter().all(|part| part.duration > 0));
        let (from, lasted) = anchor
            .filter(|(from, _)| from.discontinuity == start.discontinuity)
            .unwrap_or((start, 0));
        let due = from.program_date_time + Duration::from_micros(lasted);
        prop_assert!(
            start.program_date_time.abs_diff(due) <= Duration::from_millis(1),
            "{} is due at {due}",
            start.gop
        );
        anchor = Some((from, lasted + u64::from(end.duration)));
        prop_assert_eq!(start.first_fragment, next_fragment);
        next_fragment += parts.len() as u32;
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_publisher_with_both_tracks_is_listed_by_the_rules(messages in publisher()) {
        check(&published(both(), messages))?;
    }

    #[test]
    fn a_publisher_that_announces_more_than_it_sends_is_listed_by_the_rules(messages in publisher(), video in any::<bool>()) {
        let announced = vec![Input::Expect { video: true, audio: true }];
        let described = if video { video_only().remove(1) } else { Input::AudioParameters(audio_parameters()) };
        check(&published([announced, vec![described]].concat(), messages))?;
    }

    #[test]
    fn noise_is_listed_by_the_rules(messages in noise()) {
        check(&published(vec![], messages))?;
    }
}

#[test]
fn dates_follow_the_wall_clock_after_a_jump() {
    let mut messages: Vec<Sent> = both_tracks(0, 4_000, 40, 50)
        .into_iter()
        .map(|input| (input, 0))
        .collect();
    let first_after = messages.len();
    let after = both_tracks(12_000, 4_000, 40, 50);
    messages.extend(after.into_iter().map(|input| (input, 0)));
    messages[first_after].1 = 12_000;
    let out = published(both(), messages);
    let dates: Vec<_> = starts(&out)
        .iter()
        .map(|start| {
            (
                start.discontinuity,
                start.program_date_time.get() % 1_000_000,
            )
        })
        .collect();
    assert_eq!(dates, [(0, 0), (0, 2_000), (1, 12_000), (1, 14_000)]);
}

/// Each part of a steady stream is at least 85 % as long as the longest, except the last part of a
/// GOP (rfc8216bis, 4.4.4.9).
#[test]
fn parts_of_steady_streams_have_the_required_length() {
    for (rate, gop) in [
        (24, 48),
        (25, 50),
        (30, 60),
        (48, 96),
        (50, 100),
        (60, 120),
        (120, 240),
        (15, 30),
        (20, 40),
        (10, 20),
    ] {
        let pictures =
            (0..rate * 12u32).map(|n| (n * 1_000 / rate, video(n * 1_000 / rate, n % gop == 0)));
        let sounds = (0..500u32).map(|n| (n * 1_024_000 / 44_100, audio(n * 1_024_000 / 44_100)));
        let mut inputs: Vec<_> = pictures.chain(sounds).collect();
        inputs.sort_by_key(|(at, _)| *at);
        let out = published(
            both(),
            inputs.into_iter().map(|(_, input)| (input, 10)).collect(),
        );
        let gops = parts(&out);
        let longest = gops
            .iter()
            .flatten()
            .map(|part| part.duration)
            .max()
            .unwrap();
        let told = [200_000, 210_000, 234_000]
            .into_iter()
            .find(|target| longest <= *target);
        let least = told.unwrap_or(longest) * 85 / 100;
        for gop in &gops {
            let (_, all_but_last) = gop.split_last().unwrap();
            let short = all_but_last
                .iter()
                .find(|part| part.duration < least && !part.independent);
            assert!(
                short.is_none(),
                "{rate} a second: {short:?} under {least} us"
            );
        }
    }
}
