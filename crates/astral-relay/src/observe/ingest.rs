//! How well a publisher sends: counted frame by frame, and recorded once a second.

use astral_media::frame::{Media, Track};
use astral_media::timeline::Input;
use astral_proto::{NodeId, Slug};
use std::time::Duration;
use tokio::time::Instant;

/// How often metrics are recorded.
const RECORD_EVERY: Duration = Duration::from_secs(1);
/// A frame is late if its delay exceeds the smallest one seen by this much.
const LATE: Duration = Duration::from_millis(500);
/// How much the smallest delay may grow each second, because the clock of the publisher may be a
/// little slower than ours: 0.1 %, in microseconds.
const DRIFT_MICROS: i64 = 1_000;

/// The health of one publish.
pub struct IngestHealth {
    node: String,
    slug: String,
    started: Instant,
    counts: Counts,
    recorded: Counts,
    recorded_at: Instant,
    keyframe_dts: Option<u64>,
    keyframe_interval_us: Option<u64>,
    /// The smallest delay seen, microseconds.
    least_lag: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    inputs: u64,
    frames: u64,
    pictures: u64,
    late: u64,
    jumps: u64,
    /// Frames that the timeline made up.
    stand_ins: u64,
}

impl IngestHealth {
    /// A publish of `slug` that begins now.
    pub fn new(node: NodeId, slug: &Slug) -> Self {
        let now = Instant::now();
        Self {
            node: node.to_string(),
            slug: slug.to_string(),
            started: now,
            counts: Counts::default(),
            recorded: Counts::default(),
            recorded_at: now,
            keyframe_dts: None,
            keyframe_interval_us: None,
            least_lag: None,
        }
    }

    /// The publisher has sent `input`.
    pub fn sent(&mut self, input: &Input) {
        let is_media = matches!(input, Input::Video { .. } | Input::Audio { .. });
        self.counts.inputs += u64::from(is_media);
    }

    /// The timeline has made `media`. Since the publish began, it has removed `jumps` jumps of the
    /// publisher's clock and made `stand_ins` frames for a track that did not come.
    pub fn made(&mut self, media: &[Media], jumps: u64, stand_ins: u64) {
        self.counts.jumps = jumps;
        self.counts.stand_ins = stand_ins;
        let elapsed = self.started.elapsed().as_micros() as i64;
        for frame in media.iter().filter_map(|media| match media {
            Media::Frame(frame) if frame.track != Track::Data => Some(frame),
            _ => None,
        }) {
            self.counts.frames += 1;
            self.take_lag(elapsed - frame.dts as i64);
            if frame.track == Track::Video {
                self.counts.pictures += 1;
                if frame.keyframe {
                    let before = self.keyframe_dts.replace(frame.dts);
                    self.keyframe_interval_us = before
                        .map(|before| frame.dts - before)
                        .or(self.keyframe_interval_us);
                }
            }
        }
        self.record_if_due();
    }

    fn take_lag(&mut self, lag: i64) {
        let least = self.least_lag.map_or(lag, |least| least.min(lag));
        self.least_lag = Some(least);
        self.counts.late += u64::from(lag - least > LATE.as_micros() as i64);
    }

    fn record_if_due(&mut self) {
        let since = self.recorded_at.elapsed();
        if since >= RECORD_EVERY {
            self.record_metrics(since);
            self.recorded = self.counts;
            self.least_lag = self.least_lag.map(|least| least + DRIFT_MICROS);
            self.recorded_at = Instant::now();
        }
    }

    fn record_metrics(&self, since: Duration) {
        let of_stream = [("node", self.node.clone()), ("slug", self.slug.clone())];
        let pictures = self.counts.pictures - self.recorded.pictures;
        metrics::gauge!("astral_ingest_fps", &of_stream).set(pictures as f64 / since.as_secs_f64());
        if let Some(interval) = self.keyframe_interval_us {
            metrics::gauge!("astral_ingest_keyframe_interval_seconds", &of_stream)
                .set(interval as f64 / 1e6);
        }
        let counter = |name: &'static str, count: u64| {
            metrics::counter!(name, "node" => self.node.clone()).increment(count);
        };
        counter(
            "astral_ingest_frames_total",
            self.counts.frames - self.recorded.frames,
        );
        counter(
            "astral_ingest_frames_late_total",
            self.counts.late - self.recorded.late,
        );
        counter(
            "astral_ingest_timestamp_jumps_total",
            self.counts.jumps - self.recorded.jumps,
        );
        counter(
            "astral_ingest_frames_dropped_total",
            self.counts
                .dropped()
                .saturating_sub(self.recorded.dropped()),
        );
    }
}

impl Counts {
    /// Inputs of which no frame was made. Frames that are held back at the start count until they
    /// leave.
    fn dropped(self) -> u64 {
        self.inputs
            .saturating_sub(self.frames.saturating_sub(self.stand_ins))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn health() -> IngestHealth {
        IngestHealth::new(NodeId::random(), &"demo".parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_is_late_if_its_delay_is_half_a_second_above_the_smallest() {
        let mut health = health();
        // Each frame lasts 0.4 s.
        for (number, late) in [(0, 0), (1, 0), (2, 0)] {
            health.made(&[Media::Frame(testing::frame(0, number))], 0, 0);
            assert_eq!(health.counts.late, late);
            tokio::time::advance(Duration::from_millis(400)).await;
        }
        tokio::time::advance(Duration::from_millis(501)).await;
        health.made(&[Media::Frame(testing::frame(0, 3))], 0, 0);
        assert_eq!(health.counts.late, 1);
        assert_eq!(health.counts.pictures, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn the_keyframe_interval_is_that_of_the_last_two() {
        let mut health = health();
        for gop in 0..3 {
            health.made(
                &[
                    Media::Frame(testing::frame(gop, 0)),
                    Media::Frame(testing::frame(gop, 1)),
                ],
                0,
                0,
            );
        }
        assert_eq!(health.keyframe_interval_us, Some(2_000_000));
    }
}
