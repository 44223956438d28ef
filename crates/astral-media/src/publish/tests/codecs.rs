//! Other codecs, and payloads of other containers.

use super::*;

#[test]
fn audio_of_another_codec_is_dropped_and_video_is_played() {
    for body in [
        &[0x2f, 1, 2][..],
        &[0x72, 1],
        &[0xb2, 1],
        b"\x90Opus\x01",
        b"\x91fLaC\x01",
    ] {
        let mut reader = PublishReader::new();
        let metadata = StreamMetadata {
            expects_video: true,
            expects_audio: true,
            ..StreamMetadata::default()
        };
        reader.metadata(&metadata);
        reader
            .video(0, Bytes::from_static(AVC_CONFIG))
            .expect("a configuration");
        let first = reader.audio(0, Bytes::copy_from_slice(body));
        assert!(
            matches!(
                first,
                Ok(Some(Input::Expect {
                    video: true,
                    audio: false
                }))
            ),
            "{body:02x?}"
        );
        assert!(matches!(
            reader.video(0, picture(true, &[IDR])),
            Ok(Some(_))
        ));
        for _ in 0..2 * UNUSABLE_AUDIO_MAX {
            assert!(matches!(
                reader.audio(0, Bytes::copy_from_slice(body)),
                Ok(None)
            ));
        }
        let [warning] = &reader.take_warnings()[..] else {
            panic!("one warning")
        };
        assert!(warning.to_string().contains("send AAC"), "{warning}");
    }
}

#[test]
fn a_publish_with_only_audio_of_another_codec_is_refused() {
    let mut reader = PublishReader::new();
    let refused = (0..=UNUSABLE_AUDIO_MAX)
        .find_map(|_| reader.audio(0, Bytes::from_static(&[0x2f, 1])).err());
    assert_eq!(
        refused,
        Some(PublishError::Flv(FlvError::UnsupportedAudio("MP3".into())))
    );
}

#[test]
fn a_broken_audio_configuration_costs_only_the_audio() {
    let mut reader = PublishReader::new();
    let bad = reader.audio(0, Bytes::from_static(&[0xaf, 0, 0xb9, 0x90]));
    assert!(matches!(bad, Ok(Some(Input::Expect { audio: false, .. }))));
    assert_eq!(reasons(&mut reader), ["sound_left_out"]);
    assert!(matches!(
        reader.video(0, Bytes::from_static(AVC_CONFIG)),
        Ok(Some(Input::VideoParameters(_)))
    ));
}

#[test]
fn video_of_another_codec_or_configuration_is_refused() {
    let hevc = reader().video(0, Bytes::from_static(b"\x90hvc1\x01"));
    assert_eq!(hevc.unwrap_err().reason(), "flv");
    let unreadable = reader().video(0, Bytes::from_static(&[0x17, 0, 0, 0, 0, 0xff, 0xff]));
    assert_eq!(unreadable.unwrap_err().reason(), "codec");
}

#[test]
fn payloads_of_another_container_are_refused_with_its_name() {
    let start_codes: [&[u8]; 3] = [
        b"\0\0\0\x01\x67\x42\xc0\x0a\0\0\0\x01\x65\x88\x84",
        b"\0\0\x01\x65\x88\x84",
        b"\0\0\0\x01\x65\x88\x84\0",
    ];
    for payload in start_codes {
        assert_eq!(
            reader().video(0, picture(true, &[payload])).unwrap_err(),
            PublishError::AnnexB
        );
        let config = [&[0x17, 0, 0, 0, 0], payload].concat();
        assert_eq!(
            PublishReader::new().video(0, config.into()).unwrap_err(),
            PublishError::AnnexB
        );
        let before_config = PublishReader::new().video(0, picture(false, &[payload]));
        assert_eq!(before_config.unwrap_err(), PublishError::AnnexB);
    }
    for adts in [
        &[0xff, 0xf1, 0x50, 0x80, 0x02, 0x1f, 0xfc, 0x21][..],
        &[0xff, 0xf9, 0x4c, 0x80],
    ] {
        assert_eq!(
            reader().audio(0, sound(adts)).unwrap_err(),
            PublishError::Adts
        );
        let config = [&[0xaf, 0], adts].concat();
        assert_eq!(
            PublishReader::new().audio(0, config.into()).unwrap_err(),
            PublishError::Adts
        );
    }
}

#[test]
fn a_nal_unit_of_one_byte_is_not_a_start_code() {
    let end_of_sequence = [0, 0, 0, 1, 0x0a];
    assert!(matches!(
        reader().video(0, picture(true, &[IDR, &end_of_sequence])),
        Ok(Some(_))
    ));
    assert!(matches!(
        reader().video(0, picture(false, &[&end_of_sequence])),
        Ok(Some(_))
    ));
}
