//! From frames in order to parts, the same on every relay.

use super::TIMESCALE;
use super::part::{Part, Sample, part, sequence_number};
use crate::codec::frame_duration_samples;
use crate::frame::{Frame, GopEnd, GopStart, Track};
use std::collections::VecDeque;
use std::sync::Arc;

/// Video that nothing else tells the duration of lasts this long, microseconds: 30 frames a second.
const NOMINAL_VIDEO_DURATION: u32 = 33_333;
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
    /// A part number that falls.
    #[error("part {actual} after part {last}")]
    PartFell {
        /// Of the frame that came.
        actual: u32,
        /// Of the frame before it.
        last: u32,
    },
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
    /// Of its video, or of its audio if it has no video, microseconds. A segment lasts the sum over its parts.
    pub duration: u64,
    /// Whether a player can start at it.
    pub independent: bool,
    /// moof and mdat.
    pub bytes: Part,
}

/// Makes the parts of one GOP. A sample lasts until the next of its track. A part is complete when each of its
/// tracks goes on in a later part, when a frame two parts on arrives, or when the GOP ends; a sample without a
/// successor by then lasts as its GOP's end says, or else as long as the sample before it. Holds the frames of
/// two parts at most.
#[derive(Debug)]
pub struct PartAssembler {
    gop: u64,
    next_number: u32,
    video: TrackState,
    audio: TrackState,
    has_video: bool,
    open: VecDeque<OpenPart>,
}

#[derive(Debug)]
struct TrackState {
    last_dts: Option<u64>,
    /// What a sample lasts that has no successor.
    likely_duration: u32,
}

#[derive(Debug)]
struct OpenPart {
    number: u32,
    video: Vec<Arc<Frame>>,
    audio: Vec<Arc<Frame>>,
    payload_bytes: usize,
}

impl PartAssembler {
    /// An assembler for the GOP that `start` starts.
    pub fn new(start: &GopStart) -> Self {
        let audio_duration = start.parameters.audio.as_ref().map_or(0, |audio| {
            let samples = u64::from(frame_duration_samples(audio));
            u32::try_from(samples * u64::from(TIMESCALE) / u64::from(audio.sample_rate.max(1))).unwrap_or(0)
        });
        Self {
            gop: start.gop,
            next_number: 0,
            video: TrackState { last_dts: None, likely_duration: NOMINAL_VIDEO_DURATION },
            audio: TrackState { last_dts: None, likely_duration: audio_duration },
            has_video: start.parameters.video.is_some(),
            open: VecDeque::with_capacity(3),
        }
    }

    /// Takes the next frame; gives the parts that it completes, in order. After an error nothing has changed.
    pub fn push(&mut self, frame: Arc<Frame>) -> Result<Vec<CompletedPart>, AssemblyError> {
        if frame.track == Track::Data {
            return self.pass_over(&frame).map(|()| Vec::new());
        }
        self.check(&frame)?;
        self.next_number = self.next_number.saturating_add(1);
        self.state(frame.track).last_dts = Some(frame.dts);
        let newest = frame.part;
        self.add(frame);
        let mut completed = Vec::new();
        while self.front_is_complete(newest) {
            completed.extend(self.close_front(None));
        }
        Ok(completed)
    }

    /// Takes the end of the GOP; gives all parts that are left, in order.
    pub fn end(&mut self, end: &GopEnd) -> Result<Vec<CompletedPart>, AssemblyError> {
        self.check_gop(end.gop)?;
        self.check_number(end.frames)?;
        Ok(std::iter::from_fn(|| self.close_front(Some(end))).collect())
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
        let last_dts = match frame.track {
            Track::Video => self.video.last_dts,
            Track::Audio | Track::Data => self.audio.last_dts,
        };
        if let Some(last) = last_dts.filter(|last| *last >= frame.dts) {
            return Err(AssemblyError::Time { actual: frame.dts, last });
        }
        match self.open.back() {
            Some(open) if open.number > frame.part => {
                Err(AssemblyError::PartFell { actual: frame.part, last: open.number })
            }
            Some(open) if open.number == frame.part && !open.has_room(frame) => {
                Err(AssemblyError::PartSize(frame.part))
            }
            _ if frame.payload.len() > PART_BYTES_MAX => Err(AssemblyError::PartSize(frame.part)),
            _ => Ok(()),
        }
    }

