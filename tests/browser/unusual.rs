//! What cameras, phones and screens send, in every player: it shows as much of it as of what a studio sends.

use crate::contest::{Case, run};
use harness::tape::{Of, Tape};

/// Twelve seconds of small pictures, 30 a second, a keyframe each second, and a tone.
const STUDIO: &str = "-f lavfi -i testsrc2=size=160x90:rate=30 -f lavfi -i sine=frequency=440 -t 12 \
                      -c:v libx264 -preset ultrafast -tune zerolatency -g 30 -c:a aac";
/// After everything that is published.
const END_MS: i64 = 99_000;
/// How long pictures must be away until the last one is shown in their place, and a second for players that have no more
/// than that in reserve, milliseconds.
const PICTURES_AWAY_MS: u64 = 4_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_ends_or_comes_back_does_not_stop_any_player() {
    let studio = Tape::record(STUDIO).await;
    let sound_ends = studio.clone().without(Of::Audio, 5_000..END_MS);
    let video_ends = studio.clone().without(Of::Video, 5_000..END_MS);
    let sound_returns = studio.clone().without(Of::Audio, 4_000..8_000);
    let cases = vec![
        Case::smooth("sound-ends", sound_ends),
        Case { still_ms: PICTURES_AWAY_MS, ..Case::smooth("video-ends", video_ends) },
        Case::smooth("sound-returns", sound_returns),
    ];
    run("tracks-that-end", &studio, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_begins_late_does_not_stop_any_player() {
    let studio = Tape::record(STUDIO).await;
    let late = |of: Of| studio.clone().without(of, 0..5_000);
    let cases = vec![
        Case::smooth("late-sound", late(Of::Audio).described_at(Of::Audio, 5_000)),
        Case::smooth("late-video", late(Of::Video).described_at(Of::Video, 5_000)),
        Case::smooth("silent-start", late(Of::Audio)),
    ];
    run("tracks-that-begin-late", &studio, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_and_all_at_once_is_shown_in_time() {
    let studio = Tape::record(STUDIO).await;
    let cases = vec![
        Case { still_ms: 1_500, ..Case::smooth("burst", studio.clone().hold(5_000..6_500)) },
        Case { still_ms: 3_000, ..Case::smooth("stall", studio.clone().hold(5_000..8_000)) },
    ];
    run("arrival", &studio, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_is_not_seen() {
    let studio = Tape::record(STUDIO).await;
    let jump = |by_ms| studio.clone().shift(Of::Both, 5_500, by_ms);
    let cases = vec![
        Case::smooth("jump-3", jump(3_000)),
        Case::smooth("jump-8", jump(8_000)),
        Case::smooth("jump-back", jump(-4_000)),
    ];
    run("jumps", &studio, cases).await;
}
