//! Where GOPs begin and end.

use super::gop::OpenGop;
use super::{EpochStart, Timeline};
use crate::frame::{GopEnd, GopStart, Media, Parameters, Track};
use astral_proto::limits::{TARGET_DURATION_MAX, TARGET_DURATION_MIN};
use std::sync::Arc;

/// A keyframe that is closer than this to the start of its GOP does not start another one.
const GOP_MICROS_MIN: u64 = 200_000;
/// Length of a GOP of a stream without video.
pub(super) const AUDIO_GOP_MICROS: u64 = 2_000_000;

impl Timeline {
    pub(super) fn start_audio_gop_when_due(&mut self, dts: u64, out: &mut Vec<Media>) {
        let is_due = self.gop.as_ref().is_none_or(|gop| {
            let is_long = dts.saturating_sub(gop.starts_at) >= AUDIO_GOP_MICROS;
            self.tracks.audio_waits_for_gop() || is_long || gop.is_full()
        });
        if is_due {
            self.start_gop(Track::Audio, dts, true, out);
        }
    }

    /// A keyframe starts a GOP unless the open one has only just begun with the same parameters.
    pub(super) fn keyframe_starts_gop(&self, dts: u64) -> bool {
        let Some(gop) = &self.gop else { return true };
        self.tracks.wait_for_keyframe()
            || self.has_jumped()
            || dts.saturating_sub(gop.starts_at) >= GOP_MICROS_MIN
    }

    /// Cuts the open GOP before the picture at `dts` if the GOP is too long. A GOP with video is
    /// cut only when a picture arrives, because only then the duration of the picture before it is
    /// known.
    pub(super) fn cut_at_video(&mut self, dts: u64, out: &mut Vec<Media>) {
        let Some(gop) = &self.gop else { return };
        let is_long = dts + self.clock.video_interval() / 2 > gop.limit_at;
        if is_long || gop.is_full() {
            self.cut_long_gop |= !self.has_jumped();
            self.start_gop(Track::Video, dts, false, out);
        }
    }

    fn has_jumped(&self) -> bool {
        self.clock.jumps() > self.jumps_marked
    }

    /// Starts the GOP whose first frame is that of `track` at `dts`.
    pub(super) fn start_gop(
        &mut self,
        track: Track,
        dts: u64,
        independent: bool,
        out: &mut Vec<Media>,
    ) {
        let starts_at = self.end_gop(track, dts, out).unwrap_or(dts);
        let parameters = self.parameters_now(independent, starts_at);
        let number = self.next_gop;
        self.next_gop += 1;
        let limit = self
            .target_duration_seconds
            .map_or(TARGET_DURATION_MAX.as_secs(), u64::from);
        let limit_at = starts_at + limit * 1_000_000;
        // While this picture was awaited, the audio may have filled the GOP before it up to its
        // limit. This GOP then begins at that limit, before its first picture.
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
            wall_clock: self.wall_clock,
            program_date_time: self.date.at(starts_at, self.wall_clock),
            target_duration_seconds: self.target_duration_seconds,
            first_fragment: self.next_fragment,
        }));
    }

    /// Returns the parameters of the GOP that starts at `starts_at`. There is a discontinuity if
    /// the parameters have changed or the publisher's clock has jumped. After a jump, the date may
    /// also be set from the wall clock again. If the GOP before was cut, the next piece (which is
    /// not `independent`) keeps its parameters, because a decoder cannot change them without a
    /// keyframe.
    fn parameters_now(&mut self, independent: bool, starts_at: u64) -> Arc<Parameters> {
        let before = self.parameters.clone();
        if let Some(parameters) = before.as_ref().filter(|_| !independent) {
            return parameters.clone();
        }
        let jumps = self.clock.jumps();
        let has_jumped = std::mem::replace(&mut self.jumps_marked, jumps) != jumps;
        if has_jumped {
            self.date.adjust(starts_at, self.wall_clock);
        }
        let (video, audio) = self.tracks.of_next_gop(starts_at);
        let unchanged = before
            .as_ref()
            .filter(|parameters| parameters.video == video && parameters.audio == audio)
            .cloned();
        let is_change = before.is_some() && (unchanged.is_none() || has_jumped);
        self.discontinuity += u64::from(is_change);
        let init = before.map_or(0, |parameters| parameters.init + 1);
        let EpochStart {
            incarnation, epoch, ..
        } = self.start;
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

    /// Ends the open GOP before the frame of `track` at `dts`. Returns where it ends; `None` if no
    /// GOP is open.
    fn end_gop(&mut self, track: Track, dts: u64, out: &mut Vec<Media>) -> Option<u64> {
        let mut gop = self.gop.take()?;
        let position = gop.position_with(track, dts);
        let boundary = if track == Track::Video { dts } else { position };
        let ends_at = gop.end_at(boundary);
        let durations = [Track::Video, Track::Audio].map(|of| match gop.last_dts(of) {
            Some(last) if of == track => dts - last,
            // The audio has gone on to `position`, so the picture lasts at least until there.
            Some(last) if of == Track::Video => position.saturating_sub(last).max(1),
            _ => self.last_duration(&gop, of),
        });
        let end = self.gop_end(&gop, ends_at, durations);
        self.target_duration_seconds = end.target_duration_seconds;
        self.next_fragment = self.next_fragment.wrapping_add(gop.part + 1);
        out.push(Media::End(end));
        Some(ends_at)
    }

    /// Returns how long the last frame of `track` in `gop` lasts: until the next one if that has
    /// come, or else as long as the one before it. Returns 0 if the track has no frame in `gop`.
    pub(super) fn last_duration(&self, gop: &OpenGop, track: Track) -> u64 {
        let Some(last) = gop.last_dts(track) else {
            return 0;
        };
        let next = self.clock.last_dts(track).filter(|next| *next > last);
        next.or(self.clock.end_of(track))
            .map_or(0, |end| end.saturating_sub(last).max(1))
    }

    pub(super) fn gop_end(&self, gop: &OpenGop, ends_at: u64, durations: [u64; 2]) -> GopEnd {
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
}