    fn check_gop(&self, actual: u64) -> Result<(), AssemblyError> {
        let expected = self.gop;
        if actual == expected { Ok(()) } else { Err(AssemblyError::OtherGop { actual, expected }) }
    }

    fn check_number(&self, actual: u32) -> Result<(), AssemblyError> {
        let (gop, expected) = (self.gop, self.next_number);
        if actual == expected { Ok(()) } else { Err(AssemblyError::OutOfOrder { gop, actual, expected }) }
    }

    fn state(&mut self, track: Track) -> &mut TrackState {
        match track {
            Track::Video => &mut self.video,
            Track::Audio | Track::Data => &mut self.audio,
        }
    }

    fn add(&mut self, frame: Arc<Frame>) {
        match self.open.back_mut() {
            Some(open) if open.number == frame.part => open.add(frame),
            _ => self.open.push_back(OpenPart::of(frame)),
        }
    }

    fn front_is_complete(&self, newest: u32) -> bool {
        let Some(front) = self.open.front() else { return false };
        let goes_on = |track: Track| {
            front.frames(track).is_empty()
                || self.open.iter().skip(1).any(|open| !open.frames(track).is_empty())
        };
        newest - front.number >= 2 || newest > front.number && goes_on(Track::Video) && goes_on(Track::Audio)
    }

    fn close_front(&mut self, end: Option<&GopEnd>) -> Option<CompletedPart> {
        let front = self.open.pop_front()?;
        let video = self.samples(&front, Track::Video, end.map(|end| end.video_duration));
        let audio = self.samples(&front, Track::Audio, end.map(|end| end.audio_duration));
        let timed = if video.is_empty() { &audio } else { &video };
        Some(CompletedPart {
            gop: self.gop,
            part: front.number,
            duration: timed.iter().map(|sample| u64::from(sample.duration)).sum(),
            independent: video.first().map_or(!self.has_video, |first| first.frame.keyframe),
            bytes: part(&video, &audio, sequence_number(self.gop, front.number)),
        })
    }

    /// The frames of `track` in the part `front`, each until the next; `last_duration` is what the GOP's end says.
    fn samples(&mut self, front: &OpenPart, track: Track, last_duration: Option<u32>) -> Vec<Sample> {
        let frames = front.frames(track);
        let following = self.open.iter().find_map(|open| open.frames(track).first()).map(|frame| frame.dts);
        let mut likely_duration = self.state(track).likely_duration;
        let mut samples = Vec::with_capacity(frames.len());
        for (index, frame) in frames.iter().enumerate() {
            let next = frames.get(index + 1).map(|next| next.dts).or(following);
            let duration = match next {
                Some(next) => u32::try_from(next - frame.dts).unwrap_or(u32::MAX),
                None => last_duration.filter(|duration| *duration > 0).unwrap_or(likely_duration),
            };
            likely_duration = duration;
            samples.push(Sample { frame: frame.clone(), duration });
        }
        self.state(track).likely_duration = likely_duration;
        samples
    }
}

impl OpenPart {
    fn of(frame: Arc<Frame>) -> Self {
        let mut open = Self { number: frame.part, video: Vec::new(), audio: Vec::new(), payload_bytes: 0 };
        open.add(frame);
        open
    }

    fn add(&mut self, frame: Arc<Frame>) {
        self.payload_bytes += frame.payload.len();
        match frame.track {
            Track::Video => self.video.push(frame),
            Track::Audio => self.audio.push(frame),
            Track::Data => {}
        }
    }

    fn frames(&self, track: Track) -> &[Arc<Frame>] {
        match track {
            Track::Video => &self.video,
            Track::Audio => &self.audio,
            Track::Data => &[],
        }
    }

    fn has_room(&self, frame: &Frame) -> bool {
        self.video.len() + self.audio.len() < PART_FRAMES_MAX
            && self.payload_bytes + frame.payload.len() <= PART_BYTES_MAX
    }
}
