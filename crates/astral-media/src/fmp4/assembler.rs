//! Makes parts from frames.

use super::part::{Part, Sample, TrackFragment, part};
use super::{AUDIO_TRACK_ID, VIDEO_TRACK_ID};
use crate::frame::{Frame, GopEnd, GopStart, Track};
use std::sync::Arc;

/// Most payload bytes in a part.
const PART_BYTES_MAX: usize = 256 << 20;
/// Most frames in a part.
const PART_FRAMES_MAX: usize = 1 << 16;

/// A player can start at a part whose keyframe is at most this far from the start of the part.
const ENTRY_OFFSET_MICROS_MAX: u64 = 100_000;

/// Why a frame cannot follow the frames before it. Its GOP must then not be served as a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssemblyError {
    /// The frame belongs to another GOP.
    #[error("frame or end of GOP {actual} within GOP {expected}")]
    OtherGop {
        /// The GOP of the frame.
        actual: u64,
        /// The GOP being assembled.
        expected: u64,
    },
    /// A frame is missing or duplicated.
    #[error("GOP {gop} continues with frame {actual}, must be {expected}")]
    OutOfOrder {
        /// The GOP.
        gop: u64,
        /// The number of the frame; at the end of the GOP, its number of frames.
        actual: u32,
        /// The number that was expected.
        expected: u32,
    },
    /// The decoding time does not rise within the track.
    #[error("decoding time {actual} us does not follow {last} us")]
    Time {
        /// Of this frame.
        actual: u64,
        /// Of the frame before it in the same track.
        last: u64,
    },
    /// The part number decreases or skips a number, or the part does not start after the part
    /// before it.
    #[error("part {actual} after part {last}")]
    Part {
        /// Of this frame.
        actual: u32,
        /// Of the frame before it.
        last: u32,
    },
    /// The part ends before any of its samples is complete.
    #[error("part {0} has no sample")]
    Empty(u32),
    /// The part is over a limit.
    #[error("part {0} is over the limit of {PART_BYTES_MAX} bytes or {PART_FRAMES_MAX} frames")]
    PartSize(u32),
}

/// A finished part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedPart {
    /// Its GOP.
    pub gop: u64,
    /// Its number in the GOP.
    pub part: u32,
    /// Its duration on the timeline, microseconds. The duration of a segment is the sum over its
    /// parts.
    pub duration: u64,
    /// Whether a player can start here.
    pub independent: bool,
    /// The moof and the mdat.
    pub bytes: Part,
}

/// Makes the parts of one GOP.
///
/// A sample lasts until the next frame of its track, and is in the part that was open before that
/// frame came. The last sample of each track is in the last part, and lasts as the end of the GOP
/// says. The assembler holds the frames of one part and the last frame of each track.
#[derive(Debug)]
pub struct PartAssembler {
    gop: u64,
    starts_at: u64,
    first_fragment: u32,
    next_number: u32,
    has_video: bool,
    /// The last frame of each track. Its duration is not known yet.
    last: [Option<Arc<Frame>>; 2],
    open: OpenPart,
}

#[derive(Debug, Default)]
struct OpenPart {
    number: u32,
    starts_at: u32,
    samples: [Vec<Sample>; 2],
    payload_bytes: usize,
}

impl PartAssembler {
    /// Creates an assembler for the GOP that `start` starts.
    pub fn new(start: &GopStart) -> Self {
        Self {
            gop: start.gop,
            starts_at: start.starts_at,
            first_fragment: start.first_fragment,
            next_number: 0,
            has_video: start.parameters.video.is_some(),
            last: [None, None],
            open: OpenPart::default(),
        }
    }

    /// Takes the next frame. Returns the part that it completes, if any. An error leaves the
    /// assembler as it was.
    pub fn push(&mut self, frame: Arc<Frame>) -> Result<Option<CompletedPart>, AssemblyError> {
        if frame.track == Track::Data {
            return self.pass_over(&frame).map(|()| None);
        }
        self.check(&frame)?;
        self.next_number = self.next_number.saturating_add(1);
        let part = frame.part;
        let starts_at = frame.part_starts_at;
        let track = frame.track;
        if let Some(last) = self.last[track as usize].replace(frame.clone()) {
            let duration = u32::try_from(frame.dts - last.dts).unwrap_or(u32::MAX);
            self.open.add(Sample {
                frame: last,
                duration,
            });
        }
        let is_complete = part > self.open.number;
        Ok(is_complete.then(|| self.close(starts_at)))
    }

    /// Takes the end of the GOP. Returns the last part; `None` if there were no frames.
    pub fn end(&mut self, end: &GopEnd) -> Result<Option<CompletedPart>, AssemblyError> {
        self.check_gop(end.gop)?;
        self.check_number(end.frames)?;
        for frame in std::mem::take(&mut self.last).into_iter().flatten() {
            let duration = match frame.track {
                Track::Video => end.video_duration,
                Track::Audio | Track::Data => end.audio_duration,
            };
            self.open.add(Sample { frame, duration });
        }
        Ok((end.frames > 0).then(|| self.close(end.duration)))
    }

    /// Counts a data frame. It is numbered like other frames but is in no part.
    fn pass_over(&mut self, frame: &Frame) -> Result<(), AssemblyError> {
        self.check_gop(frame.id.gop)?;
        self.check_number(frame.id.number)?;
        self.next_number = self.next_number.saturating_add(1);
        Ok(())
    }

