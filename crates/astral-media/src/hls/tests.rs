use super::*;
use crate::frame::{AudioCodec, AudioParameters, Parameters, VideoCodec, VideoParameters};
use astral_proto::{EpochId, Incarnation};
use bytes::Bytes;
use m3u8_rs::Playlist;
use proptest::prelude::*;

const START_MS: u64 = 1_795_500_480_123;

fn epoch(epoch: u64) -> EpochId {
    EpochId {
        incarnation: Incarnation::from_bits(0x5eed_0a1b),
        epoch,
    }
}

fn parameters() -> Parameters {
    let config = Bytes::from_static(b"\x01\x64\x00\x1f");
    let video = VideoParameters {
        codec: VideoCodec::H264,
        config,
        width: 1280,
        height: 720,
    };
    let config = Bytes::from_static(b"\x11\x90");
    let audio = AudioParameters {
        codec: AudioCodec::Aac,
        config,
        sample_rate: 48_000,
        channels: 2,
    };
    Parameters {
        incarnation: epoch(3).incarnation,
        epoch: 3,
        init: 0,
        video: Some(video),
        audio: Some(audio),
    }
}

fn part(part: u32, duration_us: u64) -> PartRef {
    PartRef {
        part,
        duration_us,
        independent: part == 0,
    }
}

/// A complete segment of two seconds in two parts.
fn segment(gop: u64) -> Segment {
    Segment {
        gop,
        epoch: epoch(3),
        init: 0,
        discontinuity_before: false,
        program_date_time: (START_MS + (gop - 17) * 2000).into(),
        duration_us: 2_000_000,
        gap: false,
        parts: vec![part(0, 1_000_004), part(1, 999_996)],
        complete: true,
    }
}

fn playlist(segments: Vec<Segment>) -> MediaPlaylist {
    MediaPlaylist {
        target_duration_seconds: 2,
        part_target_us: 1_000_004,
        media_sequence: segments[0].gop,
        discontinuity_sequence: 5,
        independent_segments: false,
        segments,
        preload_hint: None,
        ended: false,
    }
}

#[test]
fn multivariant_playlist_describes_the_variant() {
    let parameters = parameters();
    let variant = Variant {
        parameters: &parameters,
        bandwidth: 3_200_000,
        average_bandwidth: Some(2_800_000),
        frame_rate: Some(30.0),
        independent_segments: true,
    };
    let text = multivariant_playlist(&variant);
    assert_eq!(
        text,
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXT-X-STREAM-INF:BANDWIDTH=3200000,AVERAGE-BANDWIDTH=2800000,CODECS=\"avc1.64001f,mp4a.40.2\",\
        RESOLUTION=1280x720,FRAME-RATE=30.000\nmedia.m3u8\n"
    );
    let Playlist::MasterPlaylist(parsed) = m3u8_rs::parse_playlist_res(text.as_bytes()).unwrap()
    else {
        panic!("not a multivariant playlist")
    };
    assert!(parsed.independent_segments && parsed.variants.len() == 1);
    assert_eq!(
        parsed.variants[0].codecs.as_deref(),
        Some("avc1.64001f,mp4a.40.2")
    );
}

#[test]
fn multivariant_playlist_omits_what_is_unknown() {
    let parameters = Parameters {
        video: None,
        ..parameters()
    };
    let variant = Variant {
        parameters: &parameters,
        bandwidth: 128_000,
        average_bandwidth: None,
        frame_rate: Some(f64::NAN),
        independent_segments: false,
    };
    assert_eq!(
        multivariant_playlist(&variant),
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-STREAM-INF:BANDWIDTH=128000,CODECS=\"mp4a.40.2\"\nmedia.m3u8\n"
    );
}

#[test]
fn live_playlist_lists_segments_parts_and_the_next_part() {
    let newest = Segment {
        complete: false,
        duration_us: 0,
        parts: vec![part(0, 1_000_000)],
        ..segment(18)
    };
    let hint = PreloadHint {
        epoch: epoch(3),
        gop: 18,
        part: 1,
    };
    let text = media_playlist(&MediaPlaylist {
        preload_hint: Some(hint),
        ..playlist(vec![segment(17), newest])
    });
    assert_eq!(
        text,
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3.00003\n\
        #EXT-X-PART-INF:PART-TARGET=1.00001\n#EXT-X-MEDIA-SEQUENCE:17\n#EXT-X-DISCONTINUITY-SEQUENCE:5\n\
        #EXT-X-MAP:URI=\"5eed0a1b-3/init-0.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2026-11-24T06:08:00.123Z\n\
        #EXT-X-PART:DURATION=1.00000,URI=\"5eed0a1b-3/17.0.m4s\",INDEPENDENT=YES\n\
        #EXT-X-PART:DURATION=1.00000,URI=\"5eed0a1b-3/17.1.m4s\"\n#EXTINF:2.00000,\n5eed0a1b-3/17.m4s\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-24T06:08:02.123Z\n\
        #EXT-X-PART:DURATION=1.00000,URI=\"5eed0a1b-3/18.0.m4s\",INDEPENDENT=YES\n\
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"5eed0a1b-3/18.1.m4s\"\n"
    );
}

