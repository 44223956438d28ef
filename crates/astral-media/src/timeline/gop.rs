//! The open GOP: how far it is, and where its parts begin.
//!
//! A GOP advances with the frames that arrive. Where there is video, its decoding times say how far it is; while no video
//! arrives, the sound does, less what it was ahead of the video when the GOP began.

use crate::frame::Track;

/// A part ends at the first video frame this far after its start: 6 frames at 30 a second, 12 at 60, 5 at 25. It is 85 % of
/// the longest part of [`PART_MICROS_MAX`], less than which only the last of a GOP may be (rfc8216bis, 4.4.4.9).
const PART_MICROS: u64 = 199_000;
/// A part with video ends at the audio frame whose successor would be further than this from the start of the part.
const PART_MICROS_MAX: u64 = 234_000;
/// Shortest end of a GOP, so that no part lasts no time at all.
const TAIL_MICROS_MIN: u64 = 1_000;
/// Audio this close to the video is as far as it is, microseconds.
const LEAD_MICROS_MIN: u64 = 50_000;
/// Audio further from the video than this says nothing of how far ahead it is.
const LEAD_MICROS_MAX: u64 = 1_000_000;
/// Most frames in one GOP; a longer one is cut.
const FRAMES_MAX: u32 = 16_384;
/// Most bytes in one GOP; a larger one is cut.
const BYTES_MAX: usize = 32 << 20;

pub struct OpenGop {
    pub number: u64,
    pub starts_at: u64,
    /// Where it ends at the latest, even if its last picture is still awaited there.
    pub limit_at: u64,
    pub frames: u32,
    pub part: u32,
    bytes: usize,
    part_starts_at: u64,
    /// Whether the part that is open has a sample.
    part_has_sample: bool,
    has_video: bool,
    /// How far audio is ahead of where the GOP is, microseconds; none until known.
    lead: Option<i64>,
    /// How far the GOP is.
    position: u64,
    last_dts: [Option<u64>; 2],
}

impl OpenGop {
    /// A GOP from `starts_at` to at most `limit_at`. Its next audio frame is expected at `audio_at` when it is at `at`.
    pub fn new(
        number: u64,
        [starts_at, limit_at]: [u64; 2],
        has_video: bool,
        audio_at: Option<u64>,
        at: u64,
    ) -> Self {
        let lead = audio_at.filter(|audio_at| audio_at.abs_diff(at) <= LEAD_MICROS_MAX);
        let lead = lead.map(|audio_at| lead_of(audio_at, at));
        Self {
            number,
            starts_at,
            limit_at,
            frames: 0,
            part: 0,
            bytes: 0,
            part_starts_at: starts_at,
            part_has_sample: false,
            has_video,
            lead: if has_video { lead } else { Some(0) },
            position: starts_at,
            last_dts: [None; 2],
        }
    }

    pub fn is_full(&self) -> bool {
        self.frames >= FRAMES_MAX || self.bytes >= BYTES_MAX
    }

    /// How far the GOP is once the frame of `track` at `dts` has arrived.
    pub fn position_with(&mut self, track: Track, dts: u64) -> u64 {
        let at = match track {
            Track::Video => dts,
            Track::Audio | Track::Data => {
                let lead = *self.lead.get_or_insert(lead_of(dts, self.position));
                dts.saturating_add_signed(-lead)
            }
        };
        at.max(self.position)
    }

    /// The decoding time of the last frame of `track`.
    pub fn last_dts(&self, track: Track) -> Option<u64> {
        self.last_dts[track as usize]
    }

    /// Takes a frame; `frame_micros` is how long it lasts if that is known by itself.
    pub fn add(&mut self, track: Track, dts: u64, bytes: usize, frame_micros: u64) {
        let position = self.position_with(track, dts);
        // The frame tells how long the one before it lasts, which so belongs to the part that is open.
        let has_predecessor = self.last_dts[track as usize].replace(dts).is_some();
        self.part_has_sample |= has_predecessor;
        let is_waiting_for_video = track == Track::Audio && self.has_video;
        let elapsed = position - self.part_starts_at;
        let is_due = if is_waiting_for_video {
            elapsed + frame_micros > PART_MICROS_MAX
        } else {
            elapsed >= PART_MICROS
        };
        let is_within_limit = position + TAIL_MICROS_MIN <= self.limit_at;
        if is_due && is_within_limit && self.part_has_sample {
            self.part += 1;
            self.part_starts_at = position;
            self.part_has_sample = false;
        }
        self.position = position;
        self.frames += 1;
        self.bytes += bytes;
    }

    /// Takes a data message, which is in no part.
    pub fn add_data(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes;
    }

    /// Where the open part starts, microseconds after the GOP does.
    pub fn part_offset(&self) -> u32 {
        (self.part_starts_at - self.starts_at) as u32
    }

    /// Where the GOP ends if what follows it would like to start at `wanted`.
    pub fn end_at(&self, wanted: u64) -> u64 {
        wanted
            .min(self.limit_at)
            .max(self.part_starts_at + TAIL_MICROS_MIN)
    }
}

fn lead_of(audio_at: u64, position: u64) -> i64 {
    if audio_at.abs_diff(position) < LEAD_MICROS_MIN {
        0
    } else {
        audio_at as i64 - position as i64
    }
}
