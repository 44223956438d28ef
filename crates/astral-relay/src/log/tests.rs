use super::*;
use astral_media::frame::{Parameters, VideoCodec, VideoParameters};
use bytes::Bytes;

const FRAMES: u32 = 5;
const FRAME_MICROS: u64 = 400_000;
const GOP_MICROS: u64 = FRAMES as u64 * FRAME_MICROS;

fn parameters() -> Arc<Parameters> {
    let config = Bytes::from_static(b"config");
    let video = VideoParameters { codec: VideoCodec::H264, config, width: 640, height: 360 };
    Arc::new(Parameters { epoch: 1, init: 0, video: Some(video), audio: None })
}

fn start(gop: u64) -> Media {
    Media::Start(GopStart {
        gop,
        parameters: parameters(),
        discontinuity: 0,
        independent: true,
        wall_clock_ms: 1_700_000_000_000,
        target_duration_seconds: Some(2),
    })
}

fn frame(gop: u64, number: u32) -> Media {
    Media::Frame(Arc::new(Frame {
        id: FrameId::new(gop, number),
        track: Track::Video,
        keyframe: number == 0,
        dts: gop * GOP_MICROS + u64::from(number) * FRAME_MICROS,
        cts: 0,
        part: number,
        payload: Bytes::from(vec![number as u8; 1000]),
    }))
}

fn end(gop: u64) -> Media {
    let video_duration = FRAME_MICROS as u32;
    let (frames, audio_duration) = (FRAMES, 0);
    Media::End(GopEnd { gop, frames, video_duration, audio_duration, target_duration_seconds: Some(2) })
}

fn gop(number: u64) -> impl Iterator<Item = Media> {
    [start(number)].into_iter().chain((0..FRAMES).map(move |n| frame(number, n))).chain([end(number)])
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
    assert_eq!(read_all(&log, &mut Cursor::at(FrameId::new(1, 3))), "S1 1.3 1.4 E1");
    assert_eq!(read_all(&log, &mut Cursor::at(FrameId::new(0, 5))), "S0 E0 S1 1.0 1.1 1.2 1.3 1.4 E1");
    assert_eq!(read_all(&log, &mut Cursor::at(FrameId::new(7, 0))), "");
}

#[test]
fn a_provider_that_repeats_itself_changes_nothing() {
    let log = holding(0..2);
    log.append(gop(1)).unwrap();
    log.append([start(1), frame(1, 4)]).unwrap();
    assert_eq!(log.next_expected(), Some(FrameId::new(2, 0)));
    assert_eq!(read_all(&log, &mut Cursor::at(FrameId::new(1, 0))), "S1 1.0 1.1 1.2 1.3 1.4 E1");
}

#[test]
fn a_frame_that_leaves_others_out_is_refused() {
    let log = holding(0..1);
    assert_eq!(log.append([frame(1, 0)]), Err(LogError::NoGop(FrameId::new(1, 0))));
    log.append([start(1), frame(1, 0)]).unwrap();
    let (got, expected) = (FrameId::new(1, 2), FrameId::new(1, 1));
    assert_eq!(log.append([frame(1, 2)]), Err(LogError::Missing { got, expected }));
    assert_eq!(log.next_expected(), Some(expected));
}

#[test]
fn what_is_kept_is_bounded_by_time_and_by_bytes_and_two_gops_are_always_there() {
    let by_time = holding(0..20);
    let kept = 20 - by_time.oldest_gop().unwrap();
    assert!((5..=6).contains(&kept), "8 s of GOPs of 2 s, {kept} kept");
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
    let Lookup::Here(segment) = log.segment(1, 0) else { panic!("a whole GOP is a segment") };
    let Lookup::Here(part) = log.part(1, 0, 0) else { panic!("a whole part is there") };
    assert!(segment.len() > part.len() && segment[..part.len()] == part[..]);
    assert_eq!(log.segment(1, 2), Lookup::Ahead);
    assert_eq!(log.part(1, 2, 0), Lookup::Ahead);
    assert_eq!(log.segment(1, 9), Lookup::Missing);
    assert_eq!(log.segment(2, 0), Lookup::Missing, "another epoch");
    assert_eq!(log.part(1, 0, 99), Lookup::Missing);
    log.end();
    assert_eq!(log.segment(1, 2), Lookup::Missing);
}

#[test]
fn a_gop_joined_in_the_middle_is_passed_on_but_never_a_segment() {
    let log = Log::new(64 << 20);
    log.append([start(3), frame(3, 2), frame(3, 3), frame(3, 4), end(3)]).unwrap();
    log.append(gop(4)).unwrap();
    assert_eq!(log.segment(1, 3), Lookup::Missing);
    assert_eq!(log.playlist().unwrap().media_sequence, 4);
    assert_eq!(log.newest_entry(), Some(FrameId::new(4, 0)));
    assert_eq!(read_all(&log, &mut Cursor::at(FrameId::new(3, 2))).split_whitespace().next(), Some("S3"));
}

#[test]
fn the_playlist_names_gops_that_are_not_held_as_gaps() {
    let log = holding(0..2);
    log.append([start(2), frame(2, 0)]).unwrap();
    log.append(gop(4)).unwrap();
    let playlist = log.playlist().unwrap();
    let listed: Vec<_> = playlist.segments.iter().map(|segment| (segment.gop, segment.gap)).collect();
    assert_eq!(listed, [(0, false), (1, false), (2, true), (3, true), (4, false)]);
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
    assert_eq!(log.kbps(), (u64::from(FRAMES) * 1000 * 8_000 / GOP_MICROS) as u32);
    assert_eq!(Log::new(1).kbps(), 0);
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
