//! From a publisher's wrapping milliseconds to the stream's microseconds, strictly increasing in each track.

/// A step back further than this, or ahead further than [`JUMP_AHEAD_MS`], is a publisher that reset its clock.
const JUMP_BACK_MS: i64 = 1_000;
const JUMP_AHEAD_MS: i64 = 10_000;
/// What a frame lasts when nothing else tells.
const NOMINAL_MICROS: u64 = 33_333;
/// Frames of a track are never closer than this: FLV and RTMP count milliseconds, and those must rise too.
const STEP_MIN_MICROS: u64 = 1_000;
/// Audio this close to where the last frame ended is put right there: RTMP's milliseconds jitter by one.
const SNAP_MICROS: u64 = 15_000;

#[derive(Default)]
struct Last {
    dts: Option<u64>,
    interval: u64,
}

impl Last {
    fn next(&mut self, dts: u64) -> u64 {
        let Some(before) = self.dts else {
            self.dts = Some(dts);
            return dts;
        };
        let dts = dts.max(before + STEP_MIN_MICROS);
        self.interval = dts - before;
        self.dts = Some(dts);
        dts
    }
}

struct AudioGrid {
    sample_rate: u64,
    frame_samples: u64,
    anchor: Option<(u64, u64)>,
}

/// The clock of one publish.
pub struct Clock {
    first_dts: u64,
    last_timestamp: Option<u32>,
    /// Milliseconds since the first timestamp; may be a little negative.
    elapsed_ms: i64,
    video: Last,
    audio: Last,
    grid: AudioGrid,
}

impl Clock {
    pub fn new(first_dts: u64) -> Self {
        let grid = AudioGrid { sample_rate: 48_000, frame_samples: 1024, anchor: None };
        Self {
            first_dts,
            last_timestamp: None,
            elapsed_ms: 0,
            video: Last::default(),
            audio: Last::default(),
            grid,
        }
    }

    pub fn set_audio_rate(&mut self, sample_rate: u32, frame_samples: u32) {
        let grid = (u64::from(sample_rate.max(1)), u64::from(frame_samples.max(1)));
        self.grid = AudioGrid { sample_rate: grid.0, frame_samples: grid.1, anchor: None };
    }

    pub fn video(&mut self, timestamp_ms: u32) -> u64 {
        let dts = self.micros(timestamp_ms);
        self.video.next(dts)
    }

    pub fn audio(&mut self, timestamp_ms: u32) -> u64 {
        let raw = self.micros(timestamp_ms);
        let dts = self.grid.snap(raw);
        self.audio.next(dts)
    }

    /// The end of the frame that ends last.
    pub fn end_dts(&self) -> u64 {
        let video = self.video.dts.map(|dts| dts + self.video_duration());
        let audio = self.audio.dts.map(|dts| dts + self.grid.frame_micros());
        video.max(audio).unwrap_or(self.first_dts)
    }

    /// Durations of the last video and audio frames of a GOP that ends where the next begins at `next_dts`.
    pub fn last_durations(&self, tracks: [bool; 2], next_dts: Option<u64>) -> (u32, u32) {
        let video = match (self.video.dts, next_dts) {
            // A video frame starts the next GOP and has been timed already.
            (Some(last), Some(next)) if next == last => self.video.interval,
            _ => self.video_duration(),
        };
        let video = if tracks[0] { video.min(u64::from(u32::MAX)) as u32 } else { 0 };
        let audio = if tracks[1] { self.grid.frame_micros() as u32 } else { 0 };
        (video, audio)
    }

    fn video_duration(&self) -> u64 {
        if self.video.interval == 0 { NOMINAL_MICROS } else { self.video.interval }
    }

    fn micros(&mut self, timestamp_ms: u32) -> u64 {
        let step = self.last_timestamp.map_or(0, |last| i64::from(timestamp_ms.wrapping_sub(last) as i32));
        self.last_timestamp = Some(timestamp_ms);
        if (-JUMP_BACK_MS..=JUMP_AHEAD_MS).contains(&step) {
            self.elapsed_ms += step;
        } else {
            let end = self.end_dts().saturating_sub(self.first_dts);
            self.elapsed_ms = end.div_ceil(1000) as i64;
        }
        self.first_dts.saturating_add_signed(self.elapsed_ms * 1000)
    }
}

impl AudioGrid {
    fn frame_micros(&self) -> u64 {
        self.frame_samples * 1_000_000 / self.sample_rate
    }

    /// `dts`, or the end of the audio frame before it if that is close.
    fn snap(&mut self, dts: u64) -> u64 {
        let (start, frames) = self.anchor.unwrap_or((dts, 0));
        let expected = start + frames * self.frame_samples * 1_000_000 / self.sample_rate;
        if expected.abs_diff(dts) <= SNAP_MICROS {
            self.anchor = Some((start, frames + 1));
            expected
        } else {
            self.anchor = Some((dts, 1));
            dts
        }
    }
}
