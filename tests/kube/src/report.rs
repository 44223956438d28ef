//! What viewers say of themselves, and the table that is printed at the end.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How one HLS viewer fares, counted since it began.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Hls {
    /// Samples seen.
    pub frames: u64,
    /// Holes in the log.
    pub lost: u64,
    /// Steps back in decoding time.
    pub disorder: u64,
    /// Answers that a player would see as an error.
    pub errors: u64,
    /// Kept connections that turned out closed.
    pub reconnects: u64,
    /// Publishes seen.
    pub epochs: u64,
    /// The newest complaints, of all kinds.
    pub complaints: Vec<String>,
}

/// What the pod of the viewers prints every second.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Watched {
    /// Low latency: part by part, over a kept connection.
    pub parts: Hls,
    /// Segment by segment, each request over a connection of its own.
    pub segments: Hls,
}

/// How a viewer of HTTP-FLV fared.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Flv {
    pub frames: usize,
    /// A complaint about decoding times; the frames of another viewer decide whether one is lost.
    pub fault: Option<String>,
    /// How it ended before its time.
    pub ended: Option<String>,
    pub longest_gap_ms: u64,
}

/// What came of one drill.
pub struct Row {
    pub drill: String,
    pub took: Duration,
    pub frames: u64,
    pub lost: u64,
    pub errors: u64,
    pub note: String,
    /// Why it failed.
    pub failures: Vec<String>,
}

impl Row {
    /// Of a drill in which nobody watched.
    pub fn new(drill: &str, took: Duration) -> Self {
        let drill = drill.to_owned();
        let note = String::new();
        Self {
            drill,
            took,
            frames: 0,
            lost: 0,
            errors: 0,
            note,
            failures: Vec::new(),
        }
    }
}

/// Prints what came of all of them; how many failed.
pub fn print(rows: &[Row]) -> usize {
    println!(
        "\n{:<44} {:>7} {:>8} {:>5} {:>7}  verdict",
        "drill", "took", "frames", "lost", "errors"
    );
    for row in rows {
        let verdict = if row.failures.is_empty() {
            "pass"
        } else {
            "FAIL"
        };
        let took = format!("{:.1} s", row.took.as_secs_f64());
        let frames = row.frames;
        let lost = row.lost;
        let errors = row.errors;
        println!(
            "{:<44} {took:>7} {frames:>8} {lost:>5} {errors:>7}  {verdict}  {}",
            row.drill, row.note
        );
        for failure in &row.failures {
            println!("    {failure}");
        }
    }
    rows.iter().filter(|row| !row.failures.is_empty()).count()
}
