//! The checker finds what is broken: for each rule something that breaks it and nothing else around it.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const WHOLE: &str = "#EXTM3U
#EXT-X-VERSION:9
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-TARGETDURATION:4
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3.00000
#EXT-X-PART-INF:PART-TARGET=1.00000
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:2
#EXT-X-MAP:URI=\"a-1/init-0.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-11-24T06:08:00.000Z
#EXTINF:4.00000,
a-1/7.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-11-24T06:08:04.000Z
#EXTINF:4.00000,
a-1/8.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI=\"a-2/init-0.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-11-24T06:09:00.000Z
#EXTINF:4.00000,
a-2/9.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-11-24T06:09:04.000Z
#EXT-X-GAP
#EXTINF:4.00000,
a-2/10.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-11-24T06:09:08.000Z
#EXT-X-PART:DURATION=1.00000,URI=\"a-2/11.0.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.50000,URI=\"a-2/11.1.m4s\"
#EXTINF:1.50000,
a-2/11.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-11-24T06:09:09.500Z
#EXT-X-PART:DURATION=1.00000,URI=\"a-2/12.0.m4s\",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"a-2/12.1.m4s\"
";

fn faults_of(text: &str) -> Vec<Rule> {
    let mut faults = Faults::default();
    let playlist = parse(text, &mut faults);
    check(&playlist, &mut faults);
    let mut rules: Vec<_> = faults.0.iter().map(|fault| fault.rule).collect();
    rules.dedup();
    rules
}

fn with(from: &str, to: &str) -> String {
    assert!(WHOLE.contains(from), "{from}");
    WHOLE.replacen(from, to, 1)
}

#[test]
fn a_playlist_that_keeps_all_rules_has_no_fault() {
    assert_eq!(faults_of(WHOLE), []);
}

#[test]
fn each_rule_of_a_playlist_is_found_broken() {
    for (from, to, rule) in [
        ("#EXTM3U\n", "#EXTM3U8\n", Rule::Header),
        ("#EXT-X-VERSION:9\n", "", Rule::Syntax),
        ("#EXTINF:4.00000,\na-1/7", "a-1/7", Rule::Syntax),
        (
            "PART-TARGET=1.00000",
            "PART-TARGET=1.0,PART-TARGET=1.0",
            Rule::Syntax,
        ),
        ("DURATION=1.00000,", "DURATION=-1,", Rule::Syntax),
        ("06:08:04.000Z", "06:08:04", Rule::Syntax),
        (
            "#EXTINF:4.00000,\na-1/8",
            "#EXTINF:4.50000,\na-1/8",
            Rule::TargetDuration,
        ),
        ("HOLD-BACK=3.00000", "HOLD-BACK=1.90000", Rule::HoldBack),
        (",PART-HOLD-BACK=3.00000", "", Rule::HoldBack),
        (
            "DURATION=1.00000,URI=\"a-2/12",
            "DURATION=1.00001,URI=\"a-2/12",
            Rule::PartTarget,
        ),
        ("#EXTINF:1.50000", "#EXTINF:1.60000", Rule::PartSum),
        ("a-2/11.1.m4s", "a-2/11.2.m4s", Rule::PartOrder),
        ("a-2/11.0.m4s", "a-2/13.0.m4s", Rule::PartOrder),
        ("#EXT-X-MAP:URI=\"a-1/init-0.mp4\"\n", "", Rule::Map),
        ("06:08:04.000Z", "06:08:04.005Z", Rule::DateTime),
        ("06:08:04.000Z", "06:08:03.995Z", Rule::DateTime),
        ("06:08:04.000Z", "06:08:04.002Z", Rule::DateTime),
        ("06:09:08.000Z", "06:09:09.000Z", Rule::DateTime),
        (
            "#EXT-X-PROGRAM-DATE-TIME:2026-11-24T06:08:04.000Z\n",
            "",
            Rule::DateTime,
        ),
        (
            "DURATION=1.00000,URI=\"a-2/11.0.m4s\",INDEPENDENT=YES",
            "DURATION=0.84000,URI=\"a-2/11.0.m4s\"",
            Rule::PartFloor,
        ),
        ("#EXT-X-DISCONTINUITY\n", "", Rule::Discontinuity),
        ("a-2/12.1.m4s\"\n", "a-2/12.0.m4s\"\n", Rule::PreloadHint),
        (
            "12.1.m4s\"\n",
            "12.1.m4s\"\n#EXT-X-ENDLIST\n",
            Rule::PreloadHint,
        ),
        ("a-1/8.m4s", "a-1/7.m4s", Rule::Unique),
    ] {
        let found = faults_of(&with(from, to));
        assert!(found.contains(&rule), "{rule:?} by {to:?}: {found:?}");
    }
    let gap_with_parts = with(
        "#EXT-X-GAP\n",
        "#EXT-X-GAP\n#EXT-X-PART:DURATION=4.0,URI=\"a-2/10.0.m4s\"\n",
    );
    assert!(faults_of(&gap_with_parts).contains(&Rule::Discontinuity));
    let old = with(
        "#EXTINF:4.00000,\na-1/7",
        "#EXT-X-PART:DURATION=1.0,URI=\"a-1/7.0.m4s\"\n#EXTINF:4.00000,\na-1/7",
    );
    assert!(faults_of(&old).contains(&Rule::OldParts));
}

