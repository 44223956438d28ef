//! What each relay hop adds to the latency, with viewers on both ends of a tree of three.

use crate::fan_out::connect;
use crate::process::Network;
use crate::publisher::Publisher;
use crate::report::{Promise, Report};
use crate::stats::{median, percentile};
use crate::viewer::Viewer;
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;

const PER_HOP_MS: Promise = Promise {
    most: 10.0,
    aim: 2.0,
};
const RELAYS: usize = 3;
/// On the first, second and third relay.
const VIEWERS: [usize; RELAYS] = [95, 10, 95];
/// Viewers that look on each relay; a picture is there when half of them have it.
const LOOKING: usize = 5;
const SETTLE: Duration = Duration::from_secs(3);
const WINDOW: Duration = Duration::from_secs(15);

/// When each picture was there, by the time at which it was sent.
type Timetable = BTreeMap<u64, f64>;

/// Measures 1 → 2 and 2 → 3.
///
/// # Errors
/// If the network or a viewer fails.
pub async fn run(report: &mut Report) -> Result<()> {
    let network = Network::start(RELAYS).await?;
    let _publisher = Publisher::start(network.rtmp(1), "hop").await?;
    sleep(SETTLE).await;
    let mut relays = Vec::new();
    for (index, viewers) in VIEWERS.into_iter().enumerate() {
        relays.push(
            connect(
                network.media(index + 1),
                "/live/hop.flv",
                (viewers, LOOKING),
            )
            .await?,
        );
    }
    sleep(SETTLE).await;
    relays
        .iter()
        .flatten()
        .for_each(|viewer| drop(viewer.take_arrivals()));
    sleep(WINDOW).await;
    let tables: Vec<_> = relays.iter().map(|viewers| timetable(viewers)).collect();
    let mut added = Vec::new();
    for (number, pair) in tables.windows(2).enumerate() {
        let mut here = differences(&pair[0], &pair[1]);
        ensure!(
            !here.is_empty(),
            "no picture was seen on both ends of a hop"
        );
        let name = format!("200 viewers, relay {} to {}", number + 1, number + 2);
        report.note(
            &format!("{name}: added p50, ms"),
            percentile(&mut here, 0.5),
        );
        added.extend(here);
    }
    report.judge(
        "200 viewers, each hop: added p99, ms",
        percentile(&mut added, 0.99),
        &PER_HOP_MS,
    );
    Ok(())
}

fn timetable(viewers: &[Viewer]) -> Timetable {
    let mut seen = BTreeMap::<u64, Vec<f64>>::new();
    for arrival in viewers.iter().flat_map(Viewer::take_arrivals) {
        seen.entry(arrival.sent)
            .or_default()
            .push(arrival.latency_ms());
    }
    seen.into_iter()
        .map(|(sent, mut latencies)| (sent, median(&mut latencies)))
        .collect()
}

fn differences(near: &Timetable, far: &Timetable) -> Vec<f64> {
    far.iter()
        .filter_map(|(sent, far)| near.get(sent).map(|near| far - near))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_seen_on_both_ends_count() {
        let near = Timetable::from([(1, 2.0), (2, 2.0)]);
        let far = Timetable::from([(2, 3.5), (3, 9.0)]);
        assert_eq!(differences(&near, &far), [1.5]);
    }
}
