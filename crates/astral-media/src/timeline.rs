//! What an origin makes of a publish: numbers, times, GOPs, parts.
//!
//! The only place that decides any of these. A publisher's messages go in, with their wrapping millisecond
//! timestamps; numbered frames on the stream's own timeline come out, and every relay passes them on unchanged.

mod clock;
mod date;
mod gop;
mod opening;
mod stand_in;
#[cfg(test)]
mod tests;
mod tracks;

use crate::frame::{
    AudioParameters, Frame, GopEnd, GopStart, Media, Parameters, Track, VideoParameters,
    first_fragment_of,
};
use astral_proto::limits::{TARGET_DURATION_MAX, TARGET_DURATION_MIN};
use astral_proto::{FrameId, Incarnation};
use bytes::Bytes;
use clock::Clock;
use date::Date;
use gop::OpenGop;
use opening::{Admitted, Opening};
use std::sync::Arc;
use tracks::Tracks;

/// Keyframes closer than this to the start of their GOP do not start the next.
const GOP_MICROS_MIN: u64 = 200_000;
/// Length of a GOP of a stream without video.
const AUDIO_GOP_MICROS: u64 = 2_000_000;
/// Data frames are never closer than this: FLV and RTMP count milliseconds.
const DATA_STEP_MICROS: u64 = 1_000;
/// Most data messages that wait for the first frame.
const EARLY_DATA_MAX: usize = 32;

/// Where a publish begins on its stream, as granted by the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The history that the publish belongs to.
    pub incarnation: Incarnation,
    /// The publish.
    pub epoch: u64,
    /// Number of its first GOP.
    pub first_gop: u64,
    /// Time of its first frame, microseconds.
    pub first_dts: u64,
    /// Discontinuity sequence of its first GOP.
    pub discontinuity: u64,
    /// The stream's target duration, if it is fixed already, seconds.
    pub target_duration_seconds: Option<u32>,
    /// Tracks of the publish before, whose viewers still watch.
    pub tracks: TracksBefore,
    /// Number of its first fragment, if the one before it is known.
    pub first_fragment: Option<u32>,
}

/// Which tracks viewers have already, who stay over the end of a publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TracksBefore {
    /// They have video.
    pub video: bool,
    /// They have audio.
    pub audio: bool,
}

/// One message of a publisher.
#[derive(Clone, Debug)]
pub enum Input {
    /// What the publisher says it will send.
    Expect {
        /// Whether it will send video.
        video: bool,
        /// Whether it will send audio.
        audio: bool,
    },
    /// How to decode the video that follows.
    VideoParameters(VideoParameters),
    /// How to decode the audio that follows.
    AudioParameters(AudioParameters),
    /// An access unit of video.
    Video {
        /// RTMP timestamp: decoding time in milliseconds, wrapping.
        timestamp_ms: u32,
        /// Presentation less decoding time, milliseconds.
        cts_ms: i32,
        /// Whether a decoder can start here.
        keyframe: bool,
        /// Length-prefixed NAL units.
        payload: Bytes,
    },
    /// An access unit of audio.
    Audio {
        /// RTMP timestamp, milliseconds, wrapping.
        timestamp_ms: u32,
        /// One raw AAC frame.
        payload: Bytes,
    },
    /// A data message. It stands where it came: at the newest frame, whatever its own timestamp says.
    Data {
        /// AMF0 values, of which the first is a name.
        payload: Bytes,
    },
}

/// How far a timeline is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// The newest frame.
    pub newest: FrameId,
    /// The end of the frame that ends last, microseconds.
    pub end_dts: u64,
    /// Discontinuities so far.
    pub discontinuity: u64,
    /// Target duration, once fixed, seconds.
    pub target_duration_seconds: Option<u32>,
}

/// Numbers and times one publish.
pub struct Timeline {
    beginning: Beginning,
    clock: Clock,
    opening: Opening,
    tracks: Tracks,
    parameters: Option<Arc<Parameters>>,
    gop: Option<OpenGop>,
    next_gop: u64,
    next_fragment: u32,
    target_duration_seconds: Option<u32>,
    discontinuity: u64,
    /// Jumps of the publisher's clock that a discontinuity stands for.
    jumps_told: u64,
    date: Date,
    wall_clock_ms: u64,
    cut_long_gop: bool,
    newest: FrameId,
    newest_dts: u64,
    last_data_dts: Option<u64>,
    early_data: Vec<Bytes>,
    /// Frames that were put in the place of a track that did not come.
    stand_ins: u64,
}

