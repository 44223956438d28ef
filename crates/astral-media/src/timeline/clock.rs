//! Converts a publisher's timestamps to decoding times in microseconds, which strictly increase in
//! each track.
//!
//! Timestamps count milliseconds and wrap around after 49 days. Publishers also set their clocks
//! back, stop them, let them jump, or count audio and video from different moments. So each track
//! has a clock of its own. A new timestamp is compared with the last one of the same track, and the
//! difference is added to the last decoding time. Two rules keep the tracks together:
//!
//! - **Offset.** The first frame of the second track is placed by the clock of the first track, if
//!   the result is within a second of the first track. Otherwise the two clocks count from
//!   different moments. Then the frame is placed at the newest frame of the first track, because
//!   the two arrived together. From then on each track follows its own clock, so the difference
//!   stays constant.
//! - **Jump.** A timestamp that is far from where its track and the other track are is a jump.
//!   Nothing was sent in between, so no time passes on the timeline: the frame directly follows the
//!   last one of its track. If the other track has already made the same jump, the frame keeps its
//!   distance to that track.

mod audio_grid;

use crate::frame::Track;
use audio_grid::AudioGrid;

/// A larger step back is a clock that was set back. Encoders that send presentation times, with
/// B-frames, step back by less.
const JUMP_BACK_MICROS: i64 = 300_000;
/// A frame that begins later than this after the end of all frames of both tracks comes after a
/// jump.
const JUMP_AHEAD_MICROS: i64 = 2_000_000;
/// Longest duration of a frame: it has to fit into a segment of the shortest target duration.
const FRAME_MICROS_MAX: i64 = 3_000_000;
/// The clock of a track that falls behind the other by more than this has stood still. It is
/// treated like a jump.
const BEHIND_MICROS_MAX: i64 = 5_000_000;
/// If frames of both tracks arrive together and their times differ by more than this, the tracks
/// count from different moments.
const APART_MICROS_MAX: i64 = 1_000_000;
/// Duration of a video frame if no interval is known. Only the end of a stream with a single
/// picture needs it.
const NOMINAL_MICROS: i64 = 33_333;
/// Two frames of a track are at least this far apart: FLV and RTMP count milliseconds, and those
/// must rise too.
const STEP_MIN_MICROS: i64 = 1_000;
/// The last frame of a track.
#[derive(Clone, Copy)]
struct LastFrame {
    timestamp_ms: u32,
    /// Its time by its timestamp alone, microseconds. The decoding time may differ: audio is moved
    /// to the [`AudioGrid`], and decoding times must rise.
    at: i64,
    dts: i64,
    /// Time since the frame before it; 0 if there is none.
    interval: i64,
}

impl LastFrame {
    /// Returns the time of a frame with `timestamp_ms` by the clock of this track.
    fn time_of(&self, timestamp_ms: u32) -> i64 {
        self.at + i64::from(timestamp_ms.wrapping_sub(self.timestamp_ms) as i32) * 1000
    }
}

/// The clock of one track.
#[derive(Default)]
struct TrackClock {
    /// The time of its first frame by its timestamp alone.
    first_at: i64,
    last: Option<LastFrame>,
    /// The decoding time of the last stand-in that the origin made; `None` once the publisher has
    /// sent a frame again.
    stand_in: Option<i64>,
    /// How often it has jumped. If the other track has a higher number, the other track has made a
    /// jump that this track may still make.
    jumps: u64,
}

impl TrackClock {
    /// The decoding time of the last frame, stand-ins included.
    fn last_dts(&self) -> Option<i64> {
        self.stand_in.max(self.last.map(|last| last.dts))
    }

    /// The time between the last two frames; 0 if it is not known.
    fn interval(&self) -> i64 {
        self.last.map_or(0, |last| last.interval)
    }
}

/// The clocks of one epoch.
pub struct Clock {
    first_dts: i64,
    tracks: [TrackClock; 2],
    grid: AudioGrid,
    jumps: u64,
}

impl Clock {
    pub fn new(first_dts: u64) -> Self {
        Self {
            first_dts: first_dts as i64,
            tracks: Default::default(),
            grid: AudioGrid::new(48_000, 1024),
            jumps: 0,
        }
    }

