//! What an origin makes of a publish: numbers, times, GOPs, parts.
//!
//! The only place that decides any of these. A publisher's messages go in, with their wrapping millisecond
//! timestamps; numbered frames on the stream's own timeline come out, and every relay passes them on unchanged.

mod clock;
mod opening;
#[cfg(test)]
mod tests;

use crate::frame::{AudioParameters, Frame, GopEnd, GopStart, Media, Parameters, Track, VideoParameters};
use astral_proto::limits::{TARGET_DURATION_MAX, TARGET_DURATION_MIN};
use astral_proto::{FrameId, Incarnation};
use bytes::Bytes;
use clock::Clock;
use opening::Opening;
use std::sync::Arc;

/// Keyframes closer than this to the start of their GOP do not start the next.
const GOP_MIN_MICROS: u64 = 200_000;
/// Length of a GOP of a stream without video.
const AUDIO_GOP_MICROS: u64 = 2_000_000;
/// A part ends at the first video frame this far after its start: 6 frames at 30 a second, 12 at 60, 5 at 25.
const PART_MICROS: u64 = 192_000;
/// A part of which no video frame has come for this long ends at the next audio frame.
const PART_STALLED_MICROS: u64 = 400_000;
/// Data frames are never closer than this: FLV and RTMP count milliseconds.
const DATA_STEP_MICROS: u64 = 1_000;
/// Most data messages that wait for the first frame.
const EARLY_DATA_MAX: usize = 32;
/// Most frames in one GOP; a longer one is cut.
const GOP_FRAMES_MAX: u32 = 16_384;
/// Most bytes in one GOP; a larger one is cut.
const GOP_BYTES_MAX: usize = 32 << 20;

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

struct OpenGop {
    number: u64,
    start_dts: u64,
    frames: u32,
    bytes: usize,
    part: u32,
    part_start_dts: u64,
    tracks: [bool; 2],
}

/// Numbers and times one publish.
pub struct Timeline {
    beginning: Beginning,
    clock: Clock,
    opening: Opening,
    parameters: Option<Arc<Parameters>>,
    next_video: Option<VideoParameters>,
    next_audio: Option<AudioParameters>,
    video_waits_for_keyframe: bool,
    audio_waits_for_gop: bool,
    gop: Option<OpenGop>,
    next_gop: u64,
    target_duration_seconds: Option<u32>,
    discontinuity: u64,
    wall_clock_ms: u64,
    cut_long_gop: bool,
    newest: FrameId,
    newest_dts: u64,
    last_data_dts: Option<u64>,
    early_data: Vec<Bytes>,
}

impl Timeline {
    /// A publish that begins at `beginning`.
    pub fn new(beginning: Beginning) -> Self {
        Self {
            beginning,
            clock: Clock::new(beginning.first_dts),
            opening: Opening::default(),
            parameters: None,
            next_video: None,
            next_audio: None,
            video_waits_for_keyframe: true,
            audio_waits_for_gop: true,
            gop: None,
            next_gop: beginning.first_gop,
            target_duration_seconds: beginning.target_duration_seconds,
            discontinuity: beginning.discontinuity,
            wall_clock_ms: 0,
            cut_long_gop: false,
            newest: FrameId::default(),
            newest_dts: beginning.first_dts,
            last_data_dts: None,
            early_data: Vec::new(),
        }
    }

    /// Takes one message, received at `wall_clock_ms` (Unix milliseconds), and appends what it makes to `out`.
    pub fn push(&mut self, input: Input, wall_clock_ms: u64, out: &mut Vec<Media>) {
        self.wall_clock_ms = wall_clock_ms;
        match self.opening.admit(input) {
            opening::Admitted::Hold => {}
            opening::Admitted::Pass(input) => self.take(input, out),
            opening::Admitted::Open(held) => held.into_iter().for_each(|input| self.take(input, out)),
        }
    }

