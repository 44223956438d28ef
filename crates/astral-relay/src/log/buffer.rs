//! What a log holds: the rules of what may follow what, what is kept, and who is woken.

use super::gop::{Gop, Wired};
use super::{Cursor, Item, LogError};
use astral_media::frame::{Frame, GopEnd, GopStart, Media, Track};
use astral_proto::{FrameId, Incarnation};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Most bytes one read hands out, so that a slow reader is looked at again soon.
const READ_BYTES_MAX: usize = 256 << 10;
/// Readers that wait for pictures are woken for sound alone when none has come for this long.
const PICTURE_WAIT: Duration = Duration::from_millis(100);
/// Economical readers are woken this long after the last time, or with the next picture: less than 100 ms by what a
/// picture may come early.
const BATCH_WAIT: Duration = Duration::from_millis(90);
/// About what a GOP takes beside its frames, in bytes: counted, or tiny GOPs without number would fit.
pub const GOP_OVERHEAD_BYTES: usize = 1024;
/// About what a frame takes beside its payload with all its wire forms, in bytes.
pub const FRAME_OVERHEAD_BYTES: usize = 512;

/// What a log holds, under its lock.
#[derive(Default)]
pub struct Buffer {
    pub gops: VecDeque<Gop>,
    pub bytes: usize,
    /// The first GOP that a playlist may list. It never falls, so that EXT-X-MEDIA-SEQUENCE does not either.
    pub listed_from: u64,
    /// Counts what changes a playlist.
    pub version: u64,
    pub ended: bool,
    last_wake: Option<Instant>,
    last_batch: Option<Instant>,
    pub last_frame: Option<Instant>,
    /// The end of the stream as it was held before this began, until something new comes.
    ending: Option<Box<Buffer>>,
    /// The end of the open GOP if its publisher sends nothing more, for the relay that numbers it.
    pub end_if_it_stops: Option<GopEnd>,
}

/// What an append brought.
#[derive(Default)]
pub struct News {
    pub wake: bool,
    pub batch: bool,
    pub part: bool,
    pub sound: bool,
    /// What was held has made way for another history of the stream.
    pub restarted: bool,
}

impl Buffer {
    pub fn append(&mut self, media: Media, news: &mut News) -> Result<(), LogError> {
        match media {
            Media::Start(start) => {
                self.start(start, news);
                Ok(())
            }
            Media::Frame(frame) => self.frame(frame, news),
            Media::End(end) => {
                self.gop_end(&end, news);
                Ok(())
            }
        }
    }

    /// Forgets everything that is held.
    pub fn forget(&mut self) {
        *self = Self {
            version: self.version + 1,
            ..Self::default()
        };
    }

    fn start(&mut self, start: GopStart, news: &mut News) {
        if self
            .incarnation()
            .differs_from(start.parameters.incarnation)
        {
            self.forget();
            *news = News {
                wake: true,
                batch: true,
                part: true,
                restarted: true,
                ..News::default()
            };
        }
        let known = self
            .gops
            .back()
            .is_some_and(|last| last.start.gop >= start.gop);
        if !known {
            self.ended = false;
            self.version += 1;
            self.ending = None;
            self.bytes += GOP_OVERHEAD_BYTES;
            self.gops.push_back(Gop::new(start));
        }
    }

    /// Begins again with nothing.
    pub fn start_over(&mut self) {
        let before = std::mem::take(self);
        self.version = before.version + 1;
        self.ending = if before.ended {
            Some(Box::new(before))
        } else {
            before.ending
        };
    }

    /// No more will come.
    pub fn end(&mut self) {
        if let Some(ending) = self.ending.take() {
            *self = Self {
                version: self.version,
                ..*ending
            };
        }
        self.version += 1;
        self.ended = true;
    }

