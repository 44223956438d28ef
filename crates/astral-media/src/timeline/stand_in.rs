//! Makes frames while a track does not come: silence, or the last keyframe again. [`super::tracks`]
//! says why.

use super::Timeline;
use super::boundary::AUDIO_GOP_MICROS;
use super::tracks::StandIn;
use crate::frame::{Media, Track};

/// Stand-in pictures are at least this far apart: about one for each part. (HLS players receive a
/// picture once the next one is known.)
const STEP_MICROS_MIN: u64 = 200_000;
/// They are at most this far apart: each GOP needs one, however large the keyframe is.
const STEP_MICROS_MAX: u64 = AUDIO_GOP_MICROS;
/// Bit rate of stand-in pictures, within those limits: large keyframes are repeated less often.
const STAND_IN_BITS_PER_SECOND: u64 = 1_000_000;

impl Timeline {
    /// Emits silence up to the picture at `until`, if no audio comes.
    pub(super) fn stand_in_for_audio(&mut self, until: u64, out: &mut Vec<Media>) {
        let Some(from) = self.gop.as_ref().map(|gop| gop.starts_at) else {
            return;
        };
        if !self.tracks.audio_has_ended(until) {
            return;
        }
        let Some(silence) = self.tracks.silence() else {
            return;
        };
        while let Some(dts) = self.clock.time_of_silence(from, until) {
            self.emit(Track::Audio, true, dts, 0, silence.clone(), out);
            self.stand_ins += 1;
        }
    }

    /// Emits the last keyframe again at `position`, if it is time for that. It starts a GOP if the
    /// open one is long, or cannot take the audio that comes.
    pub(super) fn stand_in_for_video(&mut self, position: u64, out: &mut Vec<Media>) {
        let is_due = self.gop.as_ref().is_none_or(|gop| {
            let is_long = position.saturating_sub(gop.starts_at) >= AUDIO_GOP_MICROS;
            is_long || gop.is_full() || self.tracks.audio_waits_for_gop()
        });
        if is_due {
            let dts = self.clock.time_of_stand_in(position);
            self.start_gop(Track::Video, dts, true, out);
            self.show_stand_in(dts, out);
        } else if self.is_next_stand_in_due(position) {
            let dts = self.clock.time_of_stand_in(position);
            self.show_stand_in(dts, out);
        }
    }

    fn is_next_stand_in_due(&self, position: u64) -> bool {
        let shown_at = self.gop.as_ref().and_then(|gop| gop.last_dts(Track::Video));
        let bits = self
            .tracks
            .stand_in()
            .map_or(0, |stand_in| stand_in.payload.len() as u64 * 8);
        let affordable =
            (bits * 1_000_000 / STAND_IN_BITS_PER_SECOND).clamp(STEP_MICROS_MIN, STEP_MICROS_MAX);
        // Rounded up, so that a GOP is a whole number of steps.
        let step = STEP_MICROS_MAX / (STEP_MICROS_MAX / affordable);
        shown_at.is_none_or(|shown_at| shown_at + step <= position)
    }

    fn show_stand_in(&mut self, dts: u64, out: &mut Vec<Media>) {
        let Some(StandIn { payload, cts }) = self.tracks.stand_in() else {
            return;
        };
        self.emit(Track::Video, true, dts, cts, payload, out);
        self.stand_ins += 1;
    }
}