fn reload_faults(old: &str, new: &str) -> Vec<Rule> {
    let mut faults = Faults::default();
    let [old, new] = [old, new].map(|text| parse(text, &mut Faults::default()));
    check_reload(&old, &new, &mut faults);
    faults.0.iter().map(|fault| fault.rule).collect()
}

/// The playlist without its first segment.
fn slid() -> String {
    let first = WHOLE.find("#EXT-X-PROGRAM-DATE-TIME").unwrap();
    let second = first + 1 + WHOLE[first + 1..].find("#EXT-X-PROGRAM-DATE-TIME").unwrap();
    [
        &WHOLE[..first].replacen("SEQUENCE:7", "SEQUENCE:8", 1),
        &WHOLE[second..],
    ]
    .concat()
}

#[test]
fn each_rule_of_reloading_is_found_broken() {
    assert_eq!(reload_faults(WHOLE, WHOLE), []);
    assert_eq!(reload_faults(WHOLE, &slid()), []);
    let more = with(
        "#EXT-X-PRELOAD",
        "#EXT-X-PART:DURATION=1.0,URI=\"a-2/12.1.m4s\"\n#EXT-X-PRELOAD",
    );
    assert_eq!(reload_faults(WHOLE, &more), []);
    for (old, new, rule) in [
        (slid(), WHOLE.to_owned(), Rule::MediaSequence),
        (
            WHOLE.to_owned(),
            with("TARGETDURATION:4", "TARGETDURATION:5"),
            Rule::Unchanged,
        ),
        (
            WHOLE.to_owned(),
            with("#EXTINF:4.00000,\na-1/8", "#EXTINF:3.90000,\na-1/8"),
            Rule::Unchanged,
        ),
        (
            WHOLE.to_owned(),
            with("06:09:08.000Z", "06:09:08.001Z"),
            Rule::Unchanged,
        ),
        (more, WHOLE.to_owned(), Rule::Unchanged),
        (
            WHOLE.to_owned(),
            WHOLE[..WHOLE
                .find("#EXT-X-PROGRAM-DATE-TIME:2026-11-24T06:09:09")
                .unwrap()]
                .into(),
            Rule::Unchanged,
        ),
        (
            WHOLE.to_owned(),
            slid().replace("DISCONTINUITY-SEQUENCE:2", "DISCONTINUITY-SEQUENCE:3"),
            Rule::DiscontinuitySequence,
        ),
        (
            WHOLE.to_owned(),
            slid().replace("DURATION:4", "DURATION:5"),
            Rule::Window,
        ),
    ] {
        let found = reload_faults(&old, &new);
        assert!(found.contains(&rule), "{rule:?}: {found:?}");
    }
    let ended = with(
        "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"a-2/12.1.m4s\"",
        "#EXT-X-ENDLIST",
    );
    let after_end = format!(
        "{}#EXTINF:1.0,\na-2/12.m4s\n#EXTINF:1.0,\na-2/13.m4s\n",
        ended.replace("#EXT-X-ENDLIST\n", "")
    );
    assert!(reload_faults(&ended, &after_end).contains(&Rule::Unchanged));
}

