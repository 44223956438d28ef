//! From a publisher's wrapping milliseconds to the stream's microseconds, strictly increasing in each track.
//!
//! Each track has a clock of its own, since publishers exist whose audio and video count from different moments. What
//! the tracks share is the moment at which their frames arrive, so a jump is one only if a track leaves that moment.

use crate::frame::Track;

/// A step back further than this is a clock that was set back. Encoders that send presentation times step back by less.
const JUMP_BACK_MICROS: i64 = 300_000;
/// A frame this long after the newest frame of any track ends comes after a jump: nobody sent anything in between.
const JUMP_AHEAD_MICROS: i64 = 2_000_000;
/// No frame lasts longer than this: it has to fit into a segment of the shortest target duration.
const FRAME_MICROS_MAX: i64 = 3_000_000;
/// A track that falls behind the other by more than this has had its clock stopped.
const BEHIND_MICROS_MAX: i64 = 5_000_000;
/// Tracks whose frames arrive together with times further apart than this count from different moments.
const APART_MICROS_MAX: i64 = 1_000_000;
/// How long a video frame lasts if no interval is known: only a stream of one video frame ends with it.
const NOMINAL_MICROS: i64 = 33_333;
/// Frames of a track are never closer than this: FLV and RTMP count milliseconds, and those must rise too.
const STEP_MIN_MICROS: i64 = 1_000;
/// Audio this close to where the last frame ended is put right there: RTMP's milliseconds jitter by one.
const SNAP_MICROS: i64 = 15_000;

/// What the last frame of a track was.
#[derive(Clone, Copy)]
struct Last {
    timestamp_ms: u32,
    /// Where its timestamp puts it, microseconds. Its decoding time differs from this by the grid, or to rise.
    at: i64,
    dts: i64,
    /// From the frame before it; 0 if there is none.
    interval: i64,
}

impl Last {
    /// Where `timestamp_ms` is by the clock of this track.
    fn reckon(&self, timestamp_ms: u32) -> i64 {
        self.at + i64::from(timestamp_ms.wrapping_sub(self.timestamp_ms) as i32) * 1000
    }
}

/// The clock of one track.
#[derive(Default)]
struct TrackClock {
    first_at: i64,
    last: Option<Last>,
    /// The decoding time of the last frame that the origin put in the place of the publisher's, if none of those has come
    /// since.
    filled: Option<i64>,
    /// How often it has jumped, jumps of the other track that it followed included.
    jumps: u64,
}

impl TrackClock {
    /// The decoding time of the last frame, whoever made it.
    fn last_dts(&self) -> Option<i64> {
        self.filled.max(self.last.map(|last| last.dts))
    }

    /// From the frame before the last to the last; 0 if that is not known.
    fn interval(&self) -> i64 {
        self.last.map_or(0, |last| last.interval)
    }
}

struct AudioGrid {
    sample_rate: u64,
    frame_samples: u64,
    /// A decoding time and the frames since.
    anchor: Option<(i64, u64)>,
}

/// The clocks of one publish.
pub struct Clock {
    first_dts: i64,
    tracks: [TrackClock; 2],
    grid: AudioGrid,
    jumps: u64,
}

impl Clock {
    pub fn new(first_dts: u64) -> Self {
        let grid = AudioGrid {
            sample_rate: 48_000,
            frame_samples: 1024,
            anchor: None,
        };
        Self {
            first_dts: first_dts as i64,
            tracks: Default::default(),
            grid,
            jumps: 0,
        }
    }

    pub fn set_audio_rate(&mut self, sample_rate: u32, frame_samples: u32) {
        let sample_rate = u64::from(sample_rate.max(1));
        let frame_samples = u64::from(frame_samples.max(1));
        self.grid = AudioGrid {
            sample_rate,
            frame_samples,
            anchor: None,
        };
    }

