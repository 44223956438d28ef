//! Assigns numbers and times to the frames of one epoch, and divides them into GOPs and parts.
//!
//! The input is the messages of a publisher, with timestamps in milliseconds that wrap around. The
//! output is numbered frames on the timeline of the stream. Only the origin runs this code, and no
//! other code decides numbers, times, GOPs or parts: every relay passes the result on unchanged.
//!
//! | file | decides |
//! | --- | --- |
//! | `start_buffer` | which messages the first GOP begins with |
//! | `clock` | the decoding time of each frame |
//! | `tracks` | which tracks there are, and how each is decoded |
//! | `stand_in` | what is sent while a track does not come |
//! | `boundary` | where GOPs begin and end |
//! | `gop` | where parts begin |
//! | `date` | the wall-clock time of each GOP |

mod boundary;
mod clock;
mod date;
mod frames;
mod gop;
mod input;
mod stand_in;
mod start_buffer;
#[cfg(test)]
mod tests;
mod tracks;

use crate::frame::{GopEnd, Media, Parameters, Track, first_fragment_of};
use astral_proto::{FrameId, UnixMillis};
use bytes::Bytes;
use clock::Clock;
use date::Date;
use gop::OpenGop;
pub use input::{EpochStart, Input, TimelineProgress, TracksBefore};
use start_buffer::{Admission, Received, StartBuffer};
use std::sync::Arc;
use tracks::Tracks;

/// The timeline of one epoch.
pub struct Timeline {
    start: EpochStart,
    clock: Clock,
    start_buffer: StartBuffer,
    tracks: Tracks,
    /// Parameters of the newest GOP.
    parameters: Option<Arc<Parameters>>,
    gop: Option<OpenGop>,
    next_gop: u64,
    next_fragment: u32,
    target_duration_seconds: Option<u32>,
    discontinuity: u64,
    /// How often the publisher's clock had jumped at the newest discontinuity.
    jumps_marked: u64,
    date: Date,
    /// When the newest message was received.
    wall_clock: UnixMillis,
    cut_long_gop: bool,
    newest: FrameId,
    newest_dts: u64,
    last_data_dts: Option<u64>,
    /// Data messages that came before the first frame.
    early_data: Vec<Bytes>,
    stand_ins: u64,
}

impl Timeline {
    /// Creates the timeline of an epoch that begins at `start`.
    pub fn new(start: EpochStart) -> Self {
        Self {
            start,
            clock: Clock::new(start.first_dts),
            start_buffer: StartBuffer::default(),
            tracks: Tracks::default(),
            parameters: None,
            gop: None,
            next_gop: start.first_gop,
            next_fragment: start
                .first_fragment
                .unwrap_or(first_fragment_of(start.first_gop)),
            target_duration_seconds: start.target_duration_seconds,
            discontinuity: start.discontinuity,
            jumps_marked: 0,
            date: Date::default(),
            wall_clock: UnixMillis::ZERO,
            cut_long_gop: false,
            newest: FrameId::default(),
            newest_dts: start.first_dts,
            last_data_dts: None,
            early_data: Vec::new(),
            stand_ins: 0,
        }
    }

    /// Takes one message that was received at `wall_clock`. Appends the
    /// media that it completes to `out`.
    pub fn push(&mut self, input: Input, wall_clock: UnixMillis, out: &mut Vec<Media>) {
        match self.start_buffer.admit(input, wall_clock) {
            Admission::Hold => {}
            Admission::Pass((input, wall_clock)) => self.take(input, wall_clock, out),
            Admission::Release(held) => self.begin(held, out),
        }
    }

    /// Ends the epoch: appends what was still held back, and the end of the open GOP, to `out`.
    pub fn finish(&mut self, out: &mut Vec<Media>) {
        let held = self.start_buffer.release();
        self.begin(held, out);
        out.extend(self.end_if_it_stops().map(Media::End));
        self.gop = None;
    }

    /// Returns how the open GOP would end if the publisher sent nothing more. The last frame of
    /// each track would then last as long as the one before it.
    pub fn end_if_it_stops(&self) -> Option<GopEnd> {
        let gop = self.gop.as_ref()?;
        let durations = [Track::Video, Track::Audio].map(|track| self.last_duration(gop, track));
        Some(self.gop_end(gop, gop.end_at(self.clock.end_dts()), durations))
    }

    /// Returns whether a GOP was cut because it was too long, and resets that. The publisher should
    /// be warned.
    pub fn take_cut_long_gop(&mut self) -> bool {
        std::mem::take(&mut self.cut_long_gop)
    }

    /// Returns how often the publisher's clock has jumped.
    pub fn jumps(&self) -> u64 {
        self.clock.jumps()
    }

    /// Returns how many frames were made in place of a track that did not come.
    pub fn stand_ins(&self) -> u64 {
        self.stand_ins
    }

    /// Returns how far the timeline is; `None` before the first frame.
    pub fn progress(&self) -> Option<TimelineProgress> {
        self.parameters.as_ref()?;
        Some(TimelineProgress {
            newest: self.newest,
            end_dts: self.clock.end_dts(),
            discontinuity: self.discontinuity,
            target_duration_seconds: self.target_duration_seconds,
        })
    }

    /// Chooses the tracks, and takes the messages that were held back until now.
    fn begin(&mut self, held: Vec<Received>, out: &mut Vec<Media>) {
        let TracksBefore { video, audio } = self.start.tracks;
        for (track, was_there) in [(Track::Video, video), (Track::Audio, audio)] {
            // Frames without parameters cannot be decoded: a track has begun when both have come.
            if self.start_buffer.has_begun(track) {
                self.tracks.expect(track);
            } else if was_there || self.start_buffer.is_announced(track) {
                self.tracks.declare(track);
            }
        }
        for (input, wall_clock) in held {
            self.take(input, wall_clock, out);
        }
    }

    fn take(&mut self, input: Input, wall_clock: UnixMillis, out: &mut Vec<Media>) {
        self.wall_clock = wall_clock;
        match input {
            Input::Expect { .. } => {}
            Input::VideoParameters(video) => self.tracks.set_video(video),
            Input::AudioParameters(audio) => self.take_audio_parameters(audio),
            Input::Video {
                timestamp_ms,
                cts_ms,
                keyframe,
                payload,
            } => self.take_video(timestamp_ms, cts_ms, keyframe, payload, out),
            Input::Audio {
                timestamp_ms,
                payload,
            } => self.take_audio(timestamp_ms, payload, out),
            Input::Data { payload } => self.take_data(payload, out),
        }
    }
}
