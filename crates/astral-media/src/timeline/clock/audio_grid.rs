//! The *grid*: the exact times of audio frames, computed from the sample rate.

/// An audio frame that begins at most this far from the end of the frame before it is moved to that
/// end. RTMP timestamps are off by up to 1 ms because they are rounded, and encoders add jitter.
const SNAP_MICROS: i64 = 15_000;

/// Moves audio frames to their exact times. Timestamps are rounded to milliseconds. A player that
/// followed them would click at every correction.
pub struct AudioGrid {
    sample_rate: u64,
    frame_samples: u64,
    /// A decoding time, and the number of frames since then.
    anchor: Option<(i64, u64)>,
}

impl AudioGrid {
    /// Creates a grid that begins with the next frame.
    pub fn new(sample_rate: u32, frame_samples: u32) -> Self {
        Self {
            sample_rate: sample_rate.max(1).into(),
            frame_samples: frame_samples.max(1).into(),
            anchor: None,
        }
    }

    /// Returns the duration of a frame, microseconds.
    pub fn frame_micros(&self) -> i64 {
        (self.frame_samples * 1_000_000 / self.sample_rate) as i64
    }

    /// Returns the end of the frame at `dts`. If that frame is on the grid, so is its end.
    pub fn end_of(&self, dts: i64) -> i64 {
        self.expected()
            .filter(|end| (1..=self.frame_micros() + 1).contains(&(end - dts)))
            .unwrap_or(dts + self.frame_micros())
    }

    /// The time of the next frame on the grid.
    fn expected(&self) -> Option<i64> {
        let (start, frames) = self.anchor?;
        Some(start + (frames * self.frame_samples * 1_000_000 / self.sample_rate) as i64)
    }

    /// Returns the time of the next frame on the grid if `at` is close to it. Otherwise the grid
    /// begins again at `at`.
    pub fn snap(&mut self, at: i64) -> i64 {
        let near = self
            .expected()
            .filter(|expected| (expected - at).abs() <= SNAP_MICROS);
        let Some(expected) = near else {
            self.anchor = Some((at, 1));
            return at;
        };
        self.anchor = self.anchor.map(|(start, frames)| (start, frames + 1));
        expected
    }
}
