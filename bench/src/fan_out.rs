//! What it costs to send one stream to many HTTP-FLV viewers, against a bare loop that writes the same bytes.

use crate::process::{Network, Server, bare_loop};
use crate::publisher::Publisher;
use crate::report::{Promise, Report};
use crate::source;
use crate::stats::{median, percentile};
use crate::viewer::Viewer;
use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::sleep;

/// Of the CPU of the bare loop.
const RATIO: Promise = Promise {
    most: 2.0,
    aim: 1.15,
};
/// Viewers that look at what they read, spread over the others.
const LOOKING: usize = 10;
/// Between the start of the stream and the first viewer.
const SETTLE: Duration = Duration::from_secs(2);
/// For each viewer before the measurement: its backlog of up to one GOP goes out first.
const CATCH_UP: Duration = Duration::from_millis(12);
/// Of the mean; a viewer that got less was starved, and the server's figures are worth nothing.
const FAIR_SHARE: f64 = 0.8;
/// How often a measurement that other work has spoilt is tried.
const ATTEMPTS: usize = 3;
const SLUG: &str = "fan-out";

/// What is measured.
#[derive(clap::Args)]
pub struct Args {
    /// How many viewers
    #[arg(long, value_delimiter = ',', default_values_t = [50, 200, 500])]
    viewers: Vec<usize>,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// How often the loop and the relay are measured one after the other; the median counts
    #[arg(long, default_value_t = 3)]
    pairs: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            viewers: vec![50, 200, 500],
            seconds: 4,
            pairs: 3,
        }
    }
}

struct Mode {
    name: &'static str,
    target: String,
    /// Video frames in one write of the loop.
    frames: usize,
}

/// What one measurement gave.
struct Measured {
    cpu_seconds_per_gbit: f64,
    latencies_ms: Vec<f64>,
}

/// Measures every count of viewers in both modes.
///
/// # Errors
/// If a server or a viewer fails.
pub async fn run(args: &Args, report: &mut Report) -> Result<()> {
    let network = Network::start(1).await?;
    let _publisher = Publisher::start(network.rtmp(1), SLUG).await?;
    sleep(SETTLE).await;
    for &viewers in &args.viewers {
        for (name, frames) in [("low", 1), ("economy", 3)] {
            let mode = Mode {
                name,
                target: format!("/live/{SLUG}.flv?latency={name}"),
                frames,
            };
            compare(&network, &mode, viewers, args, report).await?;
        }
    }
    Ok(())
}

async fn compare(
    network: &Network,
    mode: &Mode,
    viewers: usize,
    args: &Args,
    report: &mut Report,
) -> Result<()> {
    let (bare, bare_address) = bare_loop(&source::file()?, mode.frames).await?;
    let window = Duration::from_secs(args.seconds);
    let mut bares = vec![];
    let mut relays = vec![];
    let mut ratios = vec![];
    let mut latencies = vec![];
    for _ in 0..args.pairs.max(1) {
        let bare = Subject {
            name: "bare loop",
            server: &bare,
            address: bare_address,
            looking: 0,
        };
        let relay = Subject {
            name: "relay",
            server: &network.server,
            address: network.media(1),
            looking: LOOKING,
        };
        let floor = bare.measure(&mode.target, viewers, window).await?;
        let relay = relay.measure(&mode.target, viewers, window).await?;
        ratios.push(relay.cpu_seconds_per_gbit / floor.cpu_seconds_per_gbit);
        bares.push(floor.cpu_seconds_per_gbit);
        relays.push(relay.cpu_seconds_per_gbit);
        latencies.extend(relay.latencies_ms);
    }
    let name = format!("{viewers} viewers, {}", mode.name);
    report.note(
        &format!("{name}: bare loop, CPU s/Gbit"),
        median(&mut bares),
    );
    report.note(&format!("{name}: relay, CPU s/Gbit"), median(&mut relays));
    report.judge(
        &format!("{name}: relay / bare loop"),
        median(&mut ratios),
        &RATIO,
    );
    report.note(
        &format!("{name}: latency p50, ms"),
        percentile(&mut latencies, 0.5),
    );
    report.note(
        &format!("{name}: latency p99, ms"),
        percentile(&mut latencies, 0.99),
    );
    Ok(())
}

/// A server under measurement.
struct Subject<'a> {
    name: &'static str,
    server: &'a Server,
    address: SocketAddr,
    /// How many of its viewers look.
    looking: usize,
}

impl Subject<'_> {
    /// Measures again where other work on the machine starved viewers.
    async fn measure(&self, target: &str, viewers: usize, window: Duration) -> Result<Measured> {
        for _ in 1..ATTEMPTS {
            match self.try_measure(target, viewers, window).await {
                Ok(measured) => return Ok(measured),
                Err(error) => eprintln!("{}: {error}: once more", self.name),
            }
        }
        self.try_measure(target, viewers, window)
            .await
            .context(self.name)
    }

    async fn try_measure(
        &self,
        target: &str,
        viewers: usize,
        window: Duration,
    ) -> Result<Measured> {
        let viewers = connect(self.address, target, (viewers, self.looking)).await?;
        sleep(CATCH_UP * viewers.len() as u32).await;
        let before: Vec<_> = viewers.iter().map(Viewer::bytes).collect();
        viewers
            .iter()
            .for_each(|viewer| drop(viewer.take_arrivals()));
        let cpu_before = self.server.cpu_seconds()?;
        sleep(window).await;
        let cpu_seconds = self.server.cpu_seconds()? - cpu_before;
        let got: Vec<_> = viewers
            .iter()
            .zip(before)
            .map(|(viewer, before)| viewer.bytes() - before)
            .collect();
        let total = check_shares(&got)?;
        let arrivals = viewers.iter().flat_map(Viewer::take_arrivals);
        Ok(Measured {
            cpu_seconds_per_gbit: cpu_seconds / (total * 8.0 / 1e9),
            latencies_ms: arrivals.map(|arrival| arrival.latency_ms()).collect(),
        })
    }
}

/// Bytes in all, if every viewer had its share.
fn check_shares(got: &[u64]) -> Result<f64> {
    let total: u64 = got.iter().sum();
    let mean = total as f64 / got.len() as f64;
    let starved = got
        .iter()
        .filter(|&&bytes| (bytes as f64) < mean * FAIR_SHARE)
        .count();
    ensure!(
        total > 0 && starved == 0,
        "{starved} of {} viewers got less than their share",
        got.len()
    );
    Ok(total as f64)
}

/// Connects so many viewers, those that look spread over the others.
///
/// # Errors
/// If one gets nothing.
pub async fn connect(
    address: SocketAddr,
    target: &str,
    count: (usize, usize),
) -> Result<Vec<Viewer>> {
    let (all, looking) = count;
    let every = all.checked_div(looking).unwrap_or(usize::MAX);
    let mut viewers = Vec::with_capacity(all);
    for index in 0..all {
        viewers.push(match index % every == every / 2 {
            true => Viewer::looking(address, target).await?,
            false => Viewer::discarding(address, target).await?,
        });
    }
    for viewer in &viewers {
        viewer.begun().await?;
    }
    Ok(viewers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_starved_viewer_spoils_the_measurement() {
        assert_eq!(check_shares(&[100, 100, 90]).unwrap(), 290.0);
        assert!(check_shares(&[100, 100, 10]).is_err());
        assert!(check_shares(&[0, 0]).is_err());
    }
}
