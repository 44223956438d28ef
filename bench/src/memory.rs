//! What one more viewer costs in memory.

use crate::fan_out::connect;
use crate::process::Network;
use crate::publisher::Publisher;
use crate::report::{Promise, Report};
use anyhow::Result;
use std::time::Duration;
use tokio::time::sleep;

const PER_VIEWER_KIB: Promise = Promise {
    most: 64.0,
    aim: 16.0,
};
const VIEWERS: usize = 500;
/// Until the cache of the stream holds all it will.
const FILL: Duration = Duration::from_secs(15);
const SETTLE: Duration = Duration::from_secs(5);

/// Measures viewers that keep up.
///
/// # Errors
/// If the network or a viewer fails.
pub async fn run(report: &mut Report) -> Result<()> {
    let network = Network::start(1).await?;
    let _publisher = Publisher::start(network.rtmp(1), "memory").await?;
    sleep(FILL).await;
    let before = network.server.resident_bytes()?;
    let _viewers = connect(network.media(1), "/live/memory.flv", (VIEWERS, 0)).await?;
    sleep(SETTLE).await;
    let grown = network.server.resident_bytes()? - before;
    let each = grown / VIEWERS as f64 / 1024.0;
    report.judge("memory per viewer, KiB", each, &PER_VIEWER_KIB);
    Ok(())
}
