use super::*;
use proptest::prelude::*;

/// Records that x264 wrote.
const HIGH_1080: &str = "01640028ffe1001b67640028acd940780227e5c044000003000400000300c83c60c65801000668ebe3cb22c0fdf8f800";
const MAIN_720: &str =
    "014d401fffe10019674d401feca02802dd80880000030008000003019078c18cb001000568ebe3cb20";
const BASELINE_360: &str =
    "0142c01effe100196742c01ed900a02ff97011000003000100000300320f162e4801000568cb83cb20";
const CROPPED_322X242: &str = "0164000dffe1001b6764000dacd94150878888c044000003000400000300c83c50a65801000668ebe3cb22c0fdf8f800";
const INTERLACED_422: &str = "017a0028ffe1001b677a0028bcd94078044fcb808800000300080000030190f8b16cb001000668fba3cb22c0fef8f800";
const CROPPED_444: &str = "01f4000dffe1001a67f4000d919b282a10f1f1f808800000030080000019078a14cb01000868ebe3c44c000440fff8f800";

fn record(hex: &str) -> Bytes {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn check(hex: &str, width: u16, height: u16, codec: &str) {
    let config = record(hex);
    let parameters = parse(&config).unwrap();
    assert_eq!(
        (parameters.width, parameters.height),
        (width, height),
        "{hex}"
    );
    assert_eq!(codec_string(&config), codec);
    assert_eq!(parameters.config, config);
}

#[test]
fn picture_size_and_codec_string_come_from_the_record() {
    check(HIGH_1080, 1920, 1080, "avc1.640028");
    check(MAIN_720, 1280, 720, "avc1.4d401f");
    check(BASELINE_360, 640, 360, "avc1.42c01e");
    check(CROPPED_322X242, 322, 242, "avc1.64000d");
    check(INTERLACED_422, 1920, 1080, "avc1.7a0028");
    check(CROPPED_444, 322, 242, "avc1.f4000d");
}

#[test]
fn the_frame_rate_comes_from_the_timing_of_the_sps() {
    for (hex, rate) in [
        (HIGH_1080, 25.0),
        (MAIN_720, 25.0),
        (BASELINE_360, 25.0),
        (INTERLACED_422, 25.0),
    ] {
        assert_eq!(frame_rate(&record(hex)), Some(rate), "{hex}");
    }
    assert_eq!(frame_rate(&[1, 2, 3]), None);
}

#[test]
fn unusable_configuration_records_are_rejected() {
    let changed = |at: usize, byte: u8| {
        let mut config = record(HIGH_1080).to_vec();
        config[at] = byte;
        parse(&config.into()).unwrap_err()
    };
    assert_eq!(changed(0, 0), CodecError::Version(0));
    assert_eq!(changed(4, 0xfe), CodecError::LengthSize(3));
    assert_eq!(
        changed(8, 0x68),
        CodecError::NalUnitType {
            actual: 8,
            expected: 7
        }
    );
    assert_eq!(changed(7, 0xff), CodecError::Truncated(RECORD));
    let no_sets = |bytes: &'static [u8]| parse(&Bytes::from_static(bytes)).unwrap_err();
    assert_eq!(
        no_sets(&[1, 100, 0, 40, 0xff, 0xe0, 0]),
        CodecError::NoParameterSet("PPS")
    );
    assert_eq!(
        no_sets(&[1, 100, 0, 40, 0xff, 0xe0, 1, 0, 1, 0x68]),
        CodecError::NoParameterSet("SPS")
    );
}

#[test]
fn every_truncated_record_is_refused() {
    let config = record(HIGH_1080);
    let sets = without_extension(&config).unwrap().len();
    assert_eq!(sets, config.len() - 4);
    for length in 0..sets {
        assert!(parse(&config.slice(..length)).is_err(), "{length}");
    }
}

/// Writes an SPS bit by bit, with the fields of the standard.
#[derive(Default)]
struct Sps(Vec<bool>);

impl Sps {
    fn put(mut self, width: u32, value: u64) -> Self {
        self.0
            .extend((0..width).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    fn code(self, value: u64) -> Self {
        let width = 64 - (value + 1).leading_zeros();
        self.put(2 * width - 1, value + 1)
    }

    /// With emulation prevention, as a NAL unit.
    fn nal(self) -> Vec<u8> {
        let mut nal = vec![0x67];
        for bits in self.put(1, 1).0.chunks(8) {
            let byte = (0..8).fold(0, |byte, bit| {
                byte << 1 | u8::from(bits.get(bit) == Some(&true))
            });
            if byte <= 3 && nal.ends_with(&[0, 0]) {
                nal.push(3);
            }
            nal.push(byte);
        }
        nal
    }
}

/// An SPS of the high profile with scaling lists, order count type 1, and cropping in chroma units.
fn high_sps(columns: u64, rows: u64, interlaced: bool, crop: [u64; 4]) -> Vec<u8> {
    let mut sps = Sps::default()
        .put(8, 100)
        .put(16, 40)
        .code(0)
        .code(1)
        .code(0)
        .code(0)
        .put(1, 0)
        .put(1, 1);
    sps = sps.put(1, 1);
    for _ in 0..16 {
        sps = sps.code(0);
    }
    // A list that ends at once (next scale 0), five absent ones, then one of 64 that ends at its
    // second entry.
    sps = sps.put(1, 1).code(16).put(5, 0).put(1, 1).code(1).code(18);
    sps = sps
        .code(4)
        .code(1)
        .put(1, 0)
        .code(7)
        .code(8)
        .code(2)
        .code(3)
        .code(4);
    sps = sps.code(4).put(1, 0).code(columns - 1).code(rows - 1);
    sps = if interlaced {
        sps.put(2, 0)
    } else {
        sps.put(1, 1)
    };
    sps = sps.put(1, 1).put(1, 1);
    crop.into_iter().fold(sps, Sps::code).put(1, 0).nal()
}

proptest! {
    #[test]
    fn any_size_is_read_back(
        columns in 2u64..=256, rows in 2u64..=128, interlaced: bool, crop in prop::array::uniform4(0u64..8)
    ) {
        let fields = if interlaced { 2 } else { 1 };
        let expected = (
            (columns * 16 - 2 * (crop[0] + crop[1])) as u16,
            (rows * 16 * fields - 2 * fields * (crop[2] + crop[3])) as u16,
        );
        let sps = high_sps(columns, rows, interlaced, crop);
        if (crop[0] + crop[1]) * 2 < columns * 16 && (crop[2] + crop[3]) * 2 < rows * 16 {
            prop_assert_eq!(picture_size(&sps), Ok(expected));
        } else {
            let refused = matches!(picture_size(&sps), Err(CodecError::PictureSize { .. }));
            prop_assert!(refused);
        }
    }

    #[test]
    fn any_bytes_are_survived(config: Vec<u8>) {
        let _ = codec_string(&config);
        let _ = picture_size(&config);
        let _ = parse(&config.into());
    }

    #[test]
    fn any_damage_is_survived(at in 0usize..48, byte: u8) {
        let mut config = record(HIGH_1080).to_vec();
        config[at] = byte;
        if let Ok(parameters) = parse(&config.into()) {
            prop_assert!(parameters.width > 0 && parameters.height > 0);
        }
    }
}
