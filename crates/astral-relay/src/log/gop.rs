//! One GOP as held, and its frames in the forms they leave in.

use super::buffer::{FRAME_OVERHEAD_BYTES, GOP_OVERHEAD_BYTES};
use super::{Cursor, Item};
use astral_media::fmp4::{AssemblyError, CompletedPart, PartAssembler};
use astral_media::frame::{Frame, GopEnd, GopStart};
use astral_media::{flv, record, rtmp};
use astral_proto::FrameId;
use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// A frame with each wire form it has been asked for in. A form is made once, whoever asks; the payload is shared.
///
/// The payload lies within the frame's FLV tag: a tag is one slice to write, and there still is one copy of every
/// byte. Laying it out so costs one copy for each frame, and frees the read buffer that the payload came in.
pub struct Wired {
    /// The frame.
    pub frame: Arc<Frame>,
    flv: Bytes,
    rtmp: OnceLock<Vec<Bytes>>,
    link: OnceLock<Bytes>,
}

impl Wired {
    fn new(frame: &Frame) -> Self {
        let tag = flv::tag(frame);
        let flv = Bytes::from(tag.concat());
        let payload = flv.slice(tag[0].len()..tag[0].len() + frame.payload.len());
        let frame = Arc::new(Frame {
            payload,
            ..frame.clone()
        });
        Self {
            frame,
            flv,
            rtmp: OnceLock::new(),
            link: OnceLock::new(),
        }
    }

    /// As an FLV tag.
    pub fn flv(&self) -> &Bytes {
        &self.flv
    }

    /// As an RTMP message, in chunks.
    pub fn rtmp(&self) -> &[Bytes] {
        self.rtmp.get_or_init(|| rtmp::frame_message(&self.frame))
    }

    /// The head of its record on the relay link.
    pub fn link(&self) -> &Bytes {
        self.link.get_or_init(|| record::frame_head(&self.frame))
    }
}

/// A GOP as held.
pub struct Gop {
    pub start: Arc<GopStart>,
    /// The first frame held: 0, or more where this relay joined in the middle.
    pub first_number: u32,
    frames: Vec<Arc<Wired>>,
    pub end: Option<GopEnd>,
    pub bytes: usize,
    assembler: Option<PartAssembler>,
    pub parts: Vec<CompletedPart>,
}

impl Gop {
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

    /// About what it takes in memory: its frames with their wire forms.
    pub fn memory_bytes(&self) -> usize {
        self.bytes + GOP_OVERHEAD_BYTES + self.frames.len() * FRAME_OVERHEAD_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Appends the frame that was due; whether a part was completed by it.
    pub fn push(&mut self, frame: Arc<Frame>) -> bool {
        if self.frames.is_empty() {
            self.first_number = frame.id.number;
        }
        if self.first_number > 0 {
            self.assembler = None;
        }
        self.bytes += frame.payload.len();
        let wired = Wired::new(&frame);
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

    /// A provider that sends what no origin makes: the frames are passed on, but not as HLS.
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

    pub fn newest(&self) -> Option<FrameId> {
        self.frames.last().map(|wired| wired.frame.id)
    }

    /// The frame after the newest, were the GOP to go on.
    pub fn due(&self) -> FrameId {
        FrameId::new(self.start.gop, self.first_number + self.frames.len() as u32)
    }

    /// What should come next: the frame that is due, or the start of the next GOP once this one is complete.
    pub fn next_expected(&self) -> FrameId {
        self.end
            .map_or_else(|| self.due(), |_| FrameId::new(self.start.gop + 1, 0))
    }

    /// Whether a viewer can start here.
    pub fn is_entry(&self) -> bool {
        self.start.independent && self.first_number == 0 && !self.frames.is_empty()
    }

    /// Whether every frame of it is here.
    pub fn is_whole(&self) -> bool {
        self.end
            .is_some_and(|end| self.first_number == 0 && self.frames.len() == end.frames as usize)
    }

    /// Whether it can never be served as a segment: a piece is missing.
    pub fn is_broken(&self) -> bool {
        self.first_number > 0 || (self.end.is_some() && self.parts.is_empty())
    }

    /// How long it lasts, microseconds: as its end says, or its parts so far, or its frames where it has no parts.
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

    pub fn start_dts(&self) -> Option<u64> {
        self.frames.first().map(|wired| wired.frame.dts)
    }

    /// How large its keyframe is, if it is here.
    pub fn keyframe_bytes(&self) -> u64 {
        let begins = self.start.independent && self.first_number == 0;
        let first = self.frames.first().filter(|_| begins);
        first.map_or(0, |wired| wired.frame.payload.len() as u64)
    }

    /// The time of the frame that a reader at `next` gets next, or of the last if it has had all.
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

    pub fn end_dts(&self) -> Option<u64> {
        let last = self.frames.last()?.frame.dts;
        let duration = self
            .end
            .map_or(0, |end| end.video_duration.max(end.audio_duration));
        Some(last + u64::from(duration))
    }

    pub fn target_duration_seconds(&self) -> Option<u32> {
        self.end
            .and_then(|end| end.target_duration_seconds)
            .or(self.start.target_duration_seconds)
    }

    /// Hands out the frames from `number` on, about `bytes_max` at most, and moves `cursor` behind them.
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

    /// The frames held from `number` on.
    pub fn frames_from(&self, number: u32) -> Option<&[Arc<Wired>]> {
        self.frames
            .get(number.saturating_sub(self.first_number) as usize..)
    }

    /// Whether the reader at `next` has had every frame held.
    pub fn is_read(&self, next: FrameId) -> bool {
        next >= self.due()
    }
}
