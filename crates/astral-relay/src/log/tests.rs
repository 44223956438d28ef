use super::gop::Gop;
use super::*;
use crate::testing::{self, epoch};
use astral_media::frame::{Frame, Parameters};
use astral_media::frame::{GopEnd, GopStart, Media};
use astral_proto::FrameId;
use astral_proto::{EpochId, Incarnation};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

const FRAMES: u32 = 5;
const GOP_MICROS: u64 = 2_000_000;

fn start(gop: u64) -> Media {
    Media::Start(testing::gop_start(gop))
}

fn frame(gop: u64, number: u32) -> Media {
    Media::Frame(testing::frame(gop, number))
}

fn end(gop: u64) -> Media {
    Media::End(testing::gop_end(gop))
}

fn gop(number: u64) -> impl Iterator<Item = Media> {
    [start(number)]
        .into_iter()
        .chain((0..FRAMES).map(move |n| frame(number, n)))
        .chain([end(number)])
}

fn holding(gops: std::ops::Range<u64>) -> Log {
    let log = Log::new(64 << 20);
    log.append(gops.flat_map(gop)).unwrap();
    log
}

/// Everything a reader from `first` gets, as text: `S` starts a GOP, `E` ends it.
fn read_all(log: &Log, cursor: &mut Cursor) -> String {
    let mut items = Vec::new();
    loop {
        let before = items.len();
        log.read(cursor, &mut items);
        if items.len() == before {
            break;
        }
    }
    let names = items.iter().map(|item| match item {
        Item::Start(start) => format!("S{}", start.gop),
        Item::Frame(wired) => wired.frame.id.to_string(),
        Item::End(end) => format!("E{}", end.gop),
    });
    names.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_reader_gets_every_frame_once_and_then_what_is_new() {
    let log = holding(0..1);
    let mut cursor = Cursor::at(FrameId::new(0, 0));
    assert_eq!(read_all(&log, &mut cursor), "S0 0.0 0.1 0.2 0.3 0.4 E0");
    assert_eq!(read_all(&log, &mut cursor), "");
    log.append([start(1), frame(1, 0)]).unwrap();
    assert_eq!(read_all(&log, &mut cursor), "S1 1.0");
    log.append([frame(1, 1)]).unwrap();
    assert_eq!(read_all(&log, &mut cursor), "1.1");
}

#[test]
fn a_reader_may_start_in_the_middle_and_past_the_end_means_the_next_gop() {
    let log = holding(0..2);
    assert_eq!(
        read_all(&log, &mut Cursor::at(FrameId::new(1, 3))),
        "S1 1.3 1.4 E1"
    );
    assert_eq!(
        read_all(&log, &mut Cursor::at(FrameId::new(0, 5))),
        "S0 E0 S1 1.0 1.1 1.2 1.3 1.4 E1"
    );
    assert_eq!(read_all(&log, &mut Cursor::at(FrameId::new(7, 0))), "");
}

#[test]
fn a_provider_that_repeats_itself_changes_nothing() {
    let log = holding(0..2);
    log.append(gop(1)).unwrap();
    log.append([start(1), frame(1, 4)]).unwrap();
    assert_eq!(log.next_expected(), Some(FrameId::new(2, 0)));
    assert_eq!(
        read_all(&log, &mut Cursor::at(FrameId::new(1, 0))),
        "S1 1.0 1.1 1.2 1.3 1.4 E1"
    );
}

#[test]
fn a_frame_that_leaves_others_out_is_refused() {
    let log = holding(0..1);
    assert_eq!(
        log.append([frame(1, 0)]),
        Err(LogError::NoGop(FrameId::new(1, 0)))
    );
    log.append([start(1), frame(1, 0)]).unwrap();
    let got = FrameId::new(1, 2);
    let expected = FrameId::new(1, 1);
    assert_eq!(
        log.append([frame(1, 2)]),
        Err(LogError::Missing { got, expected })
    );
    assert_eq!(log.next_expected(), Some(expected));
}

#[test]
fn what_is_kept_is_bounded_by_time_and_by_bytes_and_two_gops_are_always_there() {
    let by_time = holding(0..100);
    let kept = 100 - by_time.oldest_gop().unwrap();
    assert_eq!(
        kept, 14,
        "twelve target durations of 2 s, and two GOPs of 2 s"
    );
    let by_bytes = Log::new(1);
    by_bytes.append((0..20).flat_map(gop)).unwrap();
    assert_eq!(by_bytes.oldest_gop(), Some(18));
}

#[test]
fn a_reader_left_behind_goes_on_at_the_oldest_gop_held() {
    let log = holding(0..20);
    let oldest = log.oldest_gop().unwrap();
    let read = read_all(&log, &mut Cursor::at(FrameId::new(0, 3)));
    assert!(read.starts_with(&format!("S{oldest} {oldest}.0")), "{read}");
    assert!(!log.can_start_at(FrameId::new(0, 3)));
    assert!(log.can_start_at(FrameId::new(oldest, 0)) && log.can_start_at(FrameId::new(20, 0)));
}

#[test]
fn segments_and_parts_are_served_once_whole_and_the_next_is_waited_for() {
    let log = holding(0..2);
    let Lookup::Here(segment) = log.segment(epoch(), 0) else {
        panic!("a whole GOP is a segment")
    };
    let Lookup::Here(part) = log.part(epoch(), 0, 0) else {
        panic!("a whole part is there")
    };
    assert!(segment.len() > part.len() && segment[..part.len()] == part[..]);
    assert_eq!(log.segment(epoch(), 2), Lookup::Ahead);
    assert_eq!(log.part(epoch(), 2, 0), Lookup::Ahead);
    assert_eq!(log.segment(epoch(), 9), Lookup::Missing);
    assert_eq!(
        log.segment(
            EpochId {
                epoch: 2,
                ..epoch()
            },
            0
        ),
        Lookup::Missing,
        "another epoch"
    );
    let before = EpochId {
        epoch: 0,
        ..epoch()
    };
    let elsewhere = EpochId {
        incarnation: Incarnation::random(),
        ..epoch()
    };
    for id in [before, elsewhere] {
        assert_eq!(
            log.segment(id, 2),
            Lookup::Missing,
            "what comes next is not of {id}"
        );
    }
    assert_eq!(log.part(epoch(), 0, 99), Lookup::Missing);
    log.end();
    assert_eq!(log.segment(epoch(), 2), Lookup::Missing);
}

#[test]
fn a_gop_that_its_origin_leaves_open_can_be_ended_as_it_stands_and_takes_no_more() {
    let log = holding(0..1);
    let end = GopEnd {
        frames: 2,
        duration: 800_000,
        ..testing::gop_end(1)
    };
    log.append_published([start(1), frame(1, 0), frame(1, 1)], Some(end))
        .unwrap();
    log.end_open_gop();
    log.end_open_gop();
    assert_eq!(
        read_all(&log, &mut Cursor::at(FrameId::new(1, 0))),
        "S1 1.0 1.1 E1"
    );
    assert!(matches!(log.segment(epoch(), 1), Lookup::Here(_)));
    assert_eq!(
        log.end_dts(),
        Some(GOP_MICROS + 2 * 400_000),
        "the last frame lasts as the one before it"
    );
    assert!(log.append([frame(1, 2)]).is_err());
    log.append([start(2), frame(2, 0)]).unwrap();
}

#[test]
fn a_gop_joined_in_the_middle_is_passed_on_but_never_a_segment() {
    let log = Log::new(64 << 20);
    log.append([start(3), frame(3, 2), frame(3, 3), frame(3, 4), end(3)])
        .unwrap();
    log.append(gop(4)).unwrap();
    assert_eq!(log.segment(epoch(), 3), Lookup::Missing);
    assert_eq!(log.playlist().unwrap().media_sequence, 4);
    assert_eq!(log.newest_entry(), Some(FrameId::new(4, 0)));
    assert_eq!(
        read_all(&log, &mut Cursor::at(FrameId::new(3, 2)))
            .split_whitespace()
            .next(),
        Some("S3")
    );
}

#[test]
fn the_playlist_names_gops_that_are_not_held_as_gaps() {
    let log = holding(0..2);
    log.append([start(2), frame(2, 0)]).unwrap();
    log.append(gop(4)).unwrap();
    let playlist = log.playlist().unwrap();
    let listed: Vec<_> = playlist
        .segments
        .iter()
        .map(|segment| (segment.gop, segment.gap))
        .collect();
    assert_eq!(
        listed,
        [(0, false), (1, false), (2, true), (3, true), (4, false)]
    );
    let dated = playlist.segments.windows(2).all(|pair| {
        let lasts = Duration::from_micros(pair[0].duration_us);
        pair[1].program_date_time == pair[0].program_date_time + lasts
    });
    assert!(
        dated,
        "dates and lengths of gaps are those of what is missing: {playlist:?}"
    );
}

#[test]
fn a_newest_gop_that_lacks_a_piece_is_not_listed_before_its_length_is_known() {
    let log = holding(0..2);
    log.append([start(2), frame(2, 1)]).unwrap();
    assert_eq!(log.playlist().unwrap().segments.len(), 2);
    log.append(gop(3)).unwrap();
    let gap = &log.playlist().unwrap().segments[2];
    assert_eq!((gap.gap, gap.duration_us), (true, GOP_MICROS));
}

#[test]
fn a_playlist_ends_with_its_stream_and_a_new_gop_takes_the_end_back() {
    let log = holding(0..3);
    log.end();
    assert!(log.playlist().unwrap().ended && log.has_ended());
    log.append(gop(3)).unwrap();
    assert!(!log.playlist().unwrap().ended);
}

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

#[tokio::test]
async fn readers_of_pictures_are_woken_once_per_append() {
    let log = holding(0..1);
    let mut pictures = log.watch_pictures();
    log.append([start(1), frame(1, 0), frame(1, 1)]).unwrap();
    assert!(pictures.has_changed().unwrap());
    pictures.borrow_and_update();
    log.append([start(1)]).unwrap();
    assert!(!pictures.has_changed().unwrap(), "nothing new wakes nobody");
}

/// A publisher whose clock stands still: each frame a microsecond after the last, a byte long.
fn mote(gop: u64, number: u32) -> Media {
    let dts = gop * 100 + u64::from(number);
    let payload = Bytes::from_static(b"x");
    Media::Frame(Arc::new(Frame {
        dts,
        payload,
        ..(*testing::frame(gop, number)).clone()
    }))
}

#[test]
fn tiny_gops_and_tiny_frames_count_what_they_take() {
    let log = Log::new(1 << 20);
    for number in 0..10_000 {
        log.append([start(number), mote(number, 0), end(number)])
            .unwrap();
    }
    assert!(log.oldest_gop() > Some(9_000), "{:?}", log.oldest_gop());
    for number in 10_000..10_010 {
        log.append(
            [start(number)]
                .into_iter()
                .chain((0..2_000).map(|at| mote(number, at))),
        )
        .unwrap();
        log.append([end(number)]).unwrap();
    }
    assert!(log.oldest_gop() >= Some(10_008), "{:?}", log.oldest_gop());
}

#[test]
fn a_clock_that_stands_still_tells_no_huge_bitrate() {
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

#[tokio::test(start_paused = true)]
async fn economical_readers_are_woken_about_ten_times_a_second_and_always_at_the_end() {
    let log = Log::new(64 << 20);
    log.append([start(1)]).unwrap();
    let mut batches = log.watch_batches();
    let mut woken = Vec::new();
    for number in 0..30 {
        log.append([frame(1, number)]).unwrap();
        if batches.has_changed().unwrap() {
            batches.mark_unchanged();
            woken.push(number);
        }
        tokio::time::advance(Duration::from_micros(33_333)).await;
    }
    assert_eq!(woken, (0..30).step_by(3).collect::<Vec<_>>());
    log.end();
    assert!(batches.has_changed().unwrap());
}

#[test]
fn how_far_a_reader_is_behind_is_told_in_time() {
    let log = holding(0..3);
    assert_eq!(
        log.micros_after(&Cursor::at(FrameId::new(0, 0))),
        3 * GOP_MICROS
    );
    assert_eq!(
        log.micros_after(&Cursor::at(FrameId::new(2, 3))),
        2 * 400_000
    );
    assert_eq!(log.micros_after(&Cursor::at(FrameId::new(3, 0))), 0);
}

#[test]
fn readers_at_the_same_place_of_the_open_gop_share_one_run_of_tags() {
    let log = holding(0..1);
    log.append([start(1), frame(1, 0), frame(1, 1), frame(1, 2)])
        .unwrap();
    let mut first = Cursor::at(FrameId::new(1, 0));
    assert_eq!(
        log.read_tags(&mut first),
        None,
        "it has not been told of the GOP"
    );
    log.read(&mut first, &mut Vec::new());
    assert_eq!(log.read_tags(&mut first), None, "it has had all");

    log.append([frame(1, 3)]).unwrap();
    let mut second = first;
    let only = log.read_tags(&mut first).unwrap();
    assert_eq!(only, flv_of(1, 3..4));
    log.append([frame(1, 4)]).unwrap();
    let mut third = second;
    let run = log.read_tags(&mut second).unwrap();
    let same = log.read_tags(&mut third).unwrap();
    assert_eq!(run, flv_of(1, 3..5));
    assert_eq!(run.as_ptr(), same.as_ptr());
    assert_eq!(
        (second, third),
        (
            Cursor {
                next: FrameId::new(1, 5),
                started: true
            },
            second
        )
    );

    log.append([end(1)]).unwrap();
    assert_eq!(
        log.read_tags(&mut first),
        None,
        "the end of a GOP is told one by one"
    );
}

fn flv_of(gop: u64, numbers: std::ops::Range<u32>) -> Vec<u8> {
    numbers
        .flat_map(|number| astral_media::flv::tag(&testing::frame(gop, number)).concat())
        .collect()
}

/// The start of GOP `gop` of another history of the stream.
fn start_elsewhere(gop: u64) -> Media {
    let start = testing::gop_start(gop);
    let incarnation = Incarnation::from_bits(0xe15e);
    let parameters = Arc::new(Parameters {
        incarnation,
        ..Parameters::clone(&start.parameters)
    });
    Media::Start(GopStart {
        parameters,
        ..start
    })
}

#[tokio::test]
async fn a_gop_of_another_incarnation_takes_the_place_of_all_that_is_held() {
    let log = holding(7..9);
    let mut parts = log.watch_parts();
    parts.borrow_and_update();
    log.append([start_elsewhere(0)]).unwrap();
    assert!(parts.has_changed().unwrap(), "whoever waits looks again");
    assert_eq!((log.restarts(), log.oldest_gop()), (1, Some(0)));
    assert_eq!(log.segment(epoch(), 8), Lookup::Missing);
    log.append([frame(0, 0)]).unwrap();
    assert_eq!(log.restarts(), 1);
}

fn listed(log: &Log) -> Vec<u64> {
    log.playlist()
        .unwrap()
        .segments
        .iter()
        .map(|segment| segment.gop)
        .collect()
}

#[test]
fn the_playlist_is_six_target_durations_long_and_what_leaves_it_stays_for_as_long_again() {
    let log = holding(0..40);
    assert_eq!(listed(&log), (34..40).collect::<Vec<_>>());
    let removed_at_last = 33;
    for newest in 40..=46 {
        assert!(
            matches!(log.segment(epoch(), removed_at_last), Lookup::Here(_)),
            "while {newest} begins"
        );
        log.append(gop(newest)).unwrap();
    }
    log.append((47..80).flat_map(gop)).unwrap();
    assert_eq!(log.segment(epoch(), removed_at_last), Lookup::Missing);
    assert!(log.oldest_gop() > Some(80 - 17), "{:?}", log.oldest_gop());
}

/// Frames of GOP `number`, `later` microseconds after their time.
fn gop_later(number: u64, later: u64) -> impl Iterator<Item = Media> {
    gop(number).map(move |media| match media {
        Media::Frame(frame) => Media::Frame(Arc::new(Frame {
            dts: frame.dts + later,
            ..Frame::clone(&frame)
        })),
        other => other,
    })
}

#[test]
fn a_pause_of_the_publisher_takes_nothing_out_of_the_playlist() {
    let log = holding(0..20);
    log.append(gop_later(20, 9_000_000)).unwrap();
    assert_eq!(listed(&log), (15..21).collect::<Vec<_>>());
    log.append(gop_later(21, 3_600_000_000)).unwrap();
    assert_eq!(listed(&log), (16..22).collect::<Vec<_>>());
    assert!(log.oldest_gop() <= Some(9), "{:?}", log.oldest_gop());
}

#[test]
fn a_small_cache_keeps_what_has_left_the_playlist_and_lists_less_for_it() {
    let of_gop = Gop::new(testing::gop_start(0)).memory_bytes() + FRAMES as usize * (1000 + 512);
    let log = Log::new(of_gop * 9);
    let mut first = 0;
    for number in 0..60 {
        log.append(gop(number)).unwrap();
        let now = listed(&log);
        assert!(
            now[0] >= first,
            "the playlist never goes back: {now:?} after {first}"
        );
        first = now[0];
    }
    let listed = listed(&log);
    let oldest = log.oldest_gop().unwrap();
    assert!(
        listed.len() >= 3 && listed[0] >= oldest + 3,
        "{listed:?}, from {oldest} on is held"
    );
}

#[test]
fn a_playlist_is_written_once_per_change_for_everybody() {
    let log = holding(0..3);
    let one = log.media_playlist().unwrap();
    assert_eq!(
        one.text.as_ptr(),
        log.media_playlist().unwrap().text.as_ptr()
    );
    assert_eq!(
        one.gzip().as_ptr(),
        log.media_playlist().unwrap().gzip().as_ptr()
    );
    log.append([start(3), frame(3, 0), frame(3, 1), frame(3, 2)])
        .unwrap();
    let two = log.media_playlist().unwrap();
    assert_ne!(one.text, two.text);
    log.end();
    assert!(
        log.media_playlist()
            .unwrap()
            .text
            .ends_with(b"#EXT-X-ENDLIST\n")
    );
    log.start_over();
    assert!(log.media_playlist().is_none());
}

#[test]
fn segments_are_called_independent_only_while_all_that_are_listed_are() {
    let log = holding(0..3);
    assert!(log.playlist().unwrap().independent_segments);
    log.append([Media::Start(GopStart {
        independent: false,
        ..testing::gop_start(3)
    })])
    .unwrap();
    log.append((0..FRAMES).map(|number| frame(3, number)).chain([end(3)]))
        .unwrap();
    assert!(!log.playlist().unwrap().independent_segments);
    log.append((4..12).flat_map(gop)).unwrap();
    assert!(log.playlist().unwrap().independent_segments);
}
