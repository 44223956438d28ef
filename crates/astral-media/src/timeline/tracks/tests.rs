use super::*;
use crate::frame::VideoCodec;

const SECOND: u64 = 1_000_000;

fn video(width: u16) -> VideoParameters {
    VideoParameters {
        codec: VideoCodec::H264,
        config: Bytes::from_static(&[1; 8]),
        width,
        height: 720,
    }
}

fn audio(config: &'static [u8]) -> AudioParameters {
    AudioParameters {
        codec: AudioCodec::Aac,
        config: Bytes::from_static(config),
        sample_rate: 48_000,
        channels: 2,
    }
}

/// Video and audio, both of which come, in a GOP that starts at 0.
fn running() -> Tracks {
    let mut tracks = Tracks::default();
    tracks.set_video(video(1280));
    tracks.set_audio(&audio(&[0x11, 0x90]));
    tracks.expect(Track::Video);
    tracks.expect(Track::Audio);
    tracks.video_arrives();
    tracks.of_next_gop(0);
    tracks.keep_keyframe(&Bytes::from_static(b"keyframe"), 7);
    tracks.seen_at(Track::Video, 0);
    tracks
}

/// Notes that sound has come at `at`.
fn hear(tracks: &mut Tracks, at: u64) {
    assert!(tracks.takes_audio());
    tracks.seen_at(Track::Audio, at);
}

/// Sends one second of pictures from `from` on, 25 per second. Returns the time of the first one at
/// which the sound counts as ended.
fn silent_second(tracks: &mut Tracks, from: u64) -> Option<u64> {
    (0..25).map(|number| from + number * 40_000).find(|at| {
        let has_ended = tracks.audio_has_ended(*at);
        tracks.seen_at(Track::Video, *at);
        has_ended
    })
}

#[test]
fn audio_that_ends_stays_a_track_of_silence() {
    let mut tracks = running();
    let both = tracks.of_next_gop(SECOND);
    hear(&mut tracks, SECOND);
    assert_eq!(silent_second(&mut tracks, SECOND), Some(SECOND + 320_000));
    assert_eq!(tracks.of_next_gop(2 * SECOND), both);
    assert_eq!(tracks.silence(), silent_frame(&[0x11, 0x90]));
}

#[test]
fn audio_that_returns_is_used_at_once() {
    let mut tracks = running();
    silent_second(&mut tracks, SECOND);
    assert!(tracks.takes_audio() && tracks.takes_audio_now());
    assert!(!tracks.wait_for_keyframe());
}

#[test]
fn audio_that_returns_with_new_parameters_waits_for_the_next_gop() {
    let mut tracks = running();
    silent_second(&mut tracks, SECOND);
    tracks.set_audio(&audio(&[0x12, 0x10]));
    assert!(!tracks.takes_audio() && tracks.wait_for_keyframe());
    assert_eq!(
        tracks.silence(),
        silent_frame(&[0x11, 0x90]),
        "the open GOP has its own until then"
    );
    let (_, now) = tracks.of_next_gop(2 * SECOND);
    assert_eq!(now, Some(audio(&[0x12, 0x10])));
    assert!(tracks.takes_audio_now());
}

#[test]
fn silence_is_made_later_once_audio_was_late() {
    let mut tracks = running();
    tracks.audio_was_late();
    hear(&mut tracks, SECOND);
    assert_eq!(silent_second(&mut tracks, SECOND), None);
    assert_eq!(
        silent_second(&mut tracks, 2 * SECOND),
        Some(2 * SECOND + 40_000)
    );
}

#[test]
fn rare_pictures_do_not_end_the_audio_between_them() {
    let mut tracks = running();
    for second in 1..9 {
        assert!(!tracks.audio_has_ended(second * SECOND));
        tracks.seen_at(Track::Video, second * SECOND);
        tracks.takes_audio();
    }
}

