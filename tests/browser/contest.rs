//! Plays streams in several players side by side, in one browser: hls.js in both of its modes,
//! Shaka, and our own page.

use crate::file;
use crate::page::Page;
use harness::conformance::{Rule, Seen};
use harness::http;
use harness::tape::{Playing, Tape};
use harness::{Cluster, conformance, eventually, hls};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Once;
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// The players, by their names in `players.js`.
const PLAYERS: [&str; 4] = ["lowLatency", "normal", "shaka", OUR_PAGE];
const OUR_PAGE: &str = "page";
/// How long players may take to play the rest after the publisher has finished.
const FINISH_WAIT: Duration = Duration::from_secs(20);
/// The pictures that every player must show, in percent of those that it shows of a file with the
/// same bytes. Pictures at the start and in the last half second are counted only roughly.
const SHOWN_PERCENT: usize = 85;
/// How many pictures at the edges may be counted or not.
const PICTURES_AT_THE_EDGES: usize = 2;
/// How much longer a picture may stand still than in the studio stream, milliseconds.
const STILL_MS_MAX: u64 = 1_000;
/// The players that play the files. The other ones are hls.js, too.
const FILE_PLAYERS: [&str; 2] = ["normal", "shaka"];
/// How much faster than normal files are played.
const FILE_RATE: u32 = 4;
/// The stream with which the pauses of all others are compared.
const STUDIO: &str = "studio";
/// Groups play one after the other: a player without its share of the machine stands still.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A stream, and what players may do with it.
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What is published.
    pub tape: Tape,
    /// How long players may stand still in addition, milliseconds.
    pub still_ms: u64,
    /// Whether only our own page plays it, and may start its player again.
    pub only_our_page: bool,
    /// The pictures that every player must show, in percent of those that it shows of the file.
    pub shown_percent: usize,
    /// A rule that the stream cannot keep.
    pub cannot_keep: Option<Rule>,
}

impl Case {
    /// A stream at which no player may stand still.
    pub fn smooth(name: &'static str, tape: Tape) -> Self {
        Self {
            name,
            tape,
            still_ms: 0,
            only_our_page: false,
            shown_percent: SHOWN_PERCENT,
            cannot_keep: None,
        }
    }
}

/// What a player has shown.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "they are printed")]
struct Shown {
    name: String,
    kind: String,
    errors: Vec<String>,
    still_ms: u64,
    played_ms: i64,
    pictures: usize,
    late: usize,
    is_done: bool,
    state: String,
}

/// Publishes `studio` and all cases at once, and plays each in every player. Then plays what a
/// relay served as files, and compares how many pictures each player shows of both.
///
/// # Panics
/// If a player gives up, stands still or skips pictures, or a playlist or fragment violates a rule.
pub async fn run(group: &str, studio: &Tape, cases: Vec<Case>) {
    let _turn = TURN.lock().await;
    let studio = Case::smooth(STUDIO, studio.clone());
    let cases = std::iter::once(studio).chain(cases).collect::<Vec<_>>();
    let cluster = Cluster::start(cases.len() as u16).await;
    let mut publishers = Vec::new();
    for case in &cases {
        publishers.push(case.tape.clone().play(cluster.rtmp(1), case.name).await);
    }
    let page = Page::open(group, &format!("http://{}/docs", cluster.http())).await;
    page.eventually("document.readyState === 'complete'").await;
    page.evaluate(&player_scripts()).await;
    let watches = cases.iter().zip(&publishers).enumerate();
    let watches =
        watches.map(|(at, (case, publisher))| watched(cluster.media(at + 1), case, publisher));
    let live = play_live(&page, &cluster, &cases, &publishers);
    let (live, seen) = tokio::join!(live, futures_util::future::join_all(watches));
    let files = play_files(&page, &cluster, &cases, &seen).await;
    for shown in live.iter().chain(&files) {
        println!("{group}: {shown:?}");
    }
    let complaints = live
        .iter()
        .filter_map(|shown| complaint(&cases, &seen, &live, &files, shown));
    let complaints: Vec<_> = complaints.collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    for (case, seen) in cases.iter().zip(seen) {
        let faults = match case.cannot_keep {
            Some(rule) => seen.faults.except(rule),
            None => seen.faults,
        };
        faults.assert_none(case.name);
    }
}

/// Checks the stream of `case` at a relay until everything has been published.
async fn watched(media: SocketAddr, case: &Case, publisher: &Playing) -> Seen {
    conformance::watch_while(media, case.name, |_| !publisher.is_over()).await
}

