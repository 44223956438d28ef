use super::*;
use proptest::prelude::*;

mod codecs;

/// 64x64 pixels, baseline.
const AVC_CONFIG: &[u8] = &[
    0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x0a, 0xff, 0xe1, 0, 9, 0x67, 0x42, 0xc0, 0x0a, 0xda, 0x11,
    0x3f, 0x96, 0x84, 1, 0, 4, 0x68, 0xce, 0x0f, 0x2c,
];
const AAC_CONFIG: &[u8] = &[0xaf, 0, 0x12, 0x10];
const IDR: &[u8] = &[0, 0, 0, 2, 0x65, 0x88];
const SLICE: &[u8] = &[0, 0, 0, 2, 0x41, 0x9a];
const RECOVERY_AT_ONCE: &[u8] = &[0, 0, 0, 5, 6, 6, 1, 0xc4, 0x80];
const RECOVERY_LATER: &[u8] = &[0, 0, 0, 6, 6, 6, 2, 0x09, 0xc4, 0x80];

fn picture(keyframe: bool, payload: &[&[u8]]) -> Bytes {
    let head = if keyframe { 0x17 } else { 0x27 };
    [&[head, 1, 0, 0, 0], &payload.concat()[..]].concat().into()
}

fn sound(payload: &[u8]) -> Bytes {
    [&[0xaf, 1], payload].concat().into()
}

/// A reader that knows both tracks.
fn reader() -> PublishReader {
    let mut reader = PublishReader::new();
    reader
        .video(0, Bytes::from_static(AVC_CONFIG))
        .expect("a configuration");
    reader
        .audio(0, Bytes::from_static(AAC_CONFIG))
        .expect("a configuration");
    reader
}

fn reasons(reader: &mut PublishReader) -> Vec<&'static str> {
    reader.take_warnings().iter().map(Warning::reason).collect()
}

#[test]
fn a_good_publish_causes_no_warning() {
    let mut reader = reader();
    for number in 0..200 {
        let payload = if number % 30 == 0 { IDR } else { SLICE };
        let video = reader.video(number * 33, picture(number % 30 == 0, &[payload]));
        assert!(matches!(video, Ok(Some(Input::Video { .. }))));
        assert!(matches!(
            reader.audio(number * 23, sound(&[0x21, 0x10])),
            Ok(Some(Input::Audio { .. }))
        ));
    }
    assert_eq!(reasons(&mut reader), Vec::<&str>::new());
}

#[test]
fn unusable_messages_are_dropped_with_one_warning() {
    let bodies = [
        &[0x17][..],
        &[0x27, 1],
        &[0x17, 9, 0, 0, 0],
        &[0x91, b'a'],
        &[0x17, 1, 0, 0, 0, 0x65],
    ];
    for body in bodies {
        let mut reader = reader();
        for _ in 0..3 {
            assert!(
                matches!(reader.video(0, Bytes::copy_from_slice(body)), Ok(None)),
                "{body:02x?}"
            );
        }
        assert_eq!(reasons(&mut reader), ["left_out"], "{body:02x?}");
        assert!(
            matches!(reader.video(40, picture(true, &[IDR])), Ok(Some(_))),
            "and the rest is played"
        );
    }
    let mut reader = reader();
    assert!(matches!(
        reader.audio(0, Bytes::from_static(&[0xaf])),
        Ok(None)
    ));
    assert!(matches!(
        reader.audio(0, Bytes::from_static(&[0xaf, 7, 1])),
        Ok(None)
    ));
    assert_eq!(reasons(&mut reader), ["left_out"]);
}

#[test]
fn a_second_track_is_dropped_with_a_warning() {
    let mut reader = reader();
    let second = [&[0x95, 0x01][..], b"mp4a", &[1, 0x21, 0x10]].concat();
    assert!(matches!(reader.audio(0, second.into()), Ok(None)));
    let [warning] = &reader.take_warnings()[..] else {
        panic!("one warning")
    };
    assert_eq!(warning, &Warning::SecondTrack("audio"));
    assert!(matches!(reader.audio(0, sound(&[0x21, 0x10])), Ok(Some(_))));
}

#[test]
fn keyframes_that_browsers_cannot_start_at_cause_a_warning() {
    let mut open = reader();
    open.video(0, picture(true, &[IDR])).expect("a picture");
    open.video(1_000, picture(true, &[RECOVERY_AT_ONCE, SLICE]))
        .expect("a picture");
    open.video(2_000, picture(true, &[SLICE]))
        .expect("a picture");
    assert_eq!(reasons(&mut open), ["open_gop"]);
    for keyframe in [true, false] {
        let mut refresh = reader();
        refresh.video(0, picture(true, &[IDR])).expect("a picture");
        refresh
            .video(1_000, picture(keyframe, &[RECOVERY_LATER, SLICE]))
            .expect("a picture");
        assert_eq!(reasons(&mut refresh), ["intra_refresh"], "{keyframe}");
    }
    let mut closed = reader();
    closed
        .video(0, picture(true, &[RECOVERY_AT_ONCE, IDR]))
        .expect("a picture");
    assert_eq!(reasons(&mut closed), Vec::<&str>::new());
}