    fn check(&self, frame: &Frame) -> Result<(), AssemblyError> {
        self.check_gop(frame.id.gop)?;
        self.check_number(frame.id.number)?;
        let last = self.last[frame.track as usize].as_ref();
        if let Some(last) = last.map(|last| last.dts).filter(|last| *last >= frame.dts) {
            return Err(AssemblyError::Time {
                actual: frame.dts,
                last,
            });
        }
        self.check_part(frame)?;
        let bytes = last
            .map_or(0, |last| last.payload.len())
            .max(frame.payload.len());
        if self.open.has_room(bytes) {
            Ok(())
        } else {
            Err(AssemblyError::PartSize(frame.part))
        }
    }

    fn check_part(&self, frame: &Frame) -> Result<(), AssemblyError> {
        let open = &self.open;
        let is_same = frame.part == open.number && frame.part_starts_at == open.starts_at;
        let is_next =
            frame.part == open.number.saturating_add(1) && frame.part_starts_at > open.starts_at;
        if !is_same && !is_next {
            return Err(AssemblyError::Part {
                actual: frame.part,
                last: open.number,
            });
        }
        let has_sample = !open.is_empty() || self.last[frame.track as usize].is_some();
        if is_next && !has_sample {
            Err(AssemblyError::Empty(open.number))
        } else {
            Ok(())
        }
    }

    fn check_gop(&self, actual: u64) -> Result<(), AssemblyError> {
        let expected = self.gop;
        if actual == expected {
            Ok(())
        } else {
            Err(AssemblyError::OtherGop { actual, expected })
        }
    }

    fn check_number(&self, actual: u32) -> Result<(), AssemblyError> {
        let gop = self.gop;
        let expected = self.next_number;
        if actual == expected {
            Ok(())
        } else {
            Err(AssemblyError::OutOfOrder {
                gop,
                actual,
                expected,
            })
        }
    }

    /// Closes the open part. The next one starts at `next_starts_at`.
    fn close(&mut self, next_starts_at: u32) -> CompletedPart {
        let next = OpenPart {
            number: self.open.number + 1,
            starts_at: next_starts_at,
            ..OpenPart::default()
        };
        let open = std::mem::replace(&mut self.open, next);
        let starts_at = self.starts_at.saturating_add(open.starts_at.into());
        let tracks = open.in_order(starts_at, self.last[Track::Video as usize].as_deref());
        let tracks: Vec<_> = tracks.into_iter().flatten().collect();
        let number = self.first_fragment.wrapping_add(open.number);
        CompletedPart {
            gop: self.gop,
            part: open.number,
            duration: u64::from(next_starts_at.saturating_sub(open.starts_at)),
            independent: self.is_independent(&open, starts_at),
            bytes: part(&tracks, number),
        }
    }

    /// Returns whether a player can start at a part that begins at `starts_at`.
    ///
    /// A keyframe that is shown for a long time may be in a part that begins much later. hls.js
    /// (1.7) would place this part by the time of that keyframe. It would then be late by the
    /// difference until it is restarted.
    fn is_independent(&self, part: &OpenPart, starts_at: u64) -> bool {
        let first_picture = part.samples[Track::Video as usize].first();
        first_picture.map_or(!self.has_video, |first| {
            first.frame.keyframe && first.frame.dts.abs_diff(starts_at) <= ENTRY_OFFSET_MICROS_MAX
        })
    }
}

impl OpenPart {
    fn add(&mut self, sample: Sample) {
        self.payload_bytes += sample.frame.payload.len();
        self.samples[sample.frame.track as usize].push(sample);
    }

    /// Returns the tracks of the part in the order in which they are written. If possible, the
    /// first one begins at `starts_at`, where the part begins in the playlist.
    ///
    /// Shaka (5.2) places a part by the first `tfdt` in it. If that differs from the playlist,
    /// Shaka shifts all media that it appends from then on, and Chrome drops every picture up to
    /// the next keyframe. While pictures are far apart, two cases need care:
    ///
    /// - The first picture in a part may begin long before the part. Then the audio is written
    ///   first.
    /// - The first part after a picture has only audio, which begins up to one audio frame after
    ///   the picture. Such a part begins with an empty video fragment at the time of the `awaited`
    ///   picture, whose duration is not known yet.
    fn in_order(&self, starts_at: u64, awaited: Option<&Frame>) -> [Option<TrackFragment<'_>>; 2] {
        let [video, audio] = &self.samples;
        let video = TrackFragment::of(VIDEO_TRACK_ID, video);
        let audio = TrackFragment::of(AUDIO_TRACK_ID, audio);
        let begins_here = |track: &Option<TrackFragment<'_>>| {
            track.is_some_and(|track| track.decode_time == starts_at)
        };
        if begins_here(&video) {
            return [video, audio];
        }
        if begins_here(&audio) {
            return [audio, video];
        }
        let is_awaited = awaited.is_some_and(|picture| picture.dts == starts_at);
        let no_samples = TrackFragment {
            track_id: VIDEO_TRACK_ID,
            decode_time: starts_at,
            samples: &[],
        };
        [video.or(is_awaited.then_some(no_samples)), audio]
    }

    fn is_empty(&self) -> bool {
        self.samples.iter().all(Vec::is_empty)
    }

    /// Returns whether one more sample of `bytes` fits, together with the last one of the other
    /// track.
    fn has_room(&self, bytes: usize) -> bool {
        let frames: usize = self.samples.iter().map(Vec::len).sum();
        frames + 2 < PART_FRAMES_MAX && self.payload_bytes.saturating_add(bytes) <= PART_BYTES_MAX
    }
}

impl<'a> TrackFragment<'a> {
    /// Returns the fragment of a track with `samples`; `None` if there are none.
    fn of(track_id: u32, samples: &'a [Sample]) -> Option<Self> {
        let first = samples.first()?;
        Some(Self {
            track_id,
            decode_time: first.frame.dts,
            samples,
        })
    }
}
