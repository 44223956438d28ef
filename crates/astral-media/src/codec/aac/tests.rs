use super::*;
use proptest::prelude::*;

fn check(config: &[u8], sample_rate: u32, channels: u8, codec: &str, samples: u32) {
    let parameters = parse(&Bytes::copy_from_slice(config)).unwrap();
    assert_eq!(
        (parameters.sample_rate, parameters.channels),
        (sample_rate, channels),
        "{config:02x?}"
    );
    assert_eq!(codec_string(config), codec);
    assert_eq!(frame_duration_samples(config), samples);
}

#[test]
fn common_configurations_are_understood() {
    check(&[0x12, 0x10], 44_100, 2, "mp4a.40.2", 1024);
    check(
        &[0x11, 0x90, 0x56, 0xe5, 0x00],
        48_000,
        2,
        "mp4a.40.2",
        1024,
    );
    check(&[0x11, 0xb0], 48_000, 6, "mp4a.40.2", 1024);
    check(&[0x12, 0x14], 44_100, 2, "mp4a.40.2", 960);
}

#[test]
fn explicit_sample_rate_is_read() {
    // 00010 1111 (44101 in 24 bits) 0001 0 0 0
    let bits: u64 = (0b00010 << 35) | (0b1111 << 31) | (44_101 << 7) | (0b0001 << 3);
    check(&bits.to_be_bytes()[3..], 44_101, 1, "mp4a.40.2", 1024);
}

#[test]
fn he_aac_has_the_rate_of_its_core() {
    // 00101 0110 0010 0011 00010 000: SBR, core 24 kHz, stereo, heard at 48 kHz, core LC.
    check(&[0x2b, 0x11, 0x88, 0x00], 24_000, 2, "mp4a.40.5", 1024);
}

#[test]
fn program_config_element_gives_the_channels() {
    // LC 48 kHz, configuration 0; a front pair, one side single, one LFE.
    let bits: u128 = [
        (5, 2),
        (4, 3),
        (4, 0),
        (3, 0),
        (10, 0),
        (4, 1),
        (4, 1),
        (4, 0),
        (2, 1),
        (7, 0),
        (3, 0),
        (5, 0b10000),
        (5, 0),
    ]
    .iter()
    .fold(0, |bits, (width, value)| bits << width | value);
    let bytes = (bits << 4).to_be_bytes();
    check(&bytes[8..], 48_000, 4, "mp4a.40.2", 1024);
}

#[test]
fn an_adts_header_differs_from_a_raw_frame_and_a_configuration() {
    for adts in [
        &[0xFF, 0xF1, 0x50, 0x80][..],
        &[0xFF, 0xF9, 0x4C],
        &[0xFF, 0xF0],
    ] {
        assert!(is_adts(adts), "{adts:02x?}");
    }
    for other in [
        &[0x21, 0x10][..],
        &[0xDE, 0x02],
        &[0x12, 0x10],
        &[0xFF],
        &[],
        &[0xFF, 0xFB],
    ] {
        assert!(!is_adts(other), "{other:02x?}");
    }
}

#[test]
fn unsupported_aac_is_named_in_the_error() {
    let refused = |config: &'static [u8]| parse(&Bytes::from_static(config)).unwrap_err();
    assert_eq!(refused(&[]), CodecError::Truncated("AudioSpecificConfig"));
    assert_eq!(refused(&[0xb9, 0x90]), CodecError::ObjectType(23));
    assert_eq!(refused(&[0x16, 0x90]), CodecError::SampleRate(0));
    assert_eq!(refused(&[0x11, 0xc0]), CodecError::Channels(8));
    assert_eq!(
        refused(&[0xb9]).to_string(),
        "AudioSpecificConfig ends early"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_survived(config: Vec<u8>) {
        let _ = codec_string(&config);
        let _ = frame_duration_samples(&config);
        if let Ok(parameters) = parse(&config.into()) {
            prop_assert!(parameters.sample_rate > 0 && parameters.channels > 0);
        }
    }
}
