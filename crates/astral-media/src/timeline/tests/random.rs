//! Random messages.

use super::*;
use proptest::prelude::*;

/// Any message.
pub(super) fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        1 => any::<u8>().prop_map(|n| Input::VideoParameters(video_parameters(u16::from(n % 3)))),
        1 => Just(Input::AudioParameters(audio_parameters())),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(video, audio)| Input::Expect { video, audio }),
        8 => (any::<u32>(), any::<i32>(), any::<bool>()).prop_map(|(timestamp_ms, cts_ms, keyframe)| {
            Input::Video { timestamp_ms, cts_ms, keyframe, payload: Bytes::from_static(b"x") }
        }),
        8 => any::<u32>().prop_map(audio),
    ]
}

proptest! {
    #[test]
    fn gops_are_complete_and_time_advances_with_any_input(
        inputs in proptest::collection::vec(any_input(), 0..400),
    ) {
        let (mut timeline, mut out) = run(beginning(), inputs);
        timeline.finish(&mut out);
        let mut last = [None::<u64>; 2];
        let mut open: Option<(u64, u32)> = None;
        let mut next_gop = 0;
        for media in &out {
            match media {
                Media::Start(start) => {
                    prop_assert!(open.is_none() && start.gop == next_gop);
                    open = Some((start.gop, 0));
                    next_gop += 1;
                }
                Media::Frame(frame) => {
                    let (gop, number) = open.unwrap();
                    prop_assert_eq!(frame.id, FrameId::new(gop, number));
                    prop_assert!(last[frame.track as usize].is_none_or(|before| frame.dts > before));
                    last[frame.track as usize] = Some(frame.dts);
                    open = Some((gop, number + 1));
                }
                Media::End(end) => {
                    prop_assert_eq!(open.take(), Some((end.gop, end.frames)));
                    prop_assert!(end.frames > 0);
                }
            }
        }
        prop_assert!(open.is_none());
    }
}