impl Timeline {
    /// A publish that begins at `beginning`.
    pub fn new(beginning: Beginning) -> Self {
        Self {
            beginning,
            clock: Clock::new(beginning.first_dts),
            opening: Opening::default(),
            tracks: Tracks::default(),
            parameters: None,
            gop: None,
            next_gop: beginning.first_gop,
            next_fragment: beginning
                .first_fragment
                .unwrap_or(first_fragment_of(beginning.first_gop)),
            target_duration_seconds: beginning.target_duration_seconds,
            discontinuity: beginning.discontinuity,
            jumps_told: 0,
            date: Date::default(),
            wall_clock_ms: 0,
            cut_long_gop: false,
            newest: FrameId::default(),
            newest_dts: beginning.first_dts,
            last_data_dts: None,
            early_data: Vec::new(),
            stand_ins: 0,
        }
    }

    /// Takes one message, received at `wall_clock_ms` (Unix milliseconds), and appends what it makes to `out`.
    pub fn push(&mut self, input: Input, wall_clock_ms: u64, out: &mut Vec<Media>) {
        match self.opening.admit(input, wall_clock_ms) {
            Admitted::Hold => {}
            Admitted::Pass((input, wall_clock_ms)) => self.take(input, wall_clock_ms, out),
            Admitted::Open(held) => self.open(held, out),
        }
    }

    /// The publisher is gone: what it still held back, and the end of the open GOP.
    pub fn finish(&mut self, out: &mut Vec<Media>) {
        let held = self.opening.finish();
        self.open(held, out);
        out.extend(self.end_if_it_stops().map(Media::End));
        self.gop = None;
    }

    /// The end of the open GOP if the publisher sends nothing more. The last frame of each track then lasts as long as
    /// the one before it.
    pub fn end_if_it_stops(&self) -> Option<GopEnd> {
        let gop = self.gop.as_ref()?;
        let durations = [Track::Video, Track::Audio].map(|track| self.last_duration(gop, track));
        Some(self.gop_end(gop, gop.end_at(self.clock.end_dts()), durations))
    }

    /// Whether a GOP had to be cut for its length since this was last asked; its publisher should be told.
    pub fn take_cut_long_gop(&mut self) -> bool {
        std::mem::take(&mut self.cut_long_gop)
    }

    /// How often the publisher's clock has jumped.
    pub fn jumps(&self) -> u64 {
        self.clock.jumps()
    }

    /// How many frames were put in the place of a track that did not come.
    pub fn stand_ins(&self) -> u64 {
        self.stand_ins
    }

    /// How far it is; none before the first frame.
    pub fn reached(&self) -> Option<Reached> {
        self.parameters.as_ref()?;
        Some(Reached {
            newest: self.newest,
            end_dts: self.clock.end_dts(),
            discontinuity: self.discontinuity,
            target_duration_seconds: self.target_duration_seconds,
        })
    }

    fn open(&mut self, held: Vec<opening::Received>, out: &mut Vec<Media>) {
        let TracksBefore { video, audio } = self.beginning.tracks;
        for (track, was_there) in [(Track::Video, video), (Track::Audio, audio)] {
            // Frames without parameters cannot be decoded: their track begins when both have come.
            if self.opening.has_begun(track) {
                self.tracks.expect(track);
            } else if was_there || self.opening.is_announced(track) {
                self.tracks.declare(track);
            }
        }
        for (input, wall_clock_ms) in held {
            self.take(input, wall_clock_ms, out);
        }
    }

    fn take(&mut self, input: Input, wall_clock_ms: u64, out: &mut Vec<Media>) {
        self.wall_clock_ms = wall_clock_ms;
        match input {
            Input::Expect { .. } => {}
            Input::VideoParameters(video) => self.tracks.set_video(video),
            Input::AudioParameters(audio) => self.take_audio_parameters(audio),
            Input::Video {
                timestamp_ms,
                cts_ms,
                keyframe,
                payload,
            } => {
                self.take_video(timestamp_ms, cts_ms, keyframe, payload, out);
            }
            Input::Audio {
                timestamp_ms,
                payload,
            } => self.take_audio(timestamp_ms, payload, out),
            Input::Data { payload } => self.take_data(payload, out),
        }
    }

    /// Data before the first frame waits for it, within limits; the oldest is lost first.
    fn take_data(&mut self, payload: Bytes, out: &mut Vec<Media>) {
        if self.gop.as_ref().is_some_and(|gop| gop.frames > 0) {
            return self.emit_data(payload, out);
        }
        if self.early_data.len() == EARLY_DATA_MAX {
            self.early_data.remove(0);
        }
        self.early_data.push(payload);
    }

    fn emit_data(&mut self, payload: Bytes, out: &mut Vec<Media>) {
        let Some(gop) = &mut self.gop else { return };
        let dts = self
            .last_data_dts
            .map_or(0, |last| last + DATA_STEP_MICROS)
            .max(self.newest_dts);
        self.last_data_dts = Some(dts);
        let id = FrameId::new(gop.number, gop.frames);
        gop.add_data(payload.len());
        self.newest = id;
        let part = gop.part;
        let part_starts_at = gop.part_offset();
        let track = Track::Data;
        let frame = Frame {
            id,
            track,
            keyframe: true,
            dts,
            cts: 0,
            part,
            part_starts_at,
            payload,
        };
        out.push(Media::Frame(Arc::new(frame)));
    }

