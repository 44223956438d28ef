//! The bitrate of a stream.

use super::*;

#[test]
fn the_bitrate_is_that_of_the_last_ten_seconds() {
    let log = holding(0..8);
    assert_eq!(
        log.kbps(),
        (u64::from(FRAMES) * 1000 * 8_000 / GOP_MICROS) as u32
    );
    assert_eq!(Log::new(1).kbps(), 0);
}

/// A frame of so many bytes, 40 ms after the one before it.
fn sized(number: u32, bytes: usize) -> Media {
    let dts = u64::from(number) * 40_000;
    let payload = Bytes::from(vec![0; bytes]);
    Media::Frame(Arc::new(Frame {
        dts,
        payload,
        ..(*testing::frame(0, number)).clone()
    }))
}

#[test]
fn the_bitrate_of_a_first_gop_is_estimated_from_its_first_frames_on() {
    // A keyframe every 2 s of 60,000 bytes, 25 frames a second, and 2 Mbit/s in all.
    let log = Log::new(64 << 20);
    log.append([start(0), sized(0, 60_000)]).unwrap();
    assert_eq!(log.kbps(), 0);
    assert_eq!(
        log.kbps_so_far(),
        240,
        "the keyframe is there, and something will follow"
    );
    for number in 1..=49 {
        log.append([sized(number, 8_980)]).unwrap();
        match log.kbps() {
            0 => assert!(number < 7, "frame {number} tells nothing"),
            kbps => assert!(
                (1_900..=2_100).contains(&kbps),
                "{kbps} kbit/s after frame {number}"
            ),
        }
    }
}

#[test]
fn the_bitrate_of_short_gops_is_known_once_there_are_enough_of_them() {
    let log = Log::new(64 << 20);
    let of = |gop: u64| {
        let dts = gop * 100_000;
        let payload = Bytes::from(vec![0; 25_000]);
        let frame = Frame {
            dts,
            payload,
            ..(*testing::frame(gop, 0)).clone()
        };
        let end = GopEnd {
            frames: 1,
            video_duration: 100_000,
            ..testing::gop_end(gop)
        };
        [start(gop), Media::Frame(Arc::new(frame)), Media::End(end)]
    };
    for gop in 0..3 {
        log.append(of(gop)).unwrap();
    }
    assert_eq!(log.kbps(), 2_000);
}

#[test]
fn a_clock_that_stands_still_makes_no_huge_bitrate() {
    let log = Log::new(64 << 20);
    let large = Frame {
        payload: Bytes::from(vec![0; 8 << 20]),
        ..(*testing::frame(0, 0)).clone()
    };
    let short = GopEnd {
        frames: 1,
        video_duration: 1,
        ..testing::gop_end(0)
    };
    log.append([start(0), Media::Frame(Arc::new(large)), Media::End(short)])
        .unwrap();
    assert_eq!(log.kbps(), (8 << 20) * 8 / 1000);
}

/// A provider that lost the history of a stream numbers on, but its times begin again.
#[test]
fn gops_from_before_times_went_back_do_not_count() {
    let log = Log::new(64 << 20);
    for (gop, dts) in [(0, 100_000_000), (1, 0)] {
        let frame = Frame {
            dts,
            payload: Bytes::from(vec![0; 125_000]),
            ..(*testing::frame(gop, 0)).clone()
        };
        let end = GopEnd {
            frames: 1,
            video_duration: 1_000_000,
            ..testing::gop_end(gop)
        };
        log.append([start(gop), Media::Frame(Arc::new(frame)), Media::End(end)])
            .unwrap();
    }
    assert_eq!(log.kbps(), 1_000);
}
