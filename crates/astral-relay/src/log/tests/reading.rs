//! Appending, and what cursors read.

use super::*;

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
fn a_frame_after_a_gap_is_refused() {
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
fn a_reader_that_fell_behind_continues_at_the_oldest_gop() {
    let log = holding(0..20);
    let oldest = log.oldest_gop().unwrap();
    let read = read_all(&log, &mut Cursor::at(FrameId::new(0, 3)));
    assert!(read.starts_with(&format!("S{oldest} {oldest}.0")), "{read}");
    assert!(!log.can_start_at(FrameId::new(0, 3)));
    assert!(log.can_start_at(FrameId::new(oldest, 0)) && log.can_start_at(FrameId::new(20, 0)));
}

#[test]
fn the_lag_of_a_reader_is_measured_in_media_time() {
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
async fn a_gop_of_another_incarnation_replaces_everything() {
    let log = holding(7..9);
    let mut parts = log.watch_parts();
    parts.borrow_and_update();
    log.append([start_elsewhere(0)]).unwrap();
    assert!(parts.has_changed().unwrap(), "whoever waits looks again");
    assert_eq!((log.restarts(), log.oldest_gop()), (1, Some(0)));
    assert_eq!(HlsView::new(&log).segment(epoch(), 8), Lookup::Missing);
    log.append([frame(0, 0)]).unwrap();
    assert_eq!(log.restarts(), 1);
}
