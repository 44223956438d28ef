//! One GOP in the log.

use super::cursor::{Cursor, Item};
use super::wire_frame::WireFrame;
use astral_media::fmp4::{AssemblyError, CompletedPart, PartAssembler};
use astral_media::frame::{Frame, GopEnd, GopStart};
use astral_proto::FrameId;
use std::sync::Arc;

/// About what a GOP takes in memory besides its frames, in bytes. Without it, any number of empty
/// GOPs would fit.
const GOP_OVERHEAD_BYTES: usize = 1024;
/// About what a frame takes in memory besides its payload, with all its wire forms, in bytes.
const FRAME_OVERHEAD_BYTES: usize = 512;

/// One GOP in the log.
pub struct Gop {
    /// How it starts.
    pub start: Arc<GopStart>,
    /// The first frame held: 0, or more where this relay joined in the middle.
    pub first_number: u32,
    frames: Vec<Arc<WireFrame>>,
    /// None while the GOP is open.
    pub end: Option<GopEnd>,
    /// Its payloads, in bytes.
    pub bytes: usize,
    /// Makes the parts; None once the GOP is complete, or cannot be served as HLS.
    assembler: Option<PartAssembler>,
    /// The parts of HLS that are complete.
    pub parts: Vec<CompletedPart>,
}

impl Gop {
    /// An open GOP without frames.
    pub fn new(start: GopStart) -> Self {
        Self {
            assembler: Some(PartAssembler::new(&start)),
            start: Arc::new(start),
            first_number: 0,
            frames: Vec::new(),
            end: None,
            bytes: 0,
            parts: Vec::new(),
        }
    }

    /// About what it takes in memory: its frames with all wire forms.
    pub fn memory_bytes(&self) -> usize {
        self.bytes + GOP_OVERHEAD_BYTES + self.frames.len() * FRAME_OVERHEAD_BYTES
    }

    /// Whether no frame has come yet.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Appends the frame that is due. Returns whether it completed a part.
    pub fn push(&mut self, frame: Arc<Frame>) -> bool {
        if self.frames.is_empty() {
            self.first_number = frame.id.number;
        }
        if self.first_number > 0 {
            self.assembler = None;
        }
        self.bytes += frame.payload.len();
        let wired = WireFrame::new(&frame);
        let frame = wired.frame.clone();
        self.frames.push(Arc::new(wired));
        let Some(assembler) = &mut self.assembler else {
            return false;
        };
        match assembler.push(frame) {
            Ok(completed) => self.keep_parts(completed),
            Err(error) => self.give_up_parts(&error),
        }
    }

    /// Completes the GOP. Its parts are kept only if no frame is missing, because a segment must be
    /// whole.
    pub fn finish(&mut self, end: &GopEnd) {
        self.end = Some(*end);
        let whole = self.first_number == 0 && self.frames.len() == end.frames as usize;
        let Some(mut assembler) = self.assembler.take().filter(|_| whole) else {
            return self.parts.clear();
        };
        match assembler.end(end) {
            Ok(completed) => self.keep_parts(completed),
            Err(error) => self.give_up_parts(&error),
        };
    }

    /// A provider has sent what no origin makes. The frames are passed on, but not as HLS.
    fn give_up_parts(&mut self, error: &AssemblyError) -> bool {
        tracing::warn!(gop = self.start.gop, %error, "no parts of this GOP");
        self.assembler = None;
        self.parts.clear();
        false
    }

    fn keep_parts(&mut self, completed: Option<CompletedPart>) -> bool {
        let any = completed.is_some();
        self.parts.extend(completed);
        any
    }

    /// The newest frame.
    pub fn newest(&self) -> Option<FrameId> {
        self.frames.last().map(|wired| wired.frame.id)
    }

    /// The frame after the newest, if the GOP goes on.
    pub fn due(&self) -> FrameId {
        FrameId::new(self.start.gop, self.first_number + self.frames.len() as u32)
    }