/// A box.
fn bx(kind: &[u8; 4], body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    [&(body.len() as u32 + 8).to_be_bytes()[..], kind, &body].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn trak(id: u32, handler: &[u8; 4], entry: &[u8], samples: u32) -> Vec<u8> {
    let stsd = bx(b"stsd", &[&words(&[0, 1]), entry]);
    let tables = [
        bx(b"stts", &[&words(&[0, samples])]),
        bx(b"stsc", &[&words(&[0, 0])]),
        bx(b"stco", &[&words(&[0, 0])]),
    ];
    let stbl = bx(b"stbl", &[&stsd, &tables.concat()]);
    let mdhd = bx(b"mdhd", &[&words(&[0, 0, 0, 1_000_000, 0, 0])]);
    let hdlr = bx(b"hdlr", &[&words(&[0, 0]), handler, &[0; 13]]);
    let mdia = bx(b"mdia", &[&mdhd, &hdlr, &bx(b"minf", &[&stbl])]);
    bx(
        b"trak",
        &[&bx(b"tkhd", &[&words(&[0, 0, 0, id]), &[0; 68]]), &mdia],
    )
}

fn section(extended: &[u32], samples: u32) -> Vec<u8> {
    let mut visual = vec![0; 78];
    visual[24..28].copy_from_slice(&[2, 128, 1, 104]);
    let avc = bx(
        b"avc1",
        &[&visual, &bx(b"avcC", &[&[1, 0x64, 0, 0x1f, 0xff]])],
    );
    let descriptor = [
        3, 22, 0, 2, 0, 4, 17, 0x40, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 2, 0x12, 0x10,
    ];
    let aac = bx(b"mp4a", &[&[0; 28], &bx(b"esds", &[&[0; 4], &descriptor])]);
    let trex: Vec<u8> = extended
        .iter()
        .flat_map(|id| bx(b"trex", &[&words(&[0, *id, 1, 0, 0, 0])]))
        .collect();
    let traks = [trak(1, b"vide", &avc, samples), trak(2, b"soun", &aac, 0)].concat();
    [
        bx(b"ftyp", &[b"iso6\0\0\0\0iso6"]),
        bx(
            b"moov",
            &[&bx(b"mvhd", &[&[0; 100]]), &traks, &bx(b"mvex", &[&trex])],
        ),
    ]
    .concat()
}

/// A picture of five bytes: an IDR slice or another.
fn picture(idr: bool) -> [u8; 5] {
    [0, 0, 0, 1, if idr { 0x65 } else { 0x41 }]
}

/// A fragment of two pictures, each of half a second.
fn fragment(number: u32, time: u64, marked: [bool; 2], is: [bool; 2]) -> Vec<u8> {
    let samples: Vec<u8> = marked
        .iter()
        .flat_map(|sync| words(&[500_000, 5, if *sync { 0 } else { 0x1_0000 }, 0]))
        .collect();
    let build = |offset: u32| {
        let tfhd = bx(b"tfhd", &[&words(&[0x02_0000, 1])]);
        let tfdt = bx(b"tfdt", &[&words(&[1 << 24]), &time.to_be_bytes()]);
        let trun = bx(b"trun", &[&words(&[1 << 24 | 0xf01, 2, offset]), &samples]);
        bx(
            b"moof",
            &[
                &bx(b"mfhd", &[&words(&[0, number])]),
                &bx(b"traf", &[&tfhd, &tfdt, &trun]),
            ],
        )
    };
    let offset = build(0).len() as u32 + 8;
    [
        build(offset),
        bx(b"mdat", &[&picture(is[0]), &picture(is[1])]),
    ]
    .concat()
}

fn plain(number: u32, time: u64) -> Vec<u8> {
    fragment(number, time, [true, false], [true, false])
}

fn coded(uri: &str, bytes: Vec<u8>) -> Coded {
    let fragments = fragments(uri, &bytes, &mut Faults::default());
    Coded {
        uri: uri.into(),
        duration: 1_000_000 * fragments.len() as u64,
        discontinuity: false,
        bytes,
        fragments,
    }
}

fn read_section() -> Init {
    let mut faults = Faults::default();
    let read = init(&section(&[1, 2], 0), &mut faults);
    check_init("init", &read, &mut faults);
    faults.assert_none("a whole section");
    read
}

#[test]
fn each_rule_of_initialization_sections_is_found_broken() {
    let read = read_section();
    let codecs: Vec<_> = read
        .tracks
        .iter()
        .map(|track| track.codec.clone().unwrap())
        .collect();
    assert_eq!(
        (codecs, read.tracks[0].size),
        (
            vec!["avc1.64001f".to_owned(), "mp4a.40.2".to_owned()],
            (640, 360)
        )
    );
    let whole = section(&[1, 2], 0);
    for broken in [
        section(&[1], 0),
        section(&[1, 2], 1),
        whole[1..].to_vec(),
        [&whole[..], &whole[..]].concat(),
    ] {
        let mut faults = Faults::default();
        init(&broken, &mut faults);
        assert!(faults.has(Rule::InitSection));
    }
    let mut faults = Faults::default();
    let twice = Init {
        tracks: vec![read.tracks[0].clone(), read.tracks[0].clone()],
    };
    check_init("init", &twice, &mut faults);
    assert!(faults.has(Rule::InitSection));
}

#[test]
fn each_rule_of_segments_and_parts_is_found_broken() {
    let section = read_section();
    let parts = [
        plain(1, 0),
        fragment(2, 1_000_000, [false, false], [false, false]),
    ];
    let part = |number: usize, independent| Part {
        uri: format!("7.{number}.m4s"),
        duration: 1_000_000,
        independent,
    };
    let listed = Segment {
        duration: 2_000_000,
        parts: vec![part(0, true), part(1, false)],
        ..Segment::default()
    };
    let faults_of = |listed: &Segment, parts: &[Vec<u8>], bytes: Vec<u8>, independent| {
        let mut faults = Faults::default();
        check_segment(
            listed,
            &coded("7.m4s", bytes),
            parts,
            independent,
            &section,
            &mut faults,
        );
        faults
    };
    let whole = || parts.concat();
    faults_of(&listed, &parts, whole(), true).assert_none("a whole segment");
    let longer = Segment {
        duration: 2_500_100,
        ..listed.clone()
    };
    assert!(faults_of(&longer, &parts, whole(), true).has(Rule::Duration));
    let longer = Segment {
        parts: vec![
            Part {
                duration: 1_500_100,
                ..part(0, true)
            },
            part(1, false),
        ],
        ..listed.clone()
    };
    assert!(faults_of(&longer, &parts, whole(), true).has(Rule::Duration));
    let dishonest = Segment {
        parts: vec![part(0, true), part(1, true)],
        ..listed.clone()
    };
    assert!(faults_of(&dishonest, &parts, whole(), true).has(Rule::Independent));
    assert!(
        faults_of(&listed, &[parts[0].clone(), plain(2, 9)], whole(), true).has(Rule::SameBytes)
    );
    for (marked, is) in [([true, true], [true, false]), ([true, false], [true, true])] {
        let wrong = fragment(1, 0, marked, is);
        let alone = Segment {
            duration: 1_000_000,
            ..Segment::default()
        };
        assert!(faults_of(&alone, &[], wrong, true).has(Rule::SyncSample));
    }
    let dependent = fragment(1, 0, [false, false], [false, false]);
    let alone = Segment {
        duration: 1_000_000,
        ..Segment::default()
    };
    assert!(!faults_of(&alone, &[], dependent.clone(), false).has(Rule::Independent));
    assert!(faults_of(&alone, &[], dependent, true).has(Rule::Independent));
}

#[test]
fn a_fragment_that_is_not_whole_is_found() {
    let whole = plain(1, 0);
    let mut faults = Faults::default();
    assert_eq!(fragments("x", &whole, &mut faults).len(), 1);
    faults.assert_none("a whole fragment");
    let mut unbased = whole.clone();
    let tfhd = unbased
        .windows(4)
        .position(|window| window == b"tfhd")
        .unwrap();
    unbased[tfhd + 5] = 0;
    let longer = [
        &whole[..whole.len() - 18],
        &bx(b"mdat", &[&picture(true), &picture(false), &[0]]),
    ]
    .concat();
    for broken in [
        whole[..whole.len() - 1].to_vec(),
        Vec::new(),
        unbased,
        longer,
        whole[..whole.len() - 18].to_vec(),
    ] {
        let mut faults = Faults::default();
        fragments("x", &broken, &mut faults);
        assert!(faults.has(Rule::Fragment));
    }
}

#[test]
fn each_rule_of_a_timeline_is_found_broken() {
    let faults_of = |second: Coded| {
        let mut faults = Faults::default();
        check_timeline(
            &[coded("7.m4s", plain(1, 5_000)), second],
            &read_section(),
            &mut faults,
        );
        faults
    };
    faults_of(coded("8.m4s", plain(2, 1_005_000))).assert_none("one timeline");
    for time in [1_005_003, 1_004_997] {
        assert!(faults_of(coded("8.m4s", plain(2, time))).has(Rule::DecodeTime));
    }
    for numbers in [[1, 2], [2, 4], [2, 2]] {
        let [first, second] = numbers;
        let second = [plain(first, 1_005_000), plain(second, 2_005_000)].concat();
        assert!(
            faults_of(coded("8.m4s", second)).has(Rule::SequenceNumber),
            "{numbers:?}"
        );
    }
    let longer = Coded {
        duration: 1_600_000,
        ..coded("8.m4s", plain(2, 1_005_000))
    };
    assert!(faults_of(longer).has(Rule::Duration), "it adds up");
    faults_of(Coded {
        discontinuity: true,
        ..coded("8.m4s", plain(9, 9_000_000))
    })
    .assert_none("a discontinuity");
}

#[test]
fn each_rule_of_a_multivariant_playlist_is_found_broken() {
    let section = read_section();
    let segments = [coded("7.m4s", [plain(1, 0), plain(2, 1_000_000)].concat())];
    let text = "#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-STREAM-INF:BANDWIDTH=9999,CODECS=\"avc1.64001f,mp4a.40.2\",\
                RESOLUTION=640x360\nmedia.m3u8\n";
    let faults_of = |text: &str, segments: &[Coded]| {
        let mut faults = Faults::default();
        check_multivariant(text, &section, segments, 4, &mut faults);
        faults
    };
    faults_of(text, &segments).assert_none("a whole playlist");
    for (from, to, rule) in [
        ("#EXTM3U", "", Rule::Header),
        ("#EXT-X-STREAM-INF", "#EXT-X-STREAM", Rule::Syntax),
        ("64001f", "64001e", Rule::Codecs),
        (",mp4a.40.2", "", Rule::Codecs),
        ("640x360", "640x361", Rule::Codecs),
        ("BANDWIDTH=9999", "BANDWIDTH=99", Rule::Bandwidth),
    ] {
        assert!(
            faults_of(&text.replacen(from, to, 1), &segments).has(rule),
            "{rule:?}"
        );
    }
    let dependent = [coded(
        "7.m4s",
        fragment(1, 0, [false, false], [false, false]),
    )];
    assert!(faults_of(text, &dependent).has(Rule::Independent));
}

#[test]
fn every_rule_names_its_section() {
    for rule in Rule::ALL {
        assert!(rule.section().contains('.'), "{rule:?}");
    }
}

/// A server that answers every playlist with the same text, however long a player would have to wait for the next, and
/// has no media.
async fn stale_server() -> std::net::SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 2048];
            let length = socket.read(&mut request).await.unwrap_or(0);
            let is_playlist = String::from_utf8_lossy(&request[..length]).contains(".m3u8");
            let (status, body) = if is_playlist { (200, WHOLE) } else { (404, "") };
            let answer = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            drop(socket.write_all(answer.as_bytes()).await);
        }
    });
    address
}

#[tokio::test]
async fn a_server_that_does_not_wait_and_has_no_media_is_found() {
    let faults = watch(stale_server().await, "demo", 1).await.faults;
    assert!(faults.has(Rule::Blocking) && faults.has(Rule::Available));
}

#[test]
fn every_rule_is_broken_by_a_test_above() {
    let tests = include_str!("tests.rs");
    for rule in Rule::ALL {
        assert!(tests.contains(&format!("Rule::{rule:?}")), "{rule:?}");
    }
}
