//! What a playlist lists, and what the log keeps for it.

use super::*;

#[test]
fn a_log_is_bounded_by_time_and_bytes_but_keeps_two_gops() {
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
fn the_playlist_names_gops_that_are_not_held_as_gaps() {
    let log = holding(0..2);
    log.append([start(2), frame(2, 0)]).unwrap();
    log.append(gop(4)).unwrap();
    let playlist = playlist(&log.read_lock()).unwrap();
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
fn an_open_gop_with_a_missing_piece_is_not_listed_before_its_duration_is_known() {
    let log = holding(0..2);
    log.append([start(2), frame(2, 1)]).unwrap();
    assert_eq!(playlist(&log.read_lock()).unwrap().segments.len(), 2);
    log.append(gop(3)).unwrap();
    let gap = &playlist(&log.read_lock()).unwrap().segments[2];
    assert_eq!((gap.gap, gap.duration_us), (true, GOP_MICROS));
}

#[test]
fn a_playlist_ends_with_its_stream_until_a_new_gop_comes() {
    let log = holding(0..3);
    log.end();
    assert!(playlist(&log.read_lock()).unwrap().ended && log.has_ended());
    log.append(gop(3)).unwrap();
    assert!(!playlist(&log.read_lock()).unwrap().ended);
}

#[test]
fn tiny_gops_and_frames_count_their_overhead() {
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

fn listed(log: &Log) -> Vec<u64> {
    playlist(&log.read_lock())
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
            matches!(
                HlsView::new(&log).segment(epoch(), removed_at_last),
                Lookup::Here(_)
            ),
            "while {newest} begins"
        );
        log.append(gop(newest)).unwrap();
    }
    log.append((47..80).flat_map(gop)).unwrap();
    assert_eq!(
        HlsView::new(&log).segment(epoch(), removed_at_last),
        Lookup::Missing
    );
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
fn a_pause_of_the_publisher_removes_nothing_from_the_playlist() {
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
fn a_playlist_is_rendered_once_per_change() {
    let log = holding(0..3);
    let one = HlsView::new(&log).rendered_playlist().unwrap();
    assert_eq!(
        one.text.as_ptr(),
        HlsView::new(&log)
            .rendered_playlist()
            .unwrap()
            .text
            .as_ptr()
    );
    assert_eq!(
        one.gzip().as_ptr(),
        HlsView::new(&log)
            .rendered_playlist()
            .unwrap()
            .gzip()
            .as_ptr()
    );
    log.append([start(3), frame(3, 0), frame(3, 1), frame(3, 2)])
        .unwrap();
    let two = HlsView::new(&log).rendered_playlist().unwrap();
    assert_ne!(one.text, two.text);
    log.end();
    assert!(
        HlsView::new(&log)
            .rendered_playlist()
            .unwrap()
            .text
            .ends_with(b"#EXT-X-ENDLIST\n")
    );
    log.start_over();
    assert!(HlsView::new(&log).rendered_playlist().is_none());
}

#[test]
fn segments_are_called_independent_only_while_all_that_are_listed_are() {
    let log = holding(0..3);
    assert!(playlist(&log.read_lock()).unwrap().independent_segments);
    log.append([Media::Start(GopStart {
        independent: false,
        ..testing::gop_start(3)
    })])
    .unwrap();
    log.append((0..FRAMES).map(|number| frame(3, number)).chain([end(3)]))
        .unwrap();
    assert!(!playlist(&log.read_lock()).unwrap().independent_segments);
    log.append((4..12).flat_map(gop)).unwrap();
    assert!(playlist(&log.read_lock()).unwrap().independent_segments);
}
