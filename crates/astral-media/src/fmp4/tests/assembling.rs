//! Which frames become which parts.

use super::*;

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
        [false, false, false, false],
        "the keyframe begins long before its part"
    );
    assert_eq!(
        parts.iter().map(|part| part.duration).sum::<u64>(),
        u64::from(GOP_MICROS)
    );
}

/// The track id, decoding time and number of samples of each track fragment, in the order of the
/// bytes.
fn track_fragments(part: &CompletedPart) -> Vec<(u32, u64, usize)> {
    let trafs = moof(&part.bytes).traf.into_iter();
    trafs
        .map(|traf| {
            let decode_time = traf.tfdt.unwrap().base_media_decode_time;
            let samples = traf.trun.iter().map(|trun| trun.samples.len()).sum();
            (traf.tfhd.track_id, decode_time, samples)
        })
        .collect()
}

#[test]
fn first_track_of_a_part_begins_where_the_part_does() {
    // Audio begins 7 ms after the first picture. Three parts pass until the next picture comes.
    let audio =
        |from: u64, to: u64, part: u32| (from..to).map(move |n| (Audio, 7_000 + n * 20_000, part));
    let list: Vec<_> = [(Video, 0, 0)]
        .into_iter()
        .chain(audio(0, 10, 0))
        .chain(audio(10, 20, 1))
        .chain(audio(20, 25, 2))
        .chain([(Video, 500_000, 2), (Video, 600_000, 3)])
        .chain(audio(25, 30, 3))
        .collect();
    let frames = frames(&list);
    let steps = assemble(
        parameters(true, true),
        &frames,
        &end(frames.len(), 40_000, 20_000),
    );
    let found: Vec<_> = steps.concat().iter().map(track_fragments).collect();
    assert_eq!(
        found,
        [
            vec![(VIDEO_TRACK_ID, 0, 0), (AUDIO_TRACK_ID, 7_000, 10)],
            vec![(AUDIO_TRACK_ID, 207_000, 10)],
            vec![(AUDIO_TRACK_ID, 407_000, 4), (VIDEO_TRACK_ID, 0, 2)],
            vec![(VIDEO_TRACK_ID, 600_000, 1), (AUDIO_TRACK_ID, 487_000, 6)],
        ]
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
