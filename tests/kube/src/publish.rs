//! A publisher as people run one: ffmpeg, started again at once when its connection is lost.

use std::time::Duration;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// Between two starts of ffmpeg.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
pub struct Args {
    /// Where to publish to, with the stream's name and key
    #[arg(long)]
    url: String,
}

/// Publishes until told to stop.
///
/// # Errors
/// If there is no ffmpeg.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let mut stop = signal(SignalKind::terminate())?;
    let publishing = async {
        loop {
            println!("publishing");
            let ended = ffmpeg(&args.url).status().await?;
            println!("ffmpeg ended: {ended}");
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        _ = stop.recv() => Ok(()),
        failed = publishing => failed,
    }
}

fn ffmpeg(url: &str) -> Command {
    use harness::publisher::{CODED, PICTURES, TONE};
    let mut command = Command::new("ffmpeg");
    command.args("-hide_banner -loglevel error -re".split_whitespace());
    for arguments in [PICTURES, TONE, CODED] {
        command.args(arguments.split_whitespace());
    }
    // A relay that dies without a goodbye is given up soon, as OBS does.
    command
        .args(["-rw_timeout", "3000000", "-f", "flv", url])
        .kill_on_drop(true);
    command
}
