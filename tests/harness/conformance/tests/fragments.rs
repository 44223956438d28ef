//! Rules of initialization sections, segments and timelines.

use super::*;

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
        map: String::new(),
        bytes,
        fragments,
        parts: Vec::new(),
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
fn each_violation_in_an_initialization_section_is_found() {
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
fn each_violation_in_segments_and_parts_is_found() {
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
fn an_incomplete_fragment_is_found() {
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
fn each_violation_in_a_timeline_is_found() {
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
fn each_violation_in_a_multivariant_playlist_is_found() {
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
fn a_part_that_begins_in_the_wrong_place_is_found() {
    let faults_of = |parts: [u64; 2]| {
        let mut faults = Faults::default();
        let bytes = [plain(1, 5_000), plain(2, 1_005_000)].concat();
        let first = Coded {
            parts: parts.into(),
            ..coded("7.m4s", bytes)
        };
        let second = coded("8.m4s", plain(3, 2_005_000));
        check_timeline(&[first, second], &read_section(), &mut faults);
        faults
    };
    faults_of([1_000_000, 1_000_000]).assert_none("parts in their place");
    faults_of([1_000_999, 999_001]).assert_none("less than a millisecond");
    assert!(faults_of([1_001_000, 999_000]).has(Rule::Placement));
}
