//! Plays streams in several players side by side, in one browser: hls.js in both of its modes,
//! Shaka, and our own page.

use crate::page::Page;
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
/// The pictures that every player must show, in percent of those that it shows of the studio
/// stream. Pictures at the start and in the last half second are counted only roughly.
const SHOWN_PERCENT: usize = 85;
/// How many pictures at the edges may be counted or not.
const PICTURES_AT_THE_EDGES: usize = 2;
/// How much longer a picture may stand still than in the studio stream, milliseconds.
const STILL_MS_MAX: u64 = 1_000;
/// The stream that all others are compared with.
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
}

impl Case {
    /// A stream at which no player may stand still.
    pub fn smooth(name: &'static str, tape: Tape) -> Self {
        Self {
            name,
            tape,
            still_ms: 0,
            only_our_page: false,
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

/// Publishes `studio` and all cases at once, and plays each in every player. Compares what a player
/// shows with what was published, and with what it shows of `studio`.
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
    let watches = cases.iter().zip(&publishers).enumerate();
    let watches =
        watches.map(|(at, (case, publisher))| watched(cluster.media(at + 1), case, publisher));
    let plays = play(group, &cluster, &cases, &publishers);
    let (shown, faults) = tokio::join!(plays, futures_util::future::join_all(watches));
    let complaints: Vec<_> = shown
        .iter()
        .filter_map(|one| complaint(&cases, &shown, one))
        .collect();
    for shown in &shown {
        println!("{group}: {shown:?}");
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    for (case, faults) in cases.iter().zip(faults) {
        faults.assert_none(case.name);
    }
}

/// Checks the stream of `case` at a relay until everything has been published.
async fn watched(media: SocketAddr, case: &Case, publisher: &Playing) -> conformance::Faults {
    conformance::watch_while(media, case.name, |_| !publisher.is_over())
        .await
        .faults
}

async fn play(
    group: &str,
    cluster: &Cluster,
    cases: &[Case],
    publishers: &[Playing],
) -> Vec<Shown> {
    let page = Page::open(group, &format!("http://{}/docs", cluster.http())).await;
    page.eventually("document.readyState === 'complete'").await;
    page.evaluate(&player_scripts()).await;
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

/// Returns what is wrong with what a player has shown; `None` if nothing is.
fn complaint(cases: &[Case], all: &[Shown], shown: &Shown) -> Option<String> {
    let case = |name: &str| cases.iter().find(|case| case.name == name);
    let own = case(&shown.name)?;
    let studio = all
        .iter()
        .find(|studio| studio.name == STUDIO && studio.kind == shown.kind)?;
    let percent = shown.percent(&own.tape);
    // A player that starts again counts its pictures from zero.
    let wanted = if own.only_our_page {
        SHOWN_PERCENT / 2
    } else {
        SHOWN_PERCENT
    };
    let is_shown = percent * 100 >= studio.percent(&case(STUDIO)?.tape).min(100) * wanted;
    let moves = shown.still_ms <= own.still_ms + studio.still_ms + STILL_MS_MAX;
    let has_held = shown.errors.is_empty() || own.only_our_page;
    let is_fine = has_held && shown.is_done && is_shown && moves && shown.played_ms > 0;
    (!is_fine).then(|| format!("{percent} % of the pictures in {shown:?}"))
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
