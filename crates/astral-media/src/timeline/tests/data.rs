//! Data messages.

use super::*;
use crate::timeline::frames::EARLY_DATA_MAX;

fn data(payload: &'static [u8]) -> Input {
    Input::Data {
        payload: Bytes::from_static(payload),
    }
}

#[test]
fn data_frames_are_numbered_and_timed_in_the_order_of_arrival() {
    let mut inputs = both();
    inputs.extend([
        video(0, true),
        audio(0),
        data(b"one"),
        data(b"two"),
        video(33, false),
        data(b"three"),
        video(1_000, true),
    ]);
    let (_, out) = run(beginning(), inputs);
    let frames = frames(&out);
    let numbers: Vec<_> = frames
        .iter()
        .filter(|frame| frame.id.gop == 0)
        .map(|frame| frame.id.number)
        .collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    let told: Vec<_> = frames
        .iter()
        .filter(|frame| frame.track == Track::Data)
        .collect();
    assert!(
        told.is_sorted_by(|one, next| one.dts < next.dts),
        "{told:?}"
    );
    let places: Vec<_> = told
        .iter()
        .map(|frame| (&frame.payload[..], frame.id.number))
        .collect();
    assert_eq!(places, [(&b"one"[..], 2), (b"two", 3), (b"three", 5)]);
    assert_eq!(ends(&out)[0].frames, 6);
}

#[test]
fn early_data_follows_the_first_frame_and_only_the_newest_is_kept() {
    let (mut timeline, mut out) = run(beginning(), both());
    for _ in 0..1_000 {
        timeline.push(data(b"old"), UnixMillis::ZERO, &mut out);
    }
    timeline.push(data(b"new"), UnixMillis::ZERO, &mut out);
    assert!(out.is_empty());
    timeline.push(video(0, true), UnixMillis::ZERO, &mut out);
    let frames = frames(&out);
    assert_eq!(
        (frames[0].track, frames.len()),
        (Track::Video, 1 + EARLY_DATA_MAX)
    );
    assert_eq!(frames[EARLY_DATA_MAX].payload, "new");
}