#[test]
fn timestamps_that_stand_still_cause_a_warning() {
    for timestamp in [0, 77] {
        let mut reader = reader();
        for _ in 0..60 {
            reader
                .video(timestamp, picture(true, &[IDR]))
                .expect("a picture");
        }
        assert_eq!(
            reader.take_warnings(),
            [Warning::TimestampsStandStill("video")]
        );
        for _ in 0..60 {
            reader.audio(timestamp, sound(&[0x21])).expect("sound");
        }
        assert!(reader.take_warnings().is_empty(), "each kind once");
    }
}

#[test]
fn frames_without_a_configuration_cause_a_warning() {
    let mut reader = PublishReader::new();
    for number in 0..FRAMES_BEFORE_CONFIG_MAX {
        reader.audio(number * 23, sound(&[0x21])).expect("sound");
    }
    assert_eq!(reader.take_warnings(), [Warning::NoConfig("audio")]);
}

#[test]
fn data_is_passed_on_and_metadata_only_when_it_changes() {
    let mut reader = reader();
    let text = Bytes::from_static(b"\x02\0\x0aonTextData\x05");
    assert!(matches!(reader.data(text.clone()), Some(Input::Data { payload }) if payload == text));
    let mut told = |body: &'static [u8]| {
        let metadata = StreamMetadata {
            body: Bytes::from_static(body),
            video_codec: Some(7),
            ..StreamMetadata::default()
        };
        reader.metadata(&metadata)
    };
    assert!(matches!(told(b"one"), [Some(Input::Expect { .. }), None]));
    assert!(matches!(told(b"one"), [Some(_), None]), "the same again");
    assert!(matches!(told(b"two"), [Some(_), Some(Input::Data { payload })] if payload == "two"));
    assert!(matches!(told(b"one"), [Some(_), Some(Input::Data { .. })]));
}

#[test]
fn metadata_without_codecs_announces_nothing() {
    let sizes_only = StreamMetadata {
        expects_video: true,
        width: Some(640),
        ..StreamMetadata::default()
    };
    let mut reader = PublishReader::new();
    assert!(matches!(reader.metadata(&sizes_only), [None, None]));
    reader
        .audio(0, Bytes::from_static(AAC_CONFIG))
        .expect("a configuration");
    assert_eq!(reasons(&mut reader), [""; 0]);
}

#[test]
fn audio_that_the_metadata_denied_causes_a_warning() {
    let video_only = StreamMetadata {
        expects_video: true,
        video_codec: Some(7),
        ..StreamMetadata::default()
    };
    let mut reader = PublishReader::new();
    let announced = reader.metadata(&video_only);
    assert!(matches!(
        announced,
        [
            Some(Input::Expect {
                video: true,
                audio: false
            }),
            None
        ]
    ));
    reader
        .audio(0, Bytes::from_static(AAC_CONFIG))
        .expect("a configuration");
    assert_eq!(reasons(&mut reader), ["unannounced_audio"]);
}

#[test]
fn excessive_data_is_dropped_with_a_warning() {
    let mut flooded = reader();
    let passed = (0..10_000)
        .filter(|_| flooded.data(Bytes::from_static(b"x")).is_some())
        .count();
    assert!(passed < 50, "{passed}");
    assert_eq!(reasons(&mut flooded), ["data_left_out"]);
    for number in 0..100 {
        flooded
            .video(number * 33, picture(true, &[IDR]))
            .expect("a picture");
    }
    assert!(
        flooded.data(Bytes::from_static(b"x")).is_some(),
        "the share has grown again"
    );
    let mut large = reader();
    assert!(
        large
            .data(Bytes::from(vec![0; data::DATA_BYTES_MAX + 1]))
            .is_none()
    );
    assert!(
        large
            .data(Bytes::from(vec![0; data::DATA_BYTES_MAX]))
            .is_some()
    );
}

#[test]
fn every_warning_says_what_to_do_and_has_a_metric_label() {
    let warnings = [
        Warning::OpenGop,
        Warning::IntraRefresh,
        Warning::LongGop,
        Warning::TimestampsStandStill("video"),
        Warning::NoConfig("video"),
        Warning::SecondTrack("audio"),
        Warning::UnannouncedAudio,
        Warning::SoundLeftOut("x".into()),
        Warning::LeftOut("x".into()),
        Warning::DataLeftOut,
    ];
    let reasons = warnings.each_ref().map(Warning::reason);
    assert_eq!(reasons, Warning::REASONS);
    assert!(
        warnings
            .iter()
            .all(|warning| warning.to_string().len() > 20)
    );
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bodies: Vec<(bool, Vec<u8>)>) {
        let mut reader = reader();
        for (is_video, body) in bodies {
            let body = Bytes::from(body);
            let _ = if is_video { reader.video(0, body) } else { reader.audio(0, body) };
        }
        prop_assert!(reader.take_warnings().len() <= Warning::REASONS.len());
    }
}
