//! Initialization sections.

use super::*;
use mp4_atom::Moov;

#[test]
fn initialization_section_describes_the_tracks() {
    let section = init_section(&parameters(true, true)).unwrap();
    let mut rest = &section[..];
    mp4_atom::Ftyp::decode(&mut rest).unwrap();
    let moov = Moov::decode(&mut rest).unwrap();
    assert!(rest.is_empty());
    let ids: Vec<u32> = moov.trak.iter().map(|trak| trak.tkhd.track_id).collect();
    assert_eq!(ids, [VIDEO_TRACK_ID, AUDIO_TRACK_ID]);
    assert!(
        moov.trak
            .iter()
            .all(|trak| trak.mdia.mdhd.timescale == TIMESCALE)
    );
    let contains = |bytes: &[u8]| section.windows(bytes.len()).any(|window| window == bytes);
    assert!(
        contains(&video_parameters().config),
        "the record as it came"
    );
    assert!(
        contains(b"\x05\x02\x11\x90"),
        "the AudioSpecificConfig as it came"
    );
    let audio_only = init_section(&parameters(false, true)).unwrap();
    assert!(audio_only.len() < section.len());
}

#[test]
fn initialization_section_survives_a_broken_extension_and_refuses_a_broken_record() {
    let with_config = |config: Bytes| {
        let video = Some(VideoParameters {
            config,
            ..video_parameters()
        });
        init_section(&Parameters {
            video,
            ..(*parameters(true, true)).clone()
        })
    };
    let config = video_parameters().config;
    assert!(with_config(config.slice(..config.len() - 2)).is_ok());
    assert!(matches!(
        with_config(config.slice(..20)),
        Err(InitError::Configuration(_))
    ));
    let opus = AudioParameters {
        codec: AudioCodec::Opus,
        ..audio_parameters()
    };
    let opus = Parameters {
        audio: Some(opus),
        ..(*parameters(false, false)).clone()
    };
    assert_eq!(init_section(&opus), Err(InitError::Codec("Opus")));
}