    fn take_audio_parameters(&mut self, audio: AudioParameters) {
        if self.tracks.set_audio(&audio) {
            self.clock.set_audio_rate(
                audio.sample_rate,
                crate::codec::frame_duration_samples(&audio),
            );
        }
    }

    fn take_video(
        &mut self,
        timestamp: u32,
        cts_ms: i32,
        keyframe: bool,
        payload: Bytes,
        out: &mut Vec<Media>,
    ) {
        if !self.tracks.takes_video(keyframe) {
            return;
        }
        let Some(dts) = self.clock.time(Track::Video, timestamp) else {
            return;
        };
        self.stand_in_for_audio(dts, out);
        let cts = cts_ms.saturating_mul(1000);
        if keyframe && self.keyframe_starts_gop(dts) {
            self.tracks.video_arrives();
            self.start_gop(Track::Video, dts, true, out);
        } else {
            self.cut_at_video(dts, out);
        }
        self.tracks.seen_at(Track::Video, dts);
        if keyframe {
            self.tracks.keep_keyframe(&payload, cts);
        }
        self.emit(Track::Video, keyframe, dts, cts, payload, out);
    }

    fn take_audio(&mut self, timestamp: u32, payload: Bytes, out: &mut Vec<Media>) {
        if !self.tracks.takes_audio() {
            return;
        }
        let Some(dts) = self.clock.time(Track::Audio, timestamp) else {
            return self.tracks.audio_was_late();
        };
        let position = self
            .gop
            .as_mut()
            .map_or(dts, |gop| gop.position_with(Track::Audio, dts));
        self.tracks.seen_at(Track::Audio, position);
        if self.tracks.is_audio_only() {
            self.start_audio_gop_when_due(dts, out);
        } else if self.tracks.video_has_ended(position) {
            self.stand_in_for_video(position, out);
        } else if self.gop.as_ref().is_some_and(OpenGop::is_full) {
            self.start_gop(Track::Audio, dts, false, out);
        }
        if self.tracks.takes_audio_now() {
            self.emit(Track::Audio, true, dts, 0, payload, out);
        }
    }

    fn start_audio_gop_when_due(&mut self, dts: u64, out: &mut Vec<Media>) {
        let is_due = self.gop.as_ref().is_none_or(|gop| {
            let is_long = dts.saturating_sub(gop.starts_at) >= AUDIO_GOP_MICROS;
            self.tracks.audio_waits_for_gop() || is_long || gop.is_full()
        });
        if is_due {
            self.start_gop(Track::Audio, dts, true, out);
        }
    }

    /// A keyframe starts a GOP unless the last one began only just now with the same parameters.
    fn keyframe_starts_gop(&self, dts: u64) -> bool {
        let Some(gop) = &self.gop else { return true };
        self.tracks.wait_for_keyframe()
            || self.has_jumped()
            || dts.saturating_sub(gop.starts_at) >= GOP_MICROS_MIN
    }

    /// Cuts a GOP that is too long where a picture begins: anywhere else the length of a picture would be unknown.
    fn cut_at_video(&mut self, dts: u64, out: &mut Vec<Media>) {
        let Some(gop) = &self.gop else { return };
        let is_long = dts + self.clock.video_interval() / 2 > gop.limit_at;
        if is_long || gop.is_full() {
            self.cut_long_gop |= !self.has_jumped();
            self.start_gop(Track::Video, dts, false, out);
        }
    }

    fn has_jumped(&self) -> bool {
        self.clock.jumps() > self.jumps_told
    }

    /// Starts the GOP whose first frame is that of `track` at `dts`.
    fn start_gop(&mut self, track: Track, dts: u64, independent: bool, out: &mut Vec<Media>) {
        let starts_at = self.end_gop(track, dts, out).unwrap_or(dts);
        let parameters = self.parameters_now(independent, starts_at);
        let number = self.next_gop;
        self.next_gop += 1;
        let limit = self
            .target_duration_seconds
            .map_or(TARGET_DURATION_MAX.as_secs(), u64::from);
        let limit_at = starts_at + limit * 1_000_000;
        // The picture that starts a GOP may stand behind its start, if the one before it was awaited for long.
        let (audio_at, at) = match track {
            Track::Video => (self.clock.end_of(Track::Audio), dts),
            Track::Audio | Track::Data => (Some(dts), starts_at),
        };
        let has_video = parameters.video.is_some();
        self.gop = Some(OpenGop::new(
            number,
            [starts_at, limit_at],
            has_video,
            audio_at,
            at,
        ));
        out.push(Media::Start(GopStart {
            gop: number,
            parameters,
            discontinuity: self.discontinuity,
            independent,
            starts_at,
            wall_clock_ms: self.wall_clock_ms,
            program_date_time_ms: self.date.at(starts_at, self.wall_clock_ms),
            target_duration_seconds: self.target_duration_seconds,
            first_fragment: self.next_fragment,
        }));
    }

