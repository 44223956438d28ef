//! How well a publisher sends: what an encoder's owner wants to know, reckoned frame by frame and told once a second.

use astral_media::frame::{Media, Track};
use astral_media::timeline::Input;
use astral_proto::{NodeId, Slug};
use std::time::Duration;
use tokio::time::Instant;

/// How often it is told.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// A frame is late that comes this much later after its time than the promptest frame did.
const LATE: Duration = Duration::from_millis(500);
/// How much later the promptest frame may be each second, for a clock that is a little slower than ours: 0.1 %.
const DRIFT_MICROS: i64 = 1_000;

/// The health of one publish.
pub struct IngestHealth {
    node: String,
    slug: String,
    started: Instant,
    counts: Counts,
    told: Counts,
    told_at: Instant,
    keyframe_dts: Option<u64>,
    keyframe_interval_us: Option<u64>,
    /// Of the promptest frame, microseconds.
    least_lag: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    inputs: u64,
    frames: u64,
    pictures: u64,
    late: u64,
    jumps: u64,
    /// Frames that no input stands behind.
    stand_ins: u64,
}

impl IngestHealth {
    /// Of a publish of `slug` that begins now.
    pub fn new(node: NodeId, slug: &Slug) -> Self {
        let now = Instant::now();
        Self {
            node: node.to_string(),
            slug: slug.to_string(),
            started: now,
            counts: Counts::default(),
            told: Counts::default(),
            told_at: now,
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

    /// The timeline has made `media` of it. So far it has removed `jumps` jumps of the publisher's clock, and has put
    /// `stand_ins` frames in the place of a track that did not come.
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
        self.tell_if_due();
    }

    fn take_lag(&mut self, lag: i64) {
        let least = self.least_lag.map_or(lag, |least| least.min(lag));
        self.least_lag = Some(least);
        self.counts.late += u64::from(lag - least > LATE.as_micros() as i64);
    }

    fn tell_if_due(&mut self) {
        let since = self.told_at.elapsed();
        if since >= TELL_EVERY {
            self.tell(since);
            self.told = self.counts;
            self.least_lag = self.least_lag.map(|least| least + DRIFT_MICROS);
            self.told_at = Instant::now();
        }
    }

    fn tell(&self, since: Duration) {
        let of_stream = [("node", self.node.clone()), ("slug", self.slug.clone())];
        let pictures = self.counts.pictures - self.told.pictures;
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
            self.counts.frames - self.told.frames,
        );
        counter(
            "astral_ingest_frames_late_total",
            self.counts.late - self.told.late,
        );
        counter(
            "astral_ingest_timestamp_jumps_total",
            self.counts.jumps - self.told.jumps,
        );
        counter(
            "astral_ingest_frames_dropped_total",
            self.counts.dropped().saturating_sub(self.told.dropped()),
        );
    }
}

impl Counts {
    /// What no frame was made of. What is held back at the start is not lost, but counted until it is out.
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
    async fn frames_are_late_that_come_later_after_their_time_than_others_did() {
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
