//! The GOPs of one stream as this relay holds them: one shared copy of every payload, bounded, read by cursors.
//!
//! One writer appends what an origin's timeline or a provider's link brings; any number of readers follow, each
//! with a cursor of its own. A reader takes one short read lock per batch, since a lock-free list would keep the
//! whole tail alive for the slowest of them.

mod gop;
mod hls;
#[cfg(test)]
mod tests;

use astral_media::frame::{Frame, GopEnd, GopStart, Media, Track};
use astral_proto::FrameId;
use gop::Gop;
pub use gop::Wired;
pub use hls::Lookup;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Least time a relay keeps, whatever the target duration.
const KEPT_MIN: Duration = Duration::from_secs(8);
/// Fewest GOPs a relay keeps, whatever their size.
const KEPT_GOPS_MIN: usize = 2;
/// Most bytes one read hands out, so that a slow reader is looked at again soon.
const READ_BYTES_MAX: usize = 256 << 10;
/// Readers that wait for pictures are woken for sound alone when none has come for this long.
const PICTURE_WAIT: Duration = Duration::from_millis(100);
/// Economical readers are woken this long after the last time, or with the next picture: less than 100 ms by what a
/// picture may come early.
const BATCH_WAIT: Duration = Duration::from_millis(90);
/// The bitrate is the mean over this long.
const BITRATE_MICROS: u64 = 10_000_000;

/// Why something cannot follow what the log holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// A frame without its GOP.
    #[error("frame {0} comes before its GOP starts")]
    NoGop(FrameId),
    /// Frames are missing in between.
    #[error("frame {got} comes where {expected} is due")]
    Missing {
        /// The frame that came.
        got: FrameId,
        /// The frame that was due.
        expected: FrameId,
    },
}

/// A reader's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    next: FrameId,
    started: bool,
}

impl Cursor {
    /// A reader whose first frame is `first`.
    pub fn at(first: FrameId) -> Self {
        Self { next: first, started: false }
    }

    /// The GOP the reader is in.
    pub fn gop(&self) -> u64 {
        self.next.gop
    }
}

/// What a reader gets, in order.
#[derive(Clone)]
pub enum Item {
    /// A GOP starts.
    Start(Arc<GopStart>),
    /// A frame.
    Frame(Arc<Wired>),
    /// The GOP is complete.
    End(GopEnd),
}

/// The log of one stream.
pub struct Log {
    cache_bytes_max: usize,
    inner: RwLock<Inner>,
    /// Counts what readers of every frame wait for: pictures, or sound where there are none.
    pictures: watch::Sender<u64>,
    /// Counts what economical readers wait for: pictures of about 100 ms together.
    batches: watch::Sender<u64>,
    /// Counts parts, GOP ends and the end of the stream.
    parts: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    gops: VecDeque<Gop>,
    bytes: usize,
    ended: bool,
    last_wake: Option<Instant>,
    last_batch: Option<Instant>,
    last_frame: Option<Instant>,
}

impl Log {
    /// An empty log that holds at most `cache_bytes_max` bytes beyond its last two GOPs.
    pub fn new(cache_bytes_max: usize) -> Self {
        Self {
            cache_bytes_max,
            inner: RwLock::default(),
            pictures: watch::Sender::new(0),
            batches: watch::Sender::new(0),
            parts: watch::Sender::new(0),
        }
    }

    /// Appends what follows; what is held already is passed over, so that a provider may repeat itself.
    ///
    /// # Errors
    /// [`LogError`] if frames are missing in between; what came before the error is held.
    pub fn append(&self, media: impl IntoIterator<Item = Media>) -> Result<(), LogError> {
        let mut news = News::default();
        let outcome = {
            let mut inner = self.write();
            let outcome = media.into_iter().try_for_each(|media| inner.append(media, &mut news));
            inner.evict(self.cache_bytes_max);
            news.wake |= inner.wake_for_sound(&news);
            news.batch = inner.is_batch(&news);
            outcome
        };
        self.announce(&news);
        outcome
    }

    /// No more will come: readers finish.
    pub fn end(&self) {
        self.write().ended = true;
        self.announce(&News { wake: true, batch: true, part: true, sound: false });
    }