    /// The parameters for the GOP that starts at `starts_at`. New ones are a discontinuity, and so is a jump of the publisher's
    /// clock, from which dates count anew. A piece after a cut keeps the old.
    fn parameters_now(&mut self, independent: bool, starts_at: u64) -> Arc<Parameters> {
        let before = self.parameters.clone();
        if let Some(parameters) = before.as_ref().filter(|_| !independent) {
            return parameters.clone();
        }
        let jumps = self.clock.jumps();
        let has_jumped = std::mem::replace(&mut self.jumps_told, jumps) != jumps;
        if has_jumped {
            self.date.count_anew(starts_at, self.wall_clock_ms);
        }
        let (video, audio) = self.tracks.of_next_gop(starts_at);
        let unchanged = before
            .as_ref()
            .filter(|parameters| parameters.video == video && parameters.audio == audio)
            .cloned();
        let is_change = before.is_some() && (unchanged.is_none() || has_jumped);
        self.discontinuity += u64::from(is_change);
        let init = before.map_or(0, |parameters| parameters.init + 1);
        let Beginning {
            incarnation, epoch, ..
        } = self.beginning;
        let new = Parameters {
            incarnation,
            epoch,
            init,
            video,
            audio,
        };
        let parameters = unchanged.unwrap_or_else(|| Arc::new(new));
        self.parameters = Some(parameters.clone());
        parameters
    }

    /// Ends the open GOP, if any, before the frame of `track` at `dts`; where it ends.
    fn end_gop(&mut self, track: Track, dts: u64, out: &mut Vec<Media>) -> Option<u64> {
        let mut gop = self.gop.take()?;
        let position = gop.position_with(track, dts);
        let ends_at = gop.end_at(position);
        let durations = [Track::Video, Track::Audio].map(|of| match gop.last_dts(of) {
            Some(last) if of == track => dts - last,
            // The picture stands at least until here, for the sound has gone on.
            Some(last) if of == Track::Video => position.saturating_sub(last).max(1),
            _ => self.last_duration(&gop, of),
        });
        let end = self.gop_end(&gop, ends_at, durations);
        self.target_duration_seconds = end.target_duration_seconds;
        self.next_fragment = self.next_fragment.wrapping_add(gop.part + 1);
        out.push(Media::End(end));
        Some(ends_at)
    }

    /// How long the last frame of `track` in `gop` lasts as far as the track itself tells: until the next, if that has come.
    fn last_duration(&self, gop: &OpenGop, track: Track) -> u64 {
        let Some(last) = gop.last_dts(track) else {
            return 0;
        };
        let next = self.clock.last_dts(track).filter(|next| *next > last);
        next.or(self.clock.end_of(track))
            .map_or(0, |end| end.saturating_sub(last).max(1))
    }

    fn gop_end(&self, gop: &OpenGop, ends_at: u64, durations: [u64; 2]) -> GopEnd {
        let length = ends_at - gop.starts_at;
        let shortest = TARGET_DURATION_MIN.as_secs();
        let target = || {
            length
                .div_ceil(1_000_000)
                .clamp(shortest, TARGET_DURATION_MAX.as_secs()) as u32
        };
        let [video_duration, audio_duration] =
            durations.map(|micros| u32::try_from(micros).unwrap_or(u32::MAX));
        GopEnd {
            gop: gop.number,
            frames: gop.frames,
            duration: length as u32,
            video_duration,
            audio_duration,
            target_duration_seconds: self.target_duration_seconds.or_else(|| Some(target())),
        }
    }

    fn emit(
        &mut self,
        track: Track,
        keyframe: bool,
        dts: u64,
        cts: i32,
        payload: Bytes,
        out: &mut Vec<Media>,
    ) {
        let Some(gop) = &mut self.gop else { return };
        let id = FrameId::new(gop.number, gop.frames);
        gop.add(track, dts, payload.len(), self.clock.audio_frame_micros());
        self.newest = id;
        self.newest_dts = self.newest_dts.max(dts);
        let part = gop.part;
        let part_starts_at = gop.part_offset();
        out.push(Media::Frame(Arc::new(Frame {
            id,
            track,
            keyframe,
            dts,
            cts,
            part,
            part_starts_at,
            payload,
        })));
        for early in std::mem::take(&mut self.early_data) {
            self.emit_data(early, out);
        }
    }
}