#[test]
fn new_epoch_is_a_discontinuity_with_its_own_map() {
    let next = Segment {
        epoch: epoch(4),
        discontinuity_before: true,
        ..segment(18)
    };
    let changed = Segment {
        init: 1,
        discontinuity_before: true,
        ..Segment {
            epoch: epoch(4),
            ..segment(19)
        }
    };
    let text = media_playlist(&playlist(vec![segment(17), next.clone(), changed]));
    assert!(
        text.contains(
            "5eed0a1b-3/17.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"5eed0a1b-4/init-0.mp4\"\n"
        ),
        "{text}"
    );
    assert!(
        text.contains("4/18.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"5eed0a1b-4/init-1.mp4\"\n"),
        "{text}"
    );
    let first = media_playlist(&playlist(vec![next]));
    assert!(
        !first.contains("#EXT-X-DISCONTINUITY\n"),
        "the sequence number stands for it: {first}"
    );
}

#[test]
fn segment_not_held_is_a_gap() {
    let gap = Segment {
        gap: true,
        parts: vec![],
        ..segment(18)
    };
    let text = media_playlist(&playlist(vec![segment(17), gap]));
    assert!(
        text.ends_with("02.123Z\n#EXT-X-GAP\n#EXTINF:2.00000,\n5eed0a1b-3/18.m4s\n"),
        "{text}"
    );
}

#[test]
fn only_the_last_three_target_durations_have_parts() {
    let text = media_playlist(&playlist((17..23).map(segment).collect()));
    let with_parts: Vec<u64> = (17..23)
        .filter(|gop| text.contains(&format!("{gop}.0.m4s")))
        .collect();
    assert_eq!(with_parts, [20, 21, 22]);
}

#[test]
fn ended_stream_has_an_end_and_no_hint() {
    let hint = PreloadHint {
        epoch: epoch(3),
        gop: 18,
        part: 0,
    };
    let text = media_playlist(&MediaPlaylist {
        ended: true,
        preload_hint: Some(hint),
        ..playlist(vec![segment(17)])
    });
    assert!(
        text.ends_with("5eed0a1b-3/17.m4s\n#EXT-X-ENDLIST\n"),
        "{text}"
    );
}

prop_compose! {
    fn segments()(list in prop::collection::vec((0u64..10_000_000, any::<bool>(), any::<bool>(), 0u32..3), 1..8))
        -> Vec<Segment>
    {
        let mut init = 0;
        list.into_iter().enumerate().map(|(index, (duration_us, gap, change, parts))| {
            init += u32::from(change);
            let parts = (0..parts).map(|number| part(number, duration_us / 3)).collect();
            let gop = 17 + index as u64;
            Segment { init, discontinuity_before: change, duration_us, gap, parts, ..segment(gop) }
        }).collect()
    }
}

proptest! {
    #[test]
    fn another_parser_reads_the_same_segments(segments in segments()) {
        let text = media_playlist(&MediaPlaylist { ended: true, ..playlist(segments.clone()) });
        let parsed = m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap();
        prop_assert_eq!(parsed.media_sequence, 17);
        prop_assert_eq!(parsed.discontinuity_sequence, 5);
        prop_assert!(parsed.end_list);
        prop_assert_eq!(parsed.segments.len(), segments.len());
        for (index, (read, written)) in parsed.segments.iter().zip(&segments).enumerate() {
            prop_assert_eq!(&read.uri, &format!("5eed0a1b-3/{}.m4s", written.gop));
            prop_assert!((f64::from(read.duration) * 1e6 - written.duration_us as f64).abs() <= 6.0);
            prop_assert_eq!(read.discontinuity, written.discontinuity_before && index > 0);
            let time = read.program_date_time.unwrap().timestamp_millis();
            prop_assert_eq!(time as u64, written.program_date_time.get());
            let map = read.map.as_ref().map(|map| map.uri.clone());
            let changed = index == 0 || written.discontinuity_before;
            prop_assert_eq!(map, changed.then(|| format!("5eed0a1b-3/init-{}.mp4", written.init)));
            let gap = read.unknown_tags.iter().any(|tag| tag.tag == "X-GAP");
            prop_assert_eq!(gap, written.gap);
        }
    }

    #[test]
    fn any_numbers_are_survived(us: u64, ms: u64, target: u32) {
        let whole = Segment { duration_us: us, program_date_time: ms.into(), parts: vec![part(0, us); 3], ..segment(17) };
        let playlist = playlist(vec![whole; 3]);
        let _ = media_playlist(&MediaPlaylist { target_duration_seconds: target, part_target_us: us, ..playlist });
    }
}