    /// Wakes readers though nothing has come, since something else has changed.
    pub fn wake(&self) {
        self.announce(&News { wake: true, batch: true, ..News::default() });
    }

    /// Whether the stream has ended.
    pub fn has_ended(&self) -> bool {
        self.read_lock().ended
    }

    /// Forgets everything, for a publish that is not a continuation.
    pub fn clear(&self) {
        let mut inner = self.write();
        inner.gops.clear();
        inner.bytes = 0;
    }

    /// Takes up to a batch of items after `cursor` and moves it on. Nothing new leaves `out` empty.
    pub fn read(&self, cursor: &mut Cursor, out: &mut Vec<Item>) {
        self.read_lock().read(cursor, out);
    }

    /// The newest frame held.
    pub fn newest(&self) -> Option<FrameId> {
        let inner = self.read_lock();
        inner.gops.iter().rev().find_map(|gop| gop.newest())
    }

    /// The end of what is held, on the stream's timeline, microseconds.
    pub fn end_dts(&self) -> Option<u64> {
        let inner = self.read_lock();
        inner.gops.iter().rev().find_map(Gop::end_dts)
    }

    /// When the newest frame came.
    pub fn last_frame_at(&self) -> Option<Instant> {
        self.read_lock().last_frame
    }

    /// What should come next: the frame after the newest, or the start of the next GOP after a complete one.
    pub fn next_expected(&self) -> Option<FrameId> {
        let inner = self.read_lock();
        inner.gops.back().map(Gop::next_expected)
    }

    /// The oldest GOP held.
    pub fn oldest_gop(&self) -> Option<u64> {
        self.read_lock().gops.front().map(|gop| gop.start.gop)
    }

    /// Where a new viewer starts: the newest GOP that a decoder can start at and that is here from its first frame.
    pub fn newest_entry(&self) -> Option<FrameId> {
        let inner = self.read_lock();
        let entry = inner.gops.iter().rev().find(|gop| gop.is_entry())?;
        Some(FrameId::new(entry.start.gop, 0))
    }

    /// Whether a reader can start exactly at `first`: it is held, or still to come.
    pub fn can_start_at(&self, first: FrameId) -> bool {
        let inner = self.read_lock();
        let Some(front) = inner.gops.front() else { return true };
        let held = inner.gops.iter().find(|gop| gop.start.gop == first.gop);
        match held {
            Some(gop) => first.number >= gop.first_number,
            None => first.gop > front.start.gop,
        }
    }

    /// The start of the newest GOP.
    pub fn newest_start(&self) -> Option<Arc<GopStart>> {
        self.read_lock().gops.back().map(|gop| gop.start.clone())
    }

    /// Mean bitrate over the last 10 s, kbit/s; 0 until a GOP is complete.
    pub fn kbps(&self) -> u32 {
        self.read_lock().kbps()
    }

    /// Told about pictures, or sound where there are none: once per video frame.
    pub fn watch_pictures(&self) -> watch::Receiver<u64> {
        self.pictures.subscribe()
    }

    /// Told about the same, but about once per 100 ms.
    pub fn watch_batches(&self) -> watch::Receiver<u64> {
        self.batches.subscribe()
    }

    /// Told about parts, GOP ends and the end of the stream.
    pub fn watch_parts(&self) -> watch::Receiver<u64> {
        self.parts.subscribe()
    }