    /// What should come next: the frame that is due, or the start of the next GOP once this one is
    /// complete.
    pub fn next_expected(&self) -> FrameId {
        self.end
            .map_or_else(|| self.due(), |_| FrameId::new(self.start.gop + 1, 0))
    }

    /// What frame `frame` adds to [`Gop::memory_bytes`].
    pub fn memory_bytes_of(frame: &Frame) -> usize {
        frame.payload.len() + FRAME_OVERHEAD_BYTES
    }

    /// Whether a viewer can start here: a keyframe comes first, and it is here.
    pub fn is_entry(&self) -> bool {
        self.start.independent && self.first_number == 0 && !self.frames.is_empty()
    }

    /// Whether the GOP is complete and no frame is missing.
    pub fn is_whole(&self) -> bool {
        self.end
            .is_some_and(|end| self.first_number == 0 && self.frames.len() == end.frames as usize)
    }

    /// Whether it can never be served as a segment, because a piece is missing.
    pub fn is_broken(&self) -> bool {
        self.first_number > 0 || (self.end.is_some() && self.parts.is_empty())
    }

    /// Its duration, microseconds: by its end, or else by its parts so far, or else by its frames.
    pub fn duration_us(&self) -> u64 {
        if let Some(end) = self.end {
            return u64::from(end.duration);
        }
        if self.parts.is_empty() {
            let frames = self.start_dts().zip(self.end_dts());
            return frames.map_or(0, |(from, to)| to.saturating_sub(from));
        }
        self.parts.iter().map(|part| part.duration).sum()
    }

    /// When it starts on the timeline of the stream, microseconds.
    pub fn start_dts(&self) -> Option<u64> {
        self.frames.first().map(|wired| wired.frame.dts)
    }

    /// The size of its keyframe, in bytes; 0 if the log does not have it.
    pub fn keyframe_bytes(&self) -> u64 {
        let begins = self.start.independent && self.first_number == 0;
        let first = self.frames.first().filter(|_| begins);
        first.map_or(0, |wired| wired.frame.payload.len() as u64)
    }

    /// The time of the frame that a reader at `next` gets next, or of the last frame if it has had
    /// all, microseconds.
    pub fn dts_from(&self, next: FrameId) -> Option<u64> {
        let number = if next.gop == self.start.gop {
            next.number
        } else {
            0
        };
        let at = number.saturating_sub(self.first_number) as usize;
        self.frames
            .get(at)
            .or(self.frames.last())
            .map(|wired| wired.frame.dts)
    }

    /// When it ends on the timeline of the stream, microseconds; until it is complete, when its
    /// last frame starts.
    pub fn end_dts(&self) -> Option<u64> {
        let last = self.frames.last()?.frame.dts;
        let duration = self
            .end
            .map_or(0, |end| end.video_duration.max(end.audio_duration));
        Some(last + u64::from(duration))
    }

    /// The target duration, once the origin has fixed it.
    pub fn target_duration_seconds(&self) -> Option<u32> {
        self.end
            .and_then(|end| end.target_duration_seconds)
            .or(self.start.target_duration_seconds)
    }

    /// Appends the frames from `cursor` on to `out`, about `bytes_max` at most, and moves `cursor`
    /// behind them. Returns their size.
    pub fn read(&self, cursor: &mut Cursor, bytes_max: usize, out: &mut Vec<Item>) -> usize {
        let from = cursor.next.number.saturating_sub(self.first_number) as usize;
        let mut bytes = 0;
        for wired in self.frames.iter().skip(from) {
            if bytes >= bytes_max {
                break;
            }
            bytes += wired.frame.payload.len() + 1;
            cursor.next = wired.frame.id.next();
            out.push(Item::Frame(wired.clone()));
        }
        bytes
    }

    /// The frames from `number` on.
    pub fn frames_from(&self, number: u32) -> Option<&[Arc<WireFrame>]> {
        self.frames
            .get(number.saturating_sub(self.first_number) as usize..)
    }

    /// Whether a reader at `next` has had every frame.
    pub fn is_read(&self, next: FrameId) -> bool {
        next >= self.due()
    }
}
