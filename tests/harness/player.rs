//! Real players: ffmpeg and ffprobe.

use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Longest time for a player.
const PLAYER_WAIT: Duration = Duration::from_secs(60);
/// Decodes everything and writes nothing.
const INTO_NOTHING: [&str; 3] = ["-f", "null", "-"];

/// Decodes `seconds` of the media at `url`.
///
/// # Panics
/// If ffmpeg prints an error or fails.
pub async fn decode(url: &str, seconds: u32) {
    let seconds = seconds.to_string();
    let input = ["-v", "error", "-i", url, "-t", &seconds];
    let output = run("ffmpeg", &[&input[..], &INTO_NOTHING].concat()).await;
    refuse_complaints(url, &output);
}

/// Decodes all of `bytes`.
///
/// # Panics
/// If ffmpeg prints an error or fails.
pub async fn decode_bytes(what: &str, bytes: &[u8]) {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-i", "-"])
        .args(INTO_NOTHING)
        .kill_on_drop(true);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut player = command.spawn().expect("a player starts");
    let mut input = player.stdin.take().expect("it is piped");
    let (fed, output) = tokio::join!(
        async move { input.write_all(bytes).await },
        tokio::time::timeout(PLAYER_WAIT, player.wait_with_output())
    );
    fed.expect("the player takes it all");
    refuse_complaints(
        what,
        &output.expect("it ends").expect("it can be waited for"),
    );
}

/// Returns the sorted codecs of the tracks at `url`, such as `["aac", "h264"]`. RTMP commands,
/// which ffprobe shows as data, are not included.
///
/// # Panics
/// If ffprobe prints an error or fails.
pub async fn probe(url: &str) -> Vec<String> {
    let entries = [
        "-v",
        "error",
        "-show_entries",
        "stream=codec_name,codec_type",
        "-of",
        "csv=p=0",
        url,
    ];
    let output = run("ffprobe", &entries).await;
    refuse_complaints(url, &output);
    let text = String::from_utf8_lossy(&output.stdout);
    let tracks = text
        .lines()
        .filter_map(|line| line.split_once(','))
        .filter(|(_, kind)| *kind != "data");
    let mut codecs: Vec<_> = tracks.map(|(codec, _)| codec.to_owned()).collect();
    codecs.sort();
    codecs.dedup();
    codecs
}

async fn run(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    let running = command.args(arguments).kill_on_drop(true).output();
    let output = tokio::time::timeout(PLAYER_WAIT, running).await;
    output
        .unwrap_or_else(|_| panic!("{program} {arguments:?} takes over {PLAYER_WAIT:?}"))
        .expect("a player starts")
}

fn refuse_complaints(url: &str, output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.trim().is_empty() && output.status.success(),
        "{url}: {}: {said}",
        output.status
    );
}