    fn announce(&self, news: &News) {
        if news.wake {
            self.pictures.send_modify(|count| *count += 1);
        }
        if news.batch {
            self.batches.send_modify(|count| *count += 1);
        }
        if news.part {
            self.parts.send_modify(|count| *count += 1);
        }
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an append brought.
#[derive(Default)]
struct News {
    wake: bool,
    batch: bool,
    part: bool,
    sound: bool,
}

impl Inner {
    fn append(&mut self, media: Media, news: &mut News) -> Result<(), LogError> {
        match media {
            Media::Start(start) => {
                self.start(start);
                Ok(())
            }
            Media::Frame(frame) => self.frame(frame, news),
            Media::End(end) => {
                self.gop_end(&end, news);
                Ok(())
            }
        }
    }

    fn start(&mut self, start: GopStart) {
        let known = self.gops.back().is_some_and(|last| last.start.gop >= start.gop);
        if !known {
            self.ended = false;
            self.gops.push_back(Gop::new(start));
        }
    }

    fn frame(&mut self, frame: Arc<Frame>, news: &mut News) -> Result<(), LogError> {
        let Some(gop) = self.gops.back_mut() else { return Err(LogError::NoGop(frame.id)) };
        let expected = gop.due();
        if frame.id < expected && (frame.id.gop < expected.gop || !gop.is_empty()) {
            return Ok(());
        }
        if frame.id.gop > expected.gop || gop.end.is_some() {
            return Err(LogError::NoGop(frame.id));
        }
        if frame.id > expected && !gop.is_empty() {
            return Err(LogError::Missing { got: frame.id, expected });
        }
        match frame.track {
            Track::Video => news.wake = true,
            Track::Audio => news.sound = true,
        }
        self.bytes += frame.payload.len();
        self.last_frame = Some(Instant::now());
        news.part |= gop.push(frame);
        Ok(())
    }

    fn gop_end(&mut self, end: &GopEnd, news: &mut News) {
        if let Some(gop) = self.gops.back_mut().filter(|gop| gop.start.gop == end.gop && gop.end.is_none()) {
            gop.finish(end);
            news.part = true;
            news.wake = true;
            news.batch = true;
        }
    }

    /// Sound alone wakes readers only when no picture does.
    fn wake_for_sound(&mut self, news: &News) -> bool {
        let now = Instant::now();
        let silent = self.last_wake.is_none_or(|last| now - last >= PICTURE_WAIT);
        let has_video = self.gops.back().is_some_and(|gop| gop.start.parameters.video.is_some());
        let wake = news.sound && (!has_video || silent);
        if news.wake || wake {
            self.last_wake = Some(now);
        }
        wake
    }

    /// The end of a GOP is always one, since nothing may follow it for long.
    fn is_batch(&mut self, news: &News) -> bool {
        let now = Instant::now();
        let waited = self.last_batch.is_none_or(|last| now - last >= BATCH_WAIT);
        let due = news.batch || (news.wake && waited);
        if due {
            self.last_batch = Some(now);
        }
        due
    }

    fn read(&self, cursor: &mut Cursor, out: &mut Vec<Item>) {
        let mut bytes = 0;
        while bytes < READ_BYTES_MAX {
            let index = self.gops.partition_point(|gop| gop.start.gop < cursor.next.gop);
            let Some(gop) = self.gops.get(index) else { return };
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

    fn evict(&mut self, cache_bytes_max: usize) {
        while self.gops.len() > KEPT_GOPS_MIN && (self.front_is_spare() || self.bytes > cache_bytes_max) {
            let gone = self.gops.pop_front();
            self.bytes -= gone.map_or(0, |gop| gop.bytes);
        }
    }

    /// Whether what must be kept is here without the oldest GOP.
    fn front_is_spare(&self) -> bool {
        let target = self.target_duration_seconds().map_or(0, u64::from);
        let kept = (target * 3_000_000).max(KEPT_MIN.as_micros() as u64);
        let (second, last) = (self.gops.get(1), self.gops.back());
        let from = second.and_then(Gop::start_dts);
        let to = last.and_then(Gop::end_dts);
        from.zip(to).is_some_and(|(from, to)| to.saturating_sub(from) > kept)
    }

    fn target_duration_seconds(&self) -> Option<u32> {
        self.gops.iter().rev().find_map(Gop::target_duration_seconds)
    }

    fn kbps(&self) -> u32 {
        let complete = || self.gops.iter().rev().filter(|gop| gop.end.is_some());
        let Some(end) = complete().next().and_then(Gop::end_dts) else { return 0 };
        let recent = complete().take_while(|gop| {
            gop.start_dts().is_some_and(|start| end.saturating_sub(start) <= BITRATE_MICROS)
        });
        let (bytes, from) = recent.fold((0, end), |(bytes, from), gop| {
            (bytes + gop.bytes as u64, gop.start_dts().unwrap_or(from).min(from))
        });
        // A single GOP longer than the window is its own mean.
        let (bytes, from) = match bytes {
            0 => complete().next().map_or((0, end), |gop| (gop.bytes as u64, gop.start_dts().unwrap_or(end))),
            _ => (bytes, from),
        };
        (bytes * 8_000 / end.saturating_sub(from).max(1)) as u32
    }
}
