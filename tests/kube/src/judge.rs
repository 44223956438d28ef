//! A drill, and what it may cost viewers of HLS.

use crate::report::{Flv, Hls, Row};
use crate::stage::Stage;
use anyhow::{bail, ensure};
use std::time::{Duration, Instant};

/// After each drill viewers are watched for this long.
const SETTLE: Duration = Duration::from_secs(6);

/// What a drill may cost the viewers of one pod.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Nothing at all.
    Nothing,
    /// Requests that fail and are made again.
    Retries,
}

/// Does `act`, and judges what it cost the viewers of each pod of `watchers`.
///
/// # Errors
/// If the viewers cannot be asked.
pub async fn drill(
    stage: &Stage,
    name: &str,
    watchers: &[(&str, Cost)],
    act: impl AsyncFnOnce(&Stage) -> anyhow::Result<String>,
) -> anyhow::Result<Row> {
    println!("...   {name}");
    let mut before = Vec::new();
    for (watcher, _) in watchers {
        before.push(stage.watched(watcher).await?);
    }
    let begun = Instant::now();
    let acted = act(stage).await;
    let mut row = Row::new(name, begun.elapsed());
    match acted {
        Ok(note) => row.note = note,
        Err(error) => row.failures.push(format!("{error:#}")),
    }
    tokio::time::sleep(SETTLE).await;
    for ((watcher, cost), before) in watchers.iter().zip(&before) {
        let after = stage.watched(watcher).await?;
        judge(
            &mut row,
            &format!("{watcher}, parts"),
            *cost,
            &before.parts,
            &after.parts,
        );
        judge(
            &mut row,
            &format!("{watcher}, segments"),
            *cost,
            &before.segments,
            &after.segments,
        );
    }
    Ok(row)
}

fn judge(row: &mut Row, kind: &str, cost: Cost, before: &Hls, after: &Hls) {
    let frames = after.frames - before.frames;
    let lost = (after.lost - before.lost) + (after.disorder - before.disorder);
    let errors = after.errors - before.errors;
    row.frames += frames;
    row.lost += lost;
    row.errors += errors;
    if frames == 0 {
        row.failures.push(format!("{kind}: no frame was seen"));
    }
    if lost > 0 || (errors > 0 && cost == Cost::Nothing) {
        let said = after
            .complaints
            .iter()
            .skip(before.complaints.len())
            .take(6);
        let said: Vec<_> = said.map(String::as_str).collect();
        row.failures.push(format!(
            "{kind}: {lost} holes, {errors} errors: {}",
            said.join("; ")
        ));
    }
}

/// Sees that a viewer of HTTP-FLV at another relay than the one that was harmed has noticed nothing.
///
/// # Errors
/// With what it noticed.
pub fn undisturbed(flv: &Flv) -> anyhow::Result<String> {
    if let Some(why) = flv.fault.as_ref().or(flv.ended.as_ref()) {
        bail!("a viewer of HTTP-FLV at another relay: {why}");
    }
    ensure!(
        flv.frames > 100,
        "a viewer of HTTP-FLV saw {} frames",
        flv.frames
    );
    Ok(format!(
        "FLV at another relay: {} frames, longest gap {} ms",
        flv.frames, flv.longest_gap_ms
    ))
}
