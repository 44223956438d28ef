//! The open GOP: how far it is, and where its parts begin.
//!
//! The *position* of a GOP is the time up to which its media has arrived. A video frame advances it
//! to its decoding time. An audio frame advances it to its decoding time minus the *lead*: by how
//! much audio was ahead of the position when the GOP began.
//!
//! A part must never contain a sample of unknown duration, because a duration that is guessed
//! wrongly would shift everything after it. The duration of a sample is known when the next frame
//! of its track arrives. So that next frame decides in which part the sample is. If pictures are
//! seconds apart, as in screen sharing, parts close at audio frames in the meantime, and contain
//! only audio.
//!
//! Without audio, a part can end only where a picture ends. If pictures are irregular and longer
//! than a part, the parts differ by more than the 15 % that rfc8216bis (4.4.4.9) allows. The
//! alternative would be one part per GOP, which would cost the low latency. Players accept the
//! short parts.

use crate::frame::Track;

/// A part ends at the first video frame this far after its start: after 6 frames at 30 frames per
/// second, 12 at 60, and 5 at 25. This is 85 % of [`PART_MICROS_MAX`]. Only the last part of a GOP
/// may be shorter (rfc8216bis, 4.4.4.9).
const PART_MICROS: u64 = 199_000;
/// A part of a GOP with video also ends at an audio frame, if the next one would be further than
/// this from its start.
const PART_MICROS_MAX: u64 = 234_000;
/// Shortest duration of the last part of a GOP: no part may have a duration of zero.
const TAIL_MICROS_MIN: u64 = 1_000;
/// A lead smaller than this counts as 0, microseconds: audio frames never begin exactly where video
/// frames do.
const LEAD_MICROS_MIN: u64 = 50_000;
/// A larger lead is ignored as wrong. The lead is then computed from the next audio frame.
const LEAD_MICROS_MAX: u64 = 1_000_000;
/// Most frames in one GOP. A GOP with more is cut.
const FRAMES_MAX: u32 = 16_384;
/// Most bytes in one GOP. A larger GOP is cut.
const BYTES_MAX: usize = 32 << 20;

pub struct OpenGop {
    pub number: u64,
    pub starts_at: u64,
    /// Where it ends at the latest, even if the duration of its last picture is not known by then.
    pub limit_at: u64,
    pub frames: u32,
    pub part: u32,
    bytes: usize,
    part_starts_at: u64,
    /// Whether the open part has a sample.
    part_has_sample: bool,
    has_video: bool,
    /// How far audio is ahead of the position, microseconds; `None` until it is known.
    lead: Option<i64>,
    /// How far the media of the GOP has arrived.
    position: u64,
    last_dts: [Option<u64>; 2],
}

impl OpenGop {
    /// Opens a GOP from `starts_at` to at most `limit_at`. The lead is the distance from `at`, the
    /// position, to `audio_at`, where the next audio frame is expected.
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

    /// Returns the position once the frame of `track` at `dts` has arrived.
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

    /// Returns the decoding time of the last frame of `track`.
    pub fn last_dts(&self, track: Track) -> Option<u64> {
        self.last_dts[track as usize]
    }

    /// Adds a frame, and opens the next part if it is time. `frame_micros` is the duration of an
    /// audio frame.
    pub fn add(&mut self, track: Track, dts: u64, bytes: usize, frame_micros: u64) {
        let position = self.position_with(track, dts);
        // This frame ends the previous frame of its track. So the previous frame belongs to the
        // open part.
        let has_predecessor = self.last_dts[track as usize].replace(dts).is_some();
        self.part_has_sample |= has_predecessor;
        let is_waiting_for_video = track == Track::Audio && self.has_video;
        // A part that a picture opens begins exactly with that picture, even if audio was a little
        // ahead: players place a part by its first sample.
        let boundary = if track == Track::Video { dts } else { position };
        let elapsed = boundary.saturating_sub(self.part_starts_at);
        let is_due = if is_waiting_for_video {
            elapsed + frame_micros > PART_MICROS_MAX
        } else {
            elapsed >= PART_MICROS
        };
        let is_within_limit = boundary + TAIL_MICROS_MIN <= self.limit_at;
        if is_due && is_within_limit && self.part_has_sample {
            self.part += 1;
            self.part_starts_at = boundary;
            self.part_has_sample = false;
        }
        self.position = position;
        self.frames += 1;
        self.bytes += bytes;
    }

    /// Adds a data message. It is not in any part.
    pub fn add_data(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes;
    }

    /// Returns the start of the open part, in microseconds after the start of the GOP.
    pub fn part_offset(&self) -> u32 {
        (self.part_starts_at - self.starts_at) as u32
    }

    /// Returns where the GOP ends if the next one should start at `wanted`.
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
