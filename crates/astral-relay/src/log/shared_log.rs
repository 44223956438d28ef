//! The GOPs of one stream as this relay holds them: one shared copy of every payload, bounded, read by cursors.
//!
//! One writer appends what an origin's timeline or a provider's link brings; any number of readers follow, each
//! with a cursor of its own. A reader takes one short read lock per batch, since a lock-free list would keep the
//! whole tail alive for the slowest of them.

use super::buffer::{Buffer, News};
use super::gop::{Gop, Wired};
use super::playlist_cache::Rendered;
use crate::sync;
use astral_media::frame::{GopEnd, GopStart, Media};
use astral_proto::{FrameId, Incarnation};
use bytes::Bytes;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;
use tokio::time::Instant;

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
    pub(super) next: FrameId,
    pub(super) started: bool,
}

impl Cursor {
    /// A reader whose first frame is `first`.
    pub fn at(first: FrameId) -> Self {
        Self {
            next: first,
            started: false,
        }
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

/// Frames that many readers get at once, joined.
#[derive(Default)]
struct Run {
    from: FrameId,
    to: FrameId,
    tags: Bytes,
}

/// The log of one stream.
pub struct Log {
    cache_bytes_max: usize,
    held: RwLock<Buffer>,
    /// How often another history of the stream has taken the place of what was held.
    restarts: AtomicU32,
    /// The media playlist that was written last.
    pub(super) rendered: Mutex<Option<Arc<Rendered>>>,
    /// The last run of tags that was made.
    run: Mutex<Run>,
    /// Counts what readers of every frame wait for: pictures, or sound where there are none.
    pictures: watch::Sender<u64>,
    /// Counts what economical readers wait for: pictures of about 100 ms together.
    batches: watch::Sender<u64>,
    /// Counts parts, GOP ends and the end of the stream.
    parts: watch::Sender<u64>,
}

impl Log {
    /// An empty log that holds at most `cache_bytes_max` bytes beyond its last two GOPs.
    pub fn new(cache_bytes_max: usize) -> Self {
        Self {
            cache_bytes_max,
            held: RwLock::default(),
            restarts: AtomicU32::new(0),
            rendered: Mutex::default(),
            run: Mutex::default(),
            pictures: watch::Sender::new(0),
            batches: watch::Sender::new(0),
            parts: watch::Sender::new(0),
        }
    }

    /// Appends what follows; what is held already is passed over, so that a provider may repeat itself. A GOP of another
    /// incarnation takes the place of all that is held: its numbers say nothing of those before.
    ///
    /// # Errors
    /// [`LogError`] if frames are missing in between; what came before the error is held.
    pub fn append(&self, media: impl IntoIterator<Item = Media>) -> Result<(), LogError> {
        self.append_published(media, None)
    }

    /// Appends what a timeline here has made; `end_if_it_stops` is the end of the GOP that is then open.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn append_published(
        &self,
        media: impl IntoIterator<Item = Media>,
        end_if_it_stops: Option<GopEnd>,
    ) -> Result<(), LogError> {
        let mut news = News::default();
        let outcome = {
            let mut held = self.write();
            held.end_if_it_stops = end_if_it_stops;
            let outcome = media
                .into_iter()
                .try_for_each(|media| held.append(media, &mut news));
            held.slide(self.cache_bytes_max);
            held.version += u64::from(news.part);
            if news.restarted {
                self.restarts.fetch_add(1, Ordering::Release);
            }
            news.wake |= held.wake_for_sound(&news);
            news.batch = held.is_batch(&news);
            outcome
        };
        self.announce(&news);
        outcome
    }

    /// No more will come: readers finish. If nothing came since [`Log::start_over`], the end that was put aside is shown
    /// again.
    pub fn end(&self) {
        self.write().end();
        self.announce(&News {
            wake: true,
            batch: true,
            part: true,
            ..News::default()
        });
    }

    /// Wakes readers though nothing has come, since something else has changed.
    pub fn wake(&self) {
        self.announce(&News {
            wake: true,
            batch: true,
            ..News::default()
        });
    }

    /// Ends the open GOP as its timeline said that it would end; for the relay that numbered it and will not go on with it.
    pub fn end_open_gop(&self) {
        let mut news = News::default();
        {
            let mut held = self.write();
            if let Some(end) = held.end_if_it_stops.take() {
                held.gop_end(&end, &mut news);
                held.version += 1;
            }
        }
        self.announce(&news);
    }

    /// Whether the stream has ended.
    pub fn has_ended(&self) -> bool {
        self.read_lock().ended
    }

    /// How often what was held has made way for another incarnation of the stream: one who reads across that must leave.
    pub fn restarts(&self) -> u32 {
        self.restarts.load(Ordering::Acquire)
    }

    /// The incarnation of what is held.
    pub fn incarnation(&self) -> Incarnation {
        self.read_lock().incarnation()
    }

    /// Holds nothing, as what comes next need not continue what was held. The end of a stream is put aside until the
    /// first of the new frames comes.
    pub fn start_over(&self) {
        self.write().start_over();
        *sync::lock(&self.run) = Run::default();
    }

    /// Takes up to a batch of items after `cursor` and moves it on. Nothing new leaves `out` empty.
    pub fn read(&self, cursor: &mut Cursor, out: &mut Vec<Item>) {
        self.read_lock().read(cursor, out);
    }

    /// The frames after `cursor` as one run of FLV tags, made once for all readers at the same place; moves it on. None
    /// where the reader is not inside the open GOP, or has had all: [`Log::read`] serves it then.
    pub fn read_tags(&self, cursor: &mut Cursor) -> Option<Bytes> {
        let held = self.read_lock();
        let frames = held.frames_of_open_gop(cursor)?;
        let from = cursor.next;
        cursor.next = frames.last()?.frame.id.next();
        if let [only] = frames {
            return Some(only.flv().clone());
        }
        let mut run = sync::lock(&self.run);
        if (run.from, run.to) != (from, cursor.next) {
            let tags = frames
                .iter()
                .flat_map(|wired| wired.flv().iter().copied())
                .collect();
            *run = Run {
                from,
                to: cursor.next,
                tags,
            };
        }
        Some(run.tags.clone())
    }

    /// How much is held after `cursor`, on the stream's timeline, microseconds.
    pub fn micros_after(&self, cursor: &Cursor) -> u64 {
        let held = self.read_lock();
        let gop = held
            .gops
            .iter()
            .find(|gop| gop.start.gop >= cursor.next.gop);
        let end = held.gops.iter().rev().find_map(Gop::end_dts);
        let from = gop.and_then(|gop| gop.dts_from(cursor.next));
        end.zip(from)
            .map_or(0, |(end, from)| end.saturating_sub(from))
    }

    /// The newest frame held.
    pub fn newest(&self) -> Option<FrameId> {
        let held = self.read_lock();
        held.gops.iter().rev().find_map(|gop| gop.newest())
    }

    /// The end of what is held, on the stream's timeline, microseconds.
    pub fn end_dts(&self) -> Option<u64> {
        let held = self.read_lock();
        held.gops.iter().rev().find_map(Gop::end_dts)
    }

    /// When the newest frame came.
    pub fn last_frame_at(&self) -> Option<Instant> {
        self.read_lock().last_frame
    }

    /// What should come next: the frame after the newest, or the start of the next GOP after a complete one.
    pub fn next_expected(&self) -> Option<FrameId> {
        let held = self.read_lock();
        held.gops.back().map(Gop::next_expected)
    }

    /// The first GOP of the playlist: what a subscriber that starts afresh is sent from.
    pub fn first_listed_gop(&self) -> Option<u64> {
        let held = self.read_lock();
        let listed = held
            .gops
            .iter()
            .find(|gop| gop.start.gop >= held.listed_from);
        listed.map(|gop| gop.start.gop)
    }

    /// The oldest GOP held.
    pub fn oldest_gop(&self) -> Option<u64> {
        self.read_lock().gops.front().map(|gop| gop.start.gop)
    }

    /// Where a new viewer starts: the newest GOP that a decoder can start at and that is here from its first frame.
    pub fn newest_entry(&self) -> Option<FrameId> {
        let held = self.read_lock();
        let entry = held.gops.iter().rev().find(|gop| gop.is_entry())?;
        Some(FrameId::new(entry.start.gop, 0))
    }

    /// Whether a reader can start exactly at `first`: it is held, or still to come.
    pub fn can_start_at(&self, first: FrameId) -> bool {
        let held = self.read_lock();
        let Some(front) = held.gops.front() else {
            return true;
        };
        let held = held.gops.iter().find(|gop| gop.start.gop == first.gop);
        match held {
            Some(gop) => first.number >= gop.first_number,
            None => first.gop > front.start.gop,
        }
    }

    /// The start of the newest GOP.
    pub fn newest_start(&self) -> Option<Arc<GopStart>> {
        self.read_lock().gops.back().map(|gop| gop.start.clone())
    }

    /// Mean bitrate over the last 10 s, kbit/s; 0 until a quarter of a second of media is here.
    pub fn kbps(&self) -> u32 {
        self.read_lock().kbps()
    }

    /// The same; while it is not known, what it is at least by what has come.
    pub fn kbps_so_far(&self) -> u32 {
        self.read_lock().kbps_so_far()
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

    pub(super) fn read_lock(&self) -> RwLockReadGuard<'_, Buffer> {
        sync::read(&self.held)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Buffer> {
        sync::write(&self.held)
    }
}