#[test]
fn announced_audio_without_parameters_is_silent() {
    let mut tracks = Tracks::default();
    tracks.set_video(video(1280));
    tracks.expect(Track::Video);
    tracks.declare(Track::Audio);
    tracks.video_arrives();
    let (_, announced) = tracks.of_next_gop(0);
    assert_eq!(announced, Some(announced_audio()));
    assert!(
        tracks.audio_has_ended(40_000),
        "there is nothing to wait for"
    );
    assert!(tracks.silence().is_some());
    tracks.set_audio(&audio(&[0x11, 0x90]));
    assert!(!tracks.takes_audio(), "the open GOP describes another");
    assert_eq!(tracks.of_next_gop(SECOND).1, Some(audio(&[0x11, 0x90])));
}

#[test]
fn unannounced_audio_is_a_track_from_the_next_gop() {
    let mut tracks = Tracks::default();
    tracks.set_video(video(1280));
    tracks.expect(Track::Video);
    tracks.video_arrives();
    assert_eq!(tracks.of_next_gop(0), (Some(video(1280)), None));
    assert_eq!(
        (tracks.silence(), tracks.audio_waits_for_gop()),
        (None, false)
    );
    tracks.set_audio(&audio(&[0x11, 0x90]));
    assert!(!tracks.takes_audio() && tracks.wait_for_keyframe());
    assert_eq!(
        tracks.of_next_gop(SECOND),
        (Some(video(1280)), Some(audio(&[0x11, 0x90])))
    );
}

#[test]
fn video_that_ends_stays_a_track_with_its_last_keyframe() {
    let mut tracks = running();
    let both = tracks.of_next_gop(SECOND);
    assert!(!tracks.video_has_ended(VIDEO_ENDED_MICROS - 1));
    assert!(tracks.video_has_ended(VIDEO_ENDED_MICROS));
    assert_eq!(tracks.of_next_gop(VIDEO_ENDED_MICROS), both);
    assert_eq!(
        tracks.stand_in(),
        Some(StandIn {
            payload: Bytes::from_static(b"keyframe"),
            cts: 7
        })
    );
    assert!(
        !tracks.takes_video(false),
        "what follows the keyframe that was shown again is unknown"
    );
    assert!(tracks.takes_video(true) && tracks.wait_for_keyframe());
}

#[test]
fn late_video_is_black_until_it_comes() {
    let mut tracks = Tracks::default();
    tracks.set_audio(&audio(&[0x11, 0x90]));
    tracks.expect(Track::Audio);
    tracks.declare(Track::Video);
    assert!(tracks.video_has_ended(0) && tracks.takes_audio());
    let (black, _) = tracks.of_next_gop(0);
    assert_eq!(
        black.map(|black| (black.width, black.height)),
        Some(PICTURE_SIZE)
    );
    assert!(tracks.takes_audio_now());
    tracks.set_video(video(1280));
    tracks.video_arrives();
    assert_eq!(tracks.of_next_gop(SECOND).0, Some(video(1280)));
}

#[test]
fn audio_alone_does_not_mean_that_pictures_are_missing() {
    let mut tracks = Tracks::default();
    tracks.set_audio(&audio(&[0x11, 0x90]));
    tracks.expect(Track::Audio);
    assert!(tracks.is_audio_only() && tracks.takes_audio());
    assert_eq!(tracks.of_next_gop(0), (None, Some(audio(&[0x11, 0x90]))));
}

#[test]
fn channels_without_known_silence_are_replaced_by_ones_with_it() {
    let mut tracks = running();
    tracks.set_audio(&audio(&[0x11, 0xe8]));
    tracks.takes_audio();
    tracks.of_next_gop(SECOND);
    silent_second(&mut tracks, SECOND);
    assert_eq!(tracks.silence(), None);
    assert_eq!(tracks.of_next_gop(2 * SECOND).1, Some(announced_audio()));
    assert!(tracks.silence().is_some());
}
