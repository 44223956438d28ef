//! Tests of the checker: for each rule there is something that violates only this rule.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

mod fragments;

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
fn a_correct_playlist_has_no_faults() {
    assert_eq!(faults_of(WHOLE), []);
}

#[test]
fn each_violation_in_a_playlist_is_found() {
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

/// Returns the playlist without its first segment.
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
fn each_violation_between_two_playlists_is_found() {
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

/// Starts a server that answers every request for a playlist at once with the same text, and has no
/// media.
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
async fn a_server_that_neither_waits_nor_has_media_is_found() {
    let faults = watch(stale_server().await, "demo", 1).await.faults;
    assert!(faults.has(Rule::Blocking) && faults.has(Rule::Available));
}

#[test]
fn every_rule_has_a_test_that_violates_it() {
    let tests = [include_str!("tests.rs"), include_str!("tests/fragments.rs")].concat();
    for rule in Rule::ALL {
        assert!(tests.contains(&format!("Rule::{rule:?}")), "{rule:?}");
    }
}