    pub fn set_audio_rate(&mut self, sample_rate: u32, frame_samples: u32) {
        self.grid = AudioGrid::new(sample_rate, frame_samples);
    }

    /// Returns the decoding time of the next frame of `track`; `None` if a stand-in already fills
    /// its place.
    pub fn time(&mut self, track: Track, timestamp_ms: u32) -> Option<u64> {
        let before = self.clock(track).last;
        let last_dts = self.clock(track).last_dts();
        let at = self.position(track, timestamp_ms);
        let clock = &mut self.tracks[track as usize];
        if before.is_none() {
            clock.first_at = at;
        }
        let is_filled = track == Track::Audio && clock.stand_in.is_some_and(|filled| at < filled);
        if is_filled {
            let last = LastFrame {
                timestamp_ms,
                at,
                dts: last_dts.unwrap_or(at),
                interval: 0,
            };
            clock.last = Some(last);
            return None;
        }
        let on_grid = if track == Track::Audio {
            self.grid.snap(at)
        } else {
            at
        };
        let dts = last_dts
            .map_or(on_grid, |last| on_grid.max(last + STEP_MIN_MICROS))
            .max(0);
        let interval = last_dts.map_or(0, |last| dts - last);
        let clock = &mut self.tracks[track as usize];
        clock.stand_in = None;
        clock.last = Some(LastFrame {
            timestamp_ms,
            at,
            dts,
            interval,
        });
        Some(dts as u64)
    }

    /// Returns the decoding time of a stand-in picture at `position`.
    pub fn time_of_stand_in(&mut self, position: u64) -> u64 {
        let clock = &mut self.tracks[Track::Video as usize];
        let dts = clock.last_dts().map_or(position as i64, |last| {
            (position as i64).max(last + STEP_MIN_MICROS)
        });
        clock.stand_in = Some(dts);
        dts as u64
    }

    /// Returns the decoding time of the next silent frame; `None` if it would end after `until`. It
    /// follows the last audio frame. If there is none, or it ended long ago, the silence begins at
    /// `from`.
    pub fn time_of_silence(&mut self, from: u64, until: u64) -> Option<u64> {
        let from = from as i64;
        let until = until as i64;
        let end = self.end_of(Track::Audio).map(|end| end as i64);
        let wanted = end
            .filter(|end| from - end < APART_MICROS_MAX)
            .unwrap_or(from);
        if wanted + self.grid.frame_micros() > until {
            return None;
        }
        let dts = self.grid.snap(wanted);
        self.tracks[Track::Audio as usize].stand_in = Some(dts);
        Some(dts as u64)
    }

    /// Returns how often the publisher's clock has jumped. A jump of both tracks counts once.
    pub fn jumps(&self) -> u64 {
        self.jumps
    }

    /// Returns the end of the frame that ends last.
    pub fn end_dts(&self) -> u64 {
        self.edge().unwrap_or(self.first_dts) as u64
    }

    /// Returns the decoding time of the last frame of `track`.
    pub fn last_dts(&self, track: Track) -> Option<u64> {
        self.clock(track).last_dts().map(|dts| dts as u64)
    }

    /// Returns when the last frame of `track` ends if it lasts as long as the one before it.
    pub fn end_of(&self, track: Track) -> Option<u64> {
        let clock = self.clock(track);
        clock
            .last_dts()
            .map(|dts| (dts + self.duration(track, dts, clock.interval())) as u64)
    }

    /// Returns the duration of an audio frame, microseconds.
    pub fn audio_frame_micros(&self) -> u64 {
        self.grid.frame_micros() as u64
    }

    /// Returns the time between the last two video frames, microseconds; 0 before the second.
    pub fn video_interval(&self) -> u64 {
        self.clock(Track::Video).interval() as u64
    }

    fn clock(&self, track: Track) -> &TrackClock {
        &self.tracks[track as usize]
    }

    fn duration(&self, track: Track, dts: i64, interval: i64) -> i64 {
        match track {
            Track::Audio | Track::Data => self.grid.end_of(dts) - dts,
            Track::Video if interval > 0 => interval,
            Track::Video => NOMINAL_MICROS,
        }
    }

    /// The end of the frame that ends last; `None` before the first.
    fn edge(&self) -> Option<i64> {
        let ends = [Track::Video, Track::Audio].map(|track| self.end_of(track));
        ends.into_iter().flatten().max().map(|end| end as i64)
    }