    /// The publisher is gone: what it still held back, and the end of the open GOP.
    pub fn finish(&mut self, out: &mut Vec<Media>) {
        let held = self.opening.finish();
        held.into_iter().for_each(|input| self.take(input, out));
        self.end_gop(None, out);
    }

    /// Whether a GOP had to be cut for its length since this was last asked; its publisher should be told.
    pub fn take_cut_long_gop(&mut self) -> bool {
        std::mem::take(&mut self.cut_long_gop)
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

    fn take(&mut self, input: Input, out: &mut Vec<Media>) {
        match input {
            Input::Expect { .. } => {}
            Input::VideoParameters(video) => self.take_video_parameters(video),
            Input::AudioParameters(audio) => self.take_audio_parameters(audio),
            Input::Video { timestamp_ms, cts_ms, keyframe, payload } => {
                self.take_video(timestamp_ms, cts_ms, keyframe, payload, out);
            }
            Input::Audio { timestamp_ms, payload } => self.take_audio(timestamp_ms, payload, out),
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
        let dts = self.last_data_dts.map_or(0, |last| last + DATA_STEP_MICROS).max(self.newest_dts);
        self.last_data_dts = Some(dts);
        let id = FrameId::new(gop.number, gop.frames);
        gop.frames += 1;
        gop.bytes += payload.len();
        self.newest = id;
        let (track, part) = (Track::Data, gop.part);
        out.push(Media::Frame(Arc::new(Frame { id, track, keyframe: true, dts, cts: 0, part, payload })));
    }

    fn take_video_parameters(&mut self, video: VideoParameters) {
        let known = self.next_video.as_ref() == Some(&video);
        if !known {
            self.next_video = Some(video);
            self.video_waits_for_keyframe = true;
        }
    }

    fn take_audio_parameters(&mut self, audio: AudioParameters) {
        let known = self.next_audio.as_ref() == Some(&audio);
        if !known {
            self.clock.set_audio_rate(audio.sample_rate, crate::codec::frame_duration_samples(&audio));
            self.next_audio = Some(audio);
            self.audio_waits_for_gop = true;
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
        let skipped = self.next_video.is_none() || (self.video_waits_for_keyframe && !keyframe);
        if skipped {
            return;
        }
        let dts = self.clock.video(timestamp);
        let starts = keyframe && self.keyframe_starts_gop(dts);
        if starts {
            self.start_gop(dts, true, out);
        } else {
            self.cut_if_long(dts, out);
        }
        self.video_waits_for_keyframe = false;
        let cts = cts_ms.saturating_mul(1000);
        self.emit(Track::Video, keyframe, dts, cts, payload, out);
    }

    fn take_audio(&mut self, timestamp: u32, payload: Bytes, out: &mut Vec<Media>) {
        let audio_only = self.next_video.is_none();
        if self.next_audio.is_none() || (!audio_only && self.audio_waits_for_gop) {
            return;
        }
        let dts = self.clock.audio(timestamp);
        if audio_only {
            self.start_audio_gop_when_due(dts, out);
        } else {
            self.cut_if_long(dts, out);
        }
        self.emit(Track::Audio, true, dts, 0, payload, out);
    }

    fn start_audio_gop_when_due(&mut self, dts: u64, out: &mut Vec<Media>) {
        let due = match &self.gop {
            None => true,
            Some(gop) => {
                let long = dts.saturating_sub(gop.start_dts) >= AUDIO_GOP_MICROS;
                self.audio_waits_for_gop || long || gop.is_full()
            }
        };
        if due {
            self.start_gop(dts, true, out);
        }
    }

    /// A keyframe starts a GOP unless the last one began only just now with the same parameters.
    fn keyframe_starts_gop(&self, dts: u64) -> bool {
        let Some(gop) = &self.gop else { return true };
        self.video_waits_for_keyframe
            || self.audio_waits_for_gop && self.next_audio.is_some()
            || dts.saturating_sub(gop.start_dts) >= GOP_MIN_MICROS
    }

    fn cut_if_long(&mut self, dts: u64, out: &mut Vec<Media>) {
        let Some(gop) = &self.gop else { return };
        let limit = self.target_duration_seconds.map_or(TARGET_DURATION_MAX.as_secs(), u64::from) * 1_000_000;
        let too_long = dts.saturating_sub(gop.start_dts) >= limit;
        if too_long || gop.is_full() {
            self.cut_long_gop = true;
            self.start_gop(dts, false, out);
        }
    }

    fn start_gop(&mut self, dts: u64, independent: bool, out: &mut Vec<Media>) {
        self.end_gop(Some(dts), out);
        let parameters = self.parameters_now(independent);
        let number = self.next_gop;
        self.next_gop += 1;
        self.gop = Some(OpenGop {
            number,
            start_dts: dts,
            frames: 0,
            bytes: 0,
            part: 0,
            part_start_dts: dts,
            tracks: [false; 2],
        });
        out.push(Media::Start(GopStart {
            gop: number,
            parameters,
            discontinuity: self.discontinuity,
            independent,
            wall_clock_ms: self.wall_clock_ms,
            target_duration_seconds: self.target_duration_seconds,
        }));
    }

    /// The parameters for the GOP that starts: new ones count as a discontinuity. A piece after a cut keeps the old.
    fn parameters_now(&mut self, independent: bool) -> Arc<Parameters> {
        self.audio_waits_for_gop &= !independent;
        let unchanged = self.parameters.as_ref().filter(|parameters| {
            !independent || parameters.video == self.next_video && parameters.audio == self.next_audio
        });
        if let Some(parameters) = unchanged {
            return parameters.clone();
        }
        let init = self.parameters.as_ref().map_or(0, |parameters| parameters.init + 1);
        self.discontinuity += u64::from(init > 0);
        let parameters = Arc::new(Parameters {
            incarnation: self.beginning.incarnation,
            epoch: self.beginning.epoch,
            init,
            video: self.next_video.clone(),
            audio: self.next_audio.clone(),
        });
        self.parameters = Some(parameters.clone());
        parameters
    }

    /// Ends the open GOP, if any; `next_dts` is where the next begins, if it does.
    fn end_gop(&mut self, next_dts: Option<u64>, out: &mut Vec<Media>) {
        let Some(gop) = self.gop.take() else { return };
        let durations = self.clock.last_durations(gop.tracks, next_dts);
        if self.target_duration_seconds.is_none() {
            let length = self.clock.end_dts().saturating_sub(gop.start_dts).div_ceil(1_000_000);
            let bounds = (TARGET_DURATION_MIN.as_secs(), TARGET_DURATION_MAX.as_secs());
            self.target_duration_seconds = Some(length.clamp(bounds.0, bounds.1) as u32);
        }
        out.push(Media::End(GopEnd {
            gop: gop.number,
            frames: gop.frames,
            video_duration: durations.0,
            audio_duration: durations.1,
            target_duration_seconds: self.target_duration_seconds,
        }));
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
        gop.advance_part(track, dts);
        let id = FrameId::new(gop.number, gop.frames);
        gop.frames += 1;
        gop.bytes += payload.len();
        gop.tracks[track as usize] = true;
        self.newest = id;
        self.newest_dts = self.newest_dts.max(dts);
        out.push(Media::Frame(Arc::new(Frame { id, track, keyframe, dts, cts, part: gop.part, payload })));
        for early in std::mem::take(&mut self.early_data) {
            self.emit_data(early, out);
        }
    }
}

impl OpenGop {
    fn is_full(&self) -> bool {
        self.frames >= GOP_FRAMES_MAX || self.bytes >= GOP_BYTES_MAX
    }

    fn advance_part(&mut self, track: Track, dts: u64) {
        let elapsed = dts.saturating_sub(self.part_start_dts);
        let has_video = self.tracks[Track::Video as usize];
        let limit = if track == Track::Audio && has_video { PART_STALLED_MICROS } else { PART_MICROS };
        if self.frames > 0 && elapsed >= limit {
            self.part += 1;
            self.part_start_dts = dts;
        }
    }
}