/// Plays all streams in all players until the publishers have finished.
async fn play_live(
    page: &Page,
    cluster: &Cluster,
    cases: &[Case],
    publishers: &[Playing],
) -> Vec<Shown> {
    for (at, case) in cases.iter().enumerate() {
        let media = cluster.media(at + 1);
        // Shaka cannot start before there are three complete segments: it looks into an open one,
        // which has no URI.
        eventually("three segments are listed", || async {
            let playlist = hls::playlist(media, case.name).await?;
            (playlist.matches("#EXTINF").count() >= 3).then_some(())
        })
        .await;
        for kind in PLAYERS
            .into_iter()
            .filter(|kind| !case.only_our_page || *kind == OUR_PAGE)
        {
            let url = match kind {
                OUR_PAGE => format!("/watch/{}?prefer={media}", case.name),
                _ => format!(
                    "http://{}/live/{}/index.m3u8",
                    door_to(media).await,
                    case.name
                ),
            };
            page.evaluate(&format!(
                "void contest.play('{}', '{kind}', '{url}')",
                case.name
            ))
            .await;
        }
    }
    eventually("all is published", || async {
        publishers.iter().all(Playing::is_over).then_some(())
    })
    .await;
    page.evaluate("contest.isOver = true").await;
    report(page).await
}

/// Plays what was `seen` of each case as a file.
async fn play_files(page: &Page, cluster: &Cluster, cases: &[Case], seen: &[Seen]) -> Vec<Shown> {
    page.evaluate("contest.clear()").await;
    for (at, (case, seen)) in cases.iter().zip(seen).enumerate() {
        if case.only_our_page {
            continue;
        }
        let path = format!("/live/{}/index.m3u8", case.name);
        let index = http::get(cluster.media(at + 1), &path).await;
        let file = file::serve(seen, index.expect("a playlist").body).await;
        for kind in FILE_PLAYERS {
            let url = format!("http://{file}/index.m3u8");
            page.evaluate(&format!(
                "void contest.play('{}', '{kind}', '{url}', {FILE_RATE})",
                case.name
            ))
            .await;
        }
    }
    report(page).await
}

/// Waits until all players are done, and returns what they have shown.
async fn report(page: &Page) -> Vec<Shown> {
    let deadline = Instant::now() + FINISH_WAIT;
    while page.evaluate("contest.isDone()").await != true && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    serde_json::from_value(page.evaluate("contest.report()").await).expect("the page reports")
}

/// Returns the scripts of hls.js, of Shaka, and of the contest.
fn player_scripts() -> String {
    static INSTALLED: Once = Once::new();
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let modules = here.join("node_modules");
    INSTALLED.call_once(|| {
        if !modules.exists() {
            let mut npm = Command::new("npm");
            let installed = npm
                .args(["ci", "--no-audit", "--no-fund"])
                .current_dir(&here)
                .status();
            assert!(
                installed.is_ok_and(|status| status.success()),
                "`npm ci` installs the players"
            );
        }
    });
    let text = |path: &str| {
        std::fs::read_to_string(here.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let hls = text("node_modules/hls.js/dist/hls.min.js");
    let shaka = text("node_modules/shaka-player/dist/shaka-player.hls.js");
    format!("{hls}\n;{shaka}\n;{{ {} }}\ntrue", text("players.js"))
}

/// Opens another port to a relay. A browser opens at most six connections to one port, and players
/// wait for theirs.
async fn door_to(media: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a free port");
    let door = listener.local_addr().expect("it has an address");
    tokio::spawn(async move {
        while let Ok((mut viewer, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut relay) = TcpStream::connect(media).await else {
                    return;
                };
                drop(copy_bidirectional(&mut viewer, &mut relay).await);
            });
        }
    });
    door
}

/// Returns what is wrong with what a player has shown of a live stream; `None` if nothing is.
fn complaint(
    cases: &[Case],
    seen: &[Seen],
    live: &[Shown],
    files: &[Shown],
    shown: &Shown,
) -> Option<String> {
    let at = cases.iter().position(|case| case.name == shown.name)?;
    let case = &cases[at];
    let studio = live
        .iter()
        .find(|studio| studio.name == STUDIO && studio.kind == shown.kind)?;
    let kind = if shown.kind == "shaka" {
        "shaka"
    } else {
        "normal"
    };
    let file = files
        .iter()
        .find(|file| file.name == shown.name && file.kind == kind);
    let file_percent = file.map_or(100, |file| file.pictures * 100 / seen[at].pictures().max(1));
    let percent = shown.percent(&case.tape);
    // A player that starts again counts its pictures from zero.
    let wanted = if case.only_our_page {
        case.shown_percent / 2
    } else {
        case.shown_percent
    };
    let is_shown = percent * 100 >= file_percent.min(100) * wanted;
    let is_file_played = file.is_none_or(|file| file.is_done && file.errors.is_empty());
    let moves = shown.still_ms <= case.still_ms + studio.still_ms + STILL_MS_MAX;
    let has_held = shown.errors.is_empty() || case.only_our_page;
    let is_fine =
        has_held && shown.is_done && is_shown && is_file_played && moves && shown.played_ms > 0;
    (!is_fine).then(|| {
        format!("{percent} % of the pictures in {shown:?}, {file_percent} % in the file {file:?}")
    })
}

impl Shown {
    /// Returns how many of the pictures of `tape` it has shown since it joined, in percent.
    fn percent(&self, tape: &Tape) -> usize {
        let joined_ms = tape.length_ms() - self.played_ms;
        let published = tape
            .pictures()
            .iter()
            .filter(|recorded_ms| **recorded_ms >= joined_ms)
            .count();
        (self.pictures + PICTURES_AT_THE_EDGES) * 100 / (published + PICTURES_AT_THE_EDGES)
    }
}
