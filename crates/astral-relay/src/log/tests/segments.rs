//! The bytes behind the URLs of HLS.

use super::*;

#[test]
fn segments_and_parts_are_served_once_whole_and_the_next_is_waited_for() {
    let log = holding(0..2);
    let Lookup::Here(segment) = HlsView::new(&log).segment(epoch(), 0) else {
        panic!("a whole GOP is a segment")
    };
    let Lookup::Here(part) = HlsView::new(&log).part(epoch(), 0, 0) else {
        panic!("a whole part is there")
    };
    assert!(segment.len() > part.len() && segment[..part.len()] == part[..]);
    assert_eq!(HlsView::new(&log).segment(epoch(), 2), Lookup::Ahead);
    assert_eq!(HlsView::new(&log).part(epoch(), 2, 0), Lookup::Ahead);
    assert_eq!(HlsView::new(&log).segment(epoch(), 9), Lookup::Missing);
    assert_eq!(
        HlsView::new(&log).segment(
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
            HlsView::new(&log).segment(id, 2),
            Lookup::Missing,
            "what comes next is not of {id}"
        );
    }
    assert_eq!(HlsView::new(&log).part(epoch(), 0, 99), Lookup::Missing);
    log.end();
    assert_eq!(HlsView::new(&log).segment(epoch(), 2), Lookup::Missing);
}

#[test]
fn an_open_gop_can_be_ended_and_then_takes_no_more_frames() {
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
    assert!(matches!(
        HlsView::new(&log).segment(epoch(), 1),
        Lookup::Here(_)
    ));
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
    assert_eq!(HlsView::new(&log).segment(epoch(), 3), Lookup::Missing);
    assert_eq!(playlist(&log.read_lock()).unwrap().media_sequence, 4);
    assert_eq!(log.newest_entry(), Some(FrameId::new(4, 0)));
    assert_eq!(
        read_all(&log, &mut Cursor::at(FrameId::new(3, 2)))
            .split_whitespace()
            .next(),
        Some("S3")
    );
}
