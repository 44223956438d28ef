//! A viewer of HTTP-FLV at one relay: the harness's own, which checks every frame.

use crate::report::Flv;
use anyhow::Context;
use harness::Viewer;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

#[derive(clap::Args)]
pub struct Args {
    /// The media listener of one relay
    #[arg(long)]
    media: SocketAddr,
    /// The stream
    #[arg(long)]
    slug: String,
    /// How long to watch
    #[arg(long)]
    seconds: u64,
}

/// Between two looks at the viewer.
const LOOK: Duration = Duration::from_millis(100);

/// Watches, then prints one line.
///
/// # Errors
/// If the line cannot be made.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let begun = Instant::now();
    let viewer = Viewer::start(args.media, &args.slug);
    while begun.elapsed() < Duration::from_secs(args.seconds) && viewer.ending().is_none() {
        tokio::time::sleep(LOOK).await;
    }
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| viewer.frames().len()));
    let report = Flv {
        frames: viewer.count(),
        fault: checked
            .err()
            .map(|_| "decoding times do not rise".to_owned()),
        ended: viewer.ending().map(|ending| format!("{ending:?}")),
        longest_gap_ms: viewer.longest_gap(begun).as_millis() as u64,
    };
    println!(
        "{}",
        serde_json::to_string(&report).context("a report is JSON")?
    );
    Ok(())
}
