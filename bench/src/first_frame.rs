//! How long a viewer waits for its first picture.

use crate::process::Network;
use crate::publisher::Publisher;
use crate::report::{Promise, Report};
use crate::stats::percentile;
use crate::viewer::Viewer;
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const HERE_MS: Promise = Promise {
    most: 100.0,
    aim: 50.0,
};
const AWAY_MS: Promise = Promise {
    most: 500.0,
    aim: 200.0,
};
/// Viewers of a stream that is on the relay already.
const HERE: usize = 40;
/// Streams that the relay must fetch, each asked for once.
const AWAY: usize = 10;
/// Of all viewers that are held against the promise.
const SHARE: f64 = 0.95;
const SETTLE: Duration = Duration::from_secs(4);
const WAIT: Duration = Duration::from_secs(10);
/// Between two viewers, so that they meet every part of a GOP.
const SPACING: Duration = Duration::from_millis(73);

/// Measures both.
///
/// # Errors
/// If the network or a viewer fails.
pub async fn run(report: &mut Report) -> Result<()> {
    let network = Network::start(3).await?;
    let mut publishers = Vec::new();
    for index in 0..AWAY {
        publishers.push(Publisher::start(network.rtmp(1), &format!("first-{index}")).await?);
    }
    sleep(SETTLE).await;
    let here = (0..HERE).map(|_| "/live/first-0.flv".to_owned());
    let mut waits = first_pictures(network.media(1), here).await?;
    report.judge(
        "first picture, stream on the relay: p95, ms",
        percentile(&mut waits, SHARE),
        &HERE_MS,
    );
    let away = (0..AWAY).map(|index| format!("/live/first-{index}.flv"));
    let mut waits = first_pictures(network.media(3), away).await?;
    report.judge(
        "first picture, stream two hops away: p95, ms",
        percentile(&mut waits, SHARE),
        &AWAY_MS,
    );
    Ok(())
}

async fn first_pictures(
    relay: SocketAddr,
    targets: impl Iterator<Item = String>,
) -> Result<Vec<f64>> {
    let mut waits = Vec::new();
    for target in targets {
        let asked = Instant::now();
        let seen = async { Viewer::looking(relay, &target).await?.first_picture().await };
        timeout(WAIT, seen).await.context("no first picture")??;
        waits.push(asked.elapsed().as_secs_f64() * 1e3);
        sleep(SPACING).await;
    }
    Ok(waits)
}