    fn frame(&mut self, frame: Arc<Frame>, news: &mut News) -> Result<(), LogError> {
        let Some(gop) = self.gops.back_mut() else {
            return Err(LogError::NoGop(frame.id));
        };
        let expected = gop.due();
        if frame.id < expected && (frame.id.gop < expected.gop || !gop.is_empty()) {
            return Ok(());
        }
        if frame.id.gop > expected.gop || gop.end.is_some() {
            return Err(LogError::NoGop(frame.id));
        }
        if frame.id > expected && !gop.is_empty() {
            return Err(LogError::Missing {
                got: frame.id,
                expected,
            });
        }
        match frame.track {
            Track::Video => news.wake = true,
            Track::Audio => news.sound = true,
            // It goes out with the next picture or sound.
            Track::Data => {}
        }
        self.bytes += frame.payload.len() + FRAME_OVERHEAD_BYTES;
        self.last_frame = Some(Instant::now());
        news.part |= gop.push(frame);
        Ok(())
    }

    /// The history that what is held belongs to.
    pub fn incarnation(&self) -> Incarnation {
        self.gops
            .back()
            .map(|gop| gop.start.parameters.incarnation)
            .unwrap_or_default()
    }

    pub fn gop_end(&mut self, end: &GopEnd, news: &mut News) {
        if let Some(gop) = self
            .gops
            .back_mut()
            .filter(|gop| gop.start.gop == end.gop && gop.end.is_none())
        {
            gop.finish(end);
            news.part = true;
            news.wake = true;
            news.batch = true;
        }
    }

    /// Sound alone wakes readers only when no picture does.
    pub fn wake_for_sound(&mut self, news: &News) -> bool {
        let now = Instant::now();
        let silent = self.last_wake.is_none_or(|last| now - last >= PICTURE_WAIT);
        let has_video = self
            .gops
            .back()
            .is_some_and(|gop| gop.start.parameters.video.is_some());
        let wake = news.sound && (!has_video || silent);
        if news.wake || wake {
            self.last_wake = Some(now);
        }
        wake
    }

    /// The end of a GOP is always one, since nothing may follow it for long.
    pub fn is_batch(&mut self, news: &News) -> bool {
        let now = Instant::now();
        let waited = self.last_batch.is_none_or(|last| now - last >= BATCH_WAIT);
        let due = news.batch || (news.wake && waited);
        if due {
            self.last_batch = Some(now);
        }
        due
    }

    pub fn read(&self, cursor: &mut Cursor, out: &mut Vec<Item>) {
        let mut bytes = 0;
        while bytes < READ_BYTES_MAX {
            let index = self
                .gops
                .partition_point(|gop| gop.start.gop < cursor.next.gop);
            let Some(gop) = self.gops.get(index) else {
                return;
            };
            if gop.start.gop > cursor.next.gop {
                *cursor = Cursor::at(FrameId::new(gop.start.gop, 0));
            }
            if !cursor.started {
                cursor.started = true;
                out.push(Item::Start(gop.start.clone()));
            }
            bytes += gop.read(cursor, READ_BYTES_MAX - bytes, out);
            let is_last = index + 1 == self.gops.len();
            if !gop.is_read(cursor.next) || (is_last && gop.end.is_none()) {
                return;
            }
            if let Some(end) = gop.end {
                out.push(Item::End(end));
            }
            *cursor = Cursor::at(FrameId::new(gop.start.gop + 1, 0));
        }
    }

    /// The frames after `cursor`, if the reader is inside the open GOP and they are few enough for one write.
    pub fn frames_of_open_gop(&self, cursor: &Cursor) -> Option<&[Arc<Wired>]> {
        let gop = self
            .gops
            .back()
            .filter(|gop| gop.end.is_none() && gop.start.gop == cursor.next.gop)?;
        let frames = gop
            .frames_from(cursor.next.number)
            .filter(|_| cursor.started)?;
        let bytes: usize = frames.iter().map(|wired| wired.frame.payload.len()).sum();
        (!frames.is_empty() && bytes <= READ_BYTES_MAX).then_some(frames)
    }

    pub fn target_duration_seconds(&self) -> Option<u32> {
        self.gops
            .iter()
            .rev()
            .find_map(Gop::target_duration_seconds)
    }
}
