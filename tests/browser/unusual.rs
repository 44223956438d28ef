//! Streams of cameras, phones and screens in every player. Each player shows as much of them as of
//! a studio stream.

use crate::contest::{Case, run};
use harness::conformance::Rule;
use harness::tape::{Of, Tape};

/// Twelve seconds: 30 small pictures per second with a keyframe each second, and a tone.
const STUDIO: &str = "-f lavfi -i testsrc2=size=160x90:rate=30 -f lavfi -i sine=frequency=440 -t 12 \
                      -c:v libx264 -preset ultrafast -tune zerolatency -g 30 -c:a aac";
/// Eighteen seconds at another picture rate. `coded` has options for the encoder.
fn camera(rate: u32, coded: &str) -> String {
    format!(
        "-f lavfi -i testsrc2=size=160x90:rate={rate} -f lavfi -i sine=frequency=440 -t 18 \
         -c:v libx264 -preset ultrafast -tune zerolatency {coded} -c:a aac"
    )
}

/// A time after the end of every stream, milliseconds.
const END_MS: i64 = 99_000;
/// The pictures of streams with holes that players must show, in percent. At the live edge a player
/// waits in each hole, and Shaka skips a tenth of a second for each second that it waits.
const HOLES_SHOWN_PERCENT: usize = 70;
/// How long pictures must be missing until the last one is repeated, plus one second for players
/// that buffer no more than that, milliseconds.
const PICTURES_AWAY_MS: u64 = 4_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_ends_or_comes_back_does_not_stop_any_player() {
    let studio = Tape::record(STUDIO).await;
    let sound_ends = studio.clone().without(Of::Audio, 5_000..END_MS);
    let video_ends = studio.clone().without(Of::Video, 5_000..END_MS);
    let sound_returns = studio.clone().without(Of::Audio, 4_000..8_000);
    let cases = vec![
        Case::smooth("sound-ends", sound_ends),
        Case {
            still_ms: PICTURES_AWAY_MS,
            ..Case::smooth("video-ends", video_ends)
        },
        Case::smooth("sound-returns", sound_returns),
    ];
    run("tracks-that-end", &studio, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_begins_late_does_not_stop_any_player() {
    let studio = Tape::record(STUDIO).await;
    let late_sound = || studio.clone().without(Of::Audio, 0..5_000);
    // On a busy machine a player needs seconds to join. It must be there before the pictures come.
    let late_video = studio.clone().without(Of::Video, 0..7_000);
    let cases = vec![
        Case::smooth("late-sound", late_sound().described_at(Of::Audio, 5_000)),
        Case::smooth("late-video", late_video.described_at(Of::Video, 7_000)),
        Case::smooth("silent-start", late_sound()),
        Case::smooth(
            "unannounced",
            late_sound().described_at(Of::Audio, 5_000).without_data(),
        ),
    ];
    run("tracks-that-begin-late", &studio, cases).await;
}

/// A publisher that announces no audio and then sends some changes the number of tracks. Media
/// Source Extensions do not accept that, so our page starts its player again.
#[tokio::test(flavor = "multi_thread")]
async fn our_page_continues_when_denied_audio_comes() {
    let studio = Tape::record(STUDIO).await;
    let silent = Tape::record(&STUDIO.replace("-c:a aac", "-an")).await;
    let sound = studio
        .clone()
        .without(Of::Audio, 0..5_000)
        .described_at(Of::Audio, 5_000)
        .without_data();
    let denied = silent.and(sound, Of::Audio);
    let cases = vec![Case {
        still_ms: 5_000,
        only_our_page: true,
        ..Case::smooth("denied", denied)
    }];
    run("denied", &studio, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn media_that_arrives_late_in_one_burst_is_played_in_time() {
    let studio = Tape::record(STUDIO).await;
    let cases = vec![
        Case {
            still_ms: 1_500,
            ..Case::smooth("burst", studio.clone().hold(5_000..6_500))
        },
        Case {
            still_ms: 3_000,
            ..Case::smooth("stall", studio.clone().hold(5_000..8_000))
        },
    ];
    run("arrival", &studio, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_do_not_notice_a_clock_jump() {
    let studio = Tape::record(STUDIO).await;
    let jump = |by_ms| studio.clone().shift(Of::Both, 5_500, by_ms);
    let cases = vec![
        Case::smooth("jump-3", jump(3_000)),
        Case::smooth("jump-8", jump(8_000)),
        Case::smooth("jump-back", jump(-4_000)),
    ];
    run("jumps", &studio, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn different_clocks_of_audio_and_video_are_aligned() {
    let studio = Tape::record(STUDIO).await;
    let apart = |by_ms| studio.clone().shift(Of::Audio, 0, by_ms);
    let fast = Tape::record(&camera(120, "-g 120")).await;
    let cases = vec![
        Case::smooth("sound-ahead", apart(1_200)),
        Case::smooth("sound-behind", apart(-5_000)),
        Case::smooth("fast", fast),
    ];
    run("clocks", &studio, cases).await;
}

/// Some pictures are longer than parts, so parts without pictures come before them. Players join
/// late, so the recordings are longer than the others.
#[tokio::test(flavor = "multi_thread")]
async fn rare_pictures_with_audio_are_shown_as_they_are_from_a_file() {
    let studio = Tape::record(STUDIO).await;
    // Pictures every 33 ms, but for holes of 0.5, 1 and 2 s.
    let holes = "-vf select=not(between(mod(t\\,6)\\,1\\,1.5)+between(mod(t\\,6)\\,2\\,3)+between(mod(t\\,6)\\,3.5\\,5.5)) \
                 -fps_mode vfr -g 30";
    let silent_holes = camera(30, holes).replace("-c:a aac", "-an");
    let cases = vec![
        Case {
            still_ms: 2_000,
            ..Case::smooth("one-a-second", Tape::record(&camera(1, "-g 2")).await)
        },
        Case {
            still_ms: 3_000,
            shown_percent: HOLES_SHOWN_PERCENT,
            ..Case::smooth("holes", Tape::record(&camera(30, holes)).await)
        },
        // Without audio a part ends only between pictures, so parts differ as much as pictures do.
        Case {
            still_ms: 3_000,
            shown_percent: HOLES_SHOWN_PERCENT,
            cannot_keep: Some(Rule::PartFloor),
            ..Case::smooth("silent-holes", Tape::record(&silent_holes).await)
        },
    ];
    run("rates", &studio, cases).await;
}