    /// The decoding time of the next frame of `track`; none if something has been put in its place.
    pub fn time(&mut self, track: Track, timestamp_ms: u32) -> Option<u64> {
        let before = self.clock(track).last;
        let last_dts = self.clock(track).last_dts();
        let at = self.place(track, timestamp_ms);
        let clock = &mut self.tracks[track as usize];
        if before.is_none() {
            clock.first_at = at;
        }
        let is_replaced = track == Track::Audio && clock.filled.is_some_and(|filled| at < filled);
        if is_replaced {
            let last = Last {
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
        clock.filled = None;
        clock.last = Some(Last {
            timestamp_ms,
            at,
            dts,
            interval,
        });
        Some(dts as u64)
    }

    /// The decoding time of a picture that the origin shows at `position`, in the place of the publisher's.
    pub fn time_of_stand_in(&mut self, position: u64) -> u64 {
        let clock = &mut self.tracks[Track::Video as usize];
        let dts = clock.last_dts().map_or(position as i64, |last| {
            (position as i64).max(last + STEP_MIN_MICROS)
        });
        clock.filled = Some(dts);
        dts as u64
    }

    /// The decoding time of the next silent frame, if it ends by `until`. One that follows no sound is at `from`, and so is
    /// one that would have to follow sound of long ago.
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
        self.tracks[Track::Audio as usize].filled = Some(dts);
        Some(dts as u64)
    }

    /// Jumps of the publisher's clocks so far; one that both tracks make counts once.
    pub fn jumps(&self) -> u64 {
        self.jumps
    }

    /// The end of the frame that ends last.
    pub fn end_dts(&self) -> u64 {
        self.edge().unwrap_or(self.first_dts) as u64
    }

    /// The decoding time of the last frame of `track`.
    pub fn last_dts(&self, track: Track) -> Option<u64> {
        self.clock(track).last_dts().map(|dts| dts as u64)
    }

    /// When the last frame of `track` ends if the next one is as far away as that one was from its own predecessor.
    pub fn end_of(&self, track: Track) -> Option<u64> {
        let clock = self.clock(track);
        clock
            .last_dts()
            .map(|dts| (dts + self.duration(track, dts, clock.interval())) as u64)
    }

    /// How long an audio frame lasts, microseconds.
    pub fn audio_frame_micros(&self) -> u64 {
        self.grid.frame_micros() as u64
    }

    /// How far apart the last two video frames were, microseconds; 0 before that is known.
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

    fn edge(&self) -> Option<i64> {
        let ends = [Track::Video, Track::Audio].map(|track| self.end_of(track));
        ends.into_iter().flatten().max().map(|end| end as i64)
    }

    /// Where on the timeline `timestamp_ms` is.
    fn place(&mut self, track: Track, timestamp_ms: u32) -> i64 {
        let last_dts = self.clock(track).last_dts();
        let own = self.clock(track).last.map(|own| Last {
            dts: last_dts.unwrap_or(own.dts),
            ..own
        });
        let other = self.clock(track.other()).last;
        match (own, other) {
            (None, None) => self.first_dts,
            (None, Some(other)) => self.place_second_track(track, &other, timestamp_ms),
            (Some(own), _) if self.is_jump(track, &own, own.reckon(timestamp_ms)) => {
                self.place_after_jump(track, &own, timestamp_ms)
            }
            (Some(own), _) => own.reckon(timestamp_ms),
        }
    }

    /// The first frame of the second track: by the clock of the other, unless that puts it where the other is not.
    fn place_second_track(&mut self, track: Track, other: &Last, timestamp_ms: u32) -> i64 {
        let first = self.clock(track.other()).first_at;
        self.tracks[track as usize].jumps = self.clock(track.other()).jumps;
        let at = other.reckon(timestamp_ms);
        let is_just_begun = other.at - first < BEHIND_MICROS_MAX;
        let earliest = if is_just_begun { first } else { other.at };
        let is_same_clock =
            (earliest - APART_MICROS_MAX..=other.at + APART_MICROS_MAX).contains(&at);
        if is_same_clock { at } else { other.dts }
    }

    fn is_jump(&self, track: Track, own: &Last, at: i64) -> bool {
        let edge = self.edge().unwrap_or(at);
        let ahead = at - edge.max(own.dts);
        let other_end = self.end_of(track.other()).map_or(at, |end| end as i64);
        let is_too_long = self.is_alone(track, own) && at - own.dts > FRAME_MICROS_MAX;
        let has_silence = track == Track::Audio && self.clock(track).filled.is_some();
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

    /// Whether the other track has brought nothing since `own`.
    fn is_alone(&self, track: Track, own: &Last) -> bool {
        self.clock(track.other())
            .last
            .is_none_or(|other| other.dts <= own.dts + APART_MICROS_MAX)
    }

    /// After a jump a frame follows the last one of its track, or the other track if that has jumped as far.
    fn place_after_jump(&mut self, track: Track, own: &Last, timestamp_ms: u32) -> i64 {
        let follows = own.dts + self.duration(track, own.dts, own.interval);
        let other = self.clock(track.other());
        let other_last = other.last;
        let other_jumps = other.jumps;
        let own_jumps = self.clock(track).jumps;
        let with_other = other_last
            .filter(|_| other_jumps > own_jumps)
            .map(|other| other.reckon(timestamp_ms))
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

impl AudioGrid {
    fn frame_micros(&self) -> i64 {
        (self.frame_samples * 1_000_000 / self.sample_rate) as i64
    }

    /// Where the frame after the last is expected, or the frame at `dts` ends if it is not the last.
    fn end_of(&self, dts: i64) -> i64 {
        self.expected()
            .filter(|end| (1..=self.frame_micros() + 1).contains(&(end - dts)))
            .unwrap_or(dts + self.frame_micros())
    }

    fn expected(&self) -> Option<i64> {
        let (start, frames) = self.anchor?;
        Some(start + (frames * self.frame_samples * 1_000_000 / self.sample_rate) as i64)
    }

    /// `at`, or the end of the audio frame before it if that is close.
    fn snap(&mut self, at: i64) -> i64 {
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