    /// Returns the time of the next frame of `track`. [`Clock::time`] then moves audio to the grid
    /// and makes sure that times rise.
    fn position(&mut self, track: Track, timestamp_ms: u32) -> i64 {
        let last_dts = self.clock(track).last_dts();
        let own = self.clock(track).last.map(|own| LastFrame {
            dts: last_dts.unwrap_or(own.dts),
            ..own
        });
        let other = self.clock(track.other()).last;
        match (own, other) {
            (None, None) => self.first_dts,
            (None, Some(other)) => self.position_of_second_track(track, &other, timestamp_ms),
            (Some(own), _) if self.is_jump(track, &own, own.time_of(timestamp_ms)) => {
                self.position_after_jump(track, &own, timestamp_ms)
            }
            (Some(own), _) => own.time_of(timestamp_ms),
        }
    }

    /// Returns the time of the first frame of the second track: its time by the clock of the other
    /// track, if that is near the other track. Otherwise the time of the other track's last frame.
    fn position_of_second_track(
        &mut self,
        track: Track,
        other: &LastFrame,
        timestamp_ms: u32,
    ) -> i64 {
        let first = self.clock(track.other()).first_at;
        self.tracks[track as usize].jumps = self.clock(track.other()).jumps;
        let at = other.time_of(timestamp_ms);
        // At the start of a publish, one track may be sent ahead of the other, so any time since
        // the start is possible.
        let is_just_begun = other.at - first < BEHIND_MICROS_MAX;
        let earliest = if is_just_begun { first } else { other.at };
        let is_same_clock =
            (earliest - APART_MICROS_MAX..=other.at + APART_MICROS_MAX).contains(&at);
        if is_same_clock { at } else { other.dts }
    }

    /// Returns whether a frame of `track` at `at`, whose last frame was `own`, comes after a jump.
    fn is_jump(&self, track: Track, own: &LastFrame, at: i64) -> bool {
        let edge = self.edge().unwrap_or(at);
        let ahead = at - edge.max(own.dts);
        let other_end = self.end_of(track.other()).map_or(at, |end| end as i64);
        let is_too_long = self.is_alone(track, own) && at - own.dts > FRAME_MICROS_MAX;
        // Audio that comes back late may begin before the end of the silence that filled its place.
        // Such audio is dropped. It is not a jump.
        let has_silence = track == Track::Audio && self.clock(track).stand_in.is_some();
        let back = if has_silence {
            APART_MICROS_MAX
        } else {
            JUMP_BACK_MICROS
        };
        at + back < own.dts
            || ahead > JUMP_AHEAD_MICROS
            || is_too_long
            || at + BEHIND_MICROS_MAX < other_end
    }

    /// Returns whether the other track has sent nothing since `own`.
    fn is_alone(&self, track: Track, own: &LastFrame) -> bool {
        self.clock(track.other())
            .last
            .is_none_or(|other| other.dts <= own.dts + APART_MICROS_MAX)
    }

    /// Returns the time of the first frame after a jump. If the other track has already made this
    /// jump, the frame keeps its distance to that track. Otherwise the frame follows at the end of
    /// its own track, or at the other track's last frame if its own track is more than a second
    /// behind.
    fn position_after_jump(&mut self, track: Track, own: &LastFrame, timestamp_ms: u32) -> i64 {
        let follows = own.dts + self.duration(track, own.dts, own.interval);
        let other = self.clock(track.other());
        let other_last = other.last;
        let other_jumps = other.jumps;
        let own_jumps = self.clock(track).jumps;
        let with_other = other_last
            .filter(|_| other_jumps > own_jumps)
            .map(|other| other.time_of(timestamp_ms))
            .filter(|at| at.abs_diff(follows) < APART_MICROS_MAX as u64);
        if let Some(at) = with_other {
            self.tracks[track as usize].jumps = other_jumps;
            return at;
        }
        self.jumps += 1;
        self.tracks[track as usize].jumps = own_jumps.max(other_jumps) + 1;
        let other_dts = other_last.map_or(follows, |other| other.dts);
        if follows + APART_MICROS_MAX < other_dts {
            other_dts
        } else {
            follows
        }
    }
}
