//! From frames in order to parts, the same on every relay.

use super::part::{Part, Sample, part};
use crate::frame::{Frame, GopEnd, GopStart, Track};
use std::sync::Arc;

/// Most payload bytes in a part.
const PART_BYTES_MAX: usize = 256 << 20;
/// Most frames in a part.
const PART_FRAMES_MAX: usize = 1 << 16;

/// Why a frame cannot follow those before it. The GOP is then not to be served as a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssemblyError {
    /// A frame of another GOP.
    #[error("frame or end of GOP {actual} in GOP {expected}")]
    OtherGop {
        /// The GOP it came with.
        actual: u64,
        /// The GOP being assembled.
        expected: u64,
    },
    /// A frame is missing, or comes twice.
    #[error("frame {actual} of GOP {gop} where {expected} belongs")]
    OutOfOrder {
        /// The GOP.
        gop: u64,
        /// The number that came; at the end, how many frames there should be.
        actual: u32,
        /// The number that belongs here.
        expected: u32,
    },
    /// Time does not advance within a track.
    #[error("decoding time {actual} us does not follow {last} us")]
    Time {
        /// Of the frame that came.
        actual: u64,
        /// Of the frame before it in its track.
        last: u64,
    },
    /// A part number that falls or leaves others out, or a part that does not start after the one before it.
    #[error("part {actual} after part {last}")]
    Part {
        /// Of the frame that came.
        actual: u32,
        /// Of the frame before it.
        last: u32,
    },
    /// A part that is closed before anything in it is complete.
    #[error("part {0} has no sample")]
    Empty(u32),
    /// A part over its limits.
    #[error("part {0} is over the limit of {PART_BYTES_MAX} bytes or {PART_FRAMES_MAX} frames")]
    PartSize(u32),
}

/// A part that no later frame changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedPart {
    /// Its GOP.
    pub gop: u64,
    /// Its number in the GOP.
    pub part: u32,
    /// How far the timeline advances with it, microseconds. A segment lasts the sum over its parts.
    pub duration: u64,
    /// Whether a player can start at it.
    pub independent: bool,
    /// moof and mdat.
    pub bytes: Part,
}

/// Makes the parts of one GOP. A sample lasts until the next of its track, and is in the part that was open when that
/// came; the last sample of each track is in the last part, and lasts as the GOP's end says. Holds the frames of one part
/// and the last of each track.
#[derive(Debug)]
pub struct PartAssembler {
    gop: u64,
    first_fragment: u32,
    next_number: u32,
    has_video: bool,
    /// The last frame of each track, whose duration is not known yet.
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
    /// An assembler for the GOP that `start` starts.
    pub fn new(start: &GopStart) -> Self {
        Self {
            gop: start.gop,
            first_fragment: start.first_fragment,
            next_number: 0,
            has_video: start.parameters.video.is_some(),
            last: [None, None],
            open: OpenPart::default(),
        }
    }

    /// Takes the next frame; gives the part that it completes. After an error nothing has changed.
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

    /// Takes the end of the GOP; gives the last part, none if there were no frames.
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

    /// Data has a number among the frames, and no place in a part.
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

    /// Closes the open part where the next one starts.
    fn close(&mut self, next_starts_at: u32) -> CompletedPart {
        let next = OpenPart {
            number: self.open.number + 1,
            starts_at: next_starts_at,
            ..OpenPart::default()
        };
        let open = std::mem::replace(&mut self.open, next);
        let [video, audio] = &open.samples;
        CompletedPart {
            gop: self.gop,
            part: open.number,
            duration: u64::from(next_starts_at.saturating_sub(open.starts_at)),
            independent: video
                .first()
                .map_or(!self.has_video, |first| first.frame.keyframe),
            bytes: part(video, audio, self.first_fragment.wrapping_add(open.number)),
        }
    }
}

impl OpenPart {
    fn add(&mut self, sample: Sample) {
        self.payload_bytes += sample.frame.payload.len();
        self.samples[sample.frame.track as usize].push(sample);
    }

    fn is_empty(&self) -> bool {
        self.samples.iter().all(Vec::is_empty)
    }

    /// Whether one more sample of `bytes` fits, and the last of the other track with it.
    fn has_room(&self, bytes: usize) -> bool {
        let frames: usize = self.samples.iter().map(Vec::len).sum();
        frames + 2 < PART_FRAMES_MAX && self.payload_bytes.saturating_add(bytes) <= PART_BYTES_MAX
    }
}
