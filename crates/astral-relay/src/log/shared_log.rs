//! The log of one stream, as its writer and its readers share it.
//!
//! One writer appends what the timeline of an origin or the link of a provider brings. Any number
//! of readers follow, each with a [`Cursor`]. A reader takes one short read lock per batch: a
//! lock-free list would keep its whole tail alive for the slowest reader.

use super::bitrate;
use super::buffer::{Buffer, LogError};
use super::cursor::{Cursor, Item};
use super::gop::Gop;
use super::playlist_cache::PlaylistCache;
use super::waking::{Wake, WakeCounters};
use astral_media::frame::{GopEnd, GopStart, Media};
use astral_proto::{FrameId, Incarnation};
use astral_runtime::{lock, read_lock, write_lock};
use bytes::Bytes;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;
use tokio::time::Instant;

/// Frames that many readers get together, joined.
#[derive(Default)]
struct Run {
    from: FrameId,
    to: FrameId,
    tags: Bytes,
}

/// The log of one stream.
pub struct Log {
    cache_bytes_max: usize,
    buffer: RwLock<Buffer>,
    /// How often another history of the stream has replaced what was held.
    restarts: AtomicU32,
    pub(super) playlists: PlaylistCache,
    /// The run of tags that was joined last.
    run: Mutex<Run>,
    counters: WakeCounters,
}

impl Log {
    /// An empty log that holds at most `cache_bytes_max` bytes, but always its newest two GOPs.
    pub fn new(cache_bytes_max: usize) -> Self {
        Self {
            cache_bytes_max,
            buffer: RwLock::default(),
            restarts: AtomicU32::new(0),
            playlists: PlaylistCache::default(),
            run: Mutex::default(),
            counters: WakeCounters::new(),
        }
    }

    /// Appends what a provider has sent. Frames that are held already are skipped, because a
    /// provider may repeat itself after a failover. A GOP of another incarnation replaces
    /// everything.
    ///
    /// # Errors
    /// [`LogError`] if frames are missing in between; what came before the error is held.
    pub fn append(&self, media: impl IntoIterator<Item = Media>) -> Result<(), LogError> {
        self.append_published(media, None)
    }

    /// Appends what a timeline at this relay has made. `end_if_it_stops` is how the open GOP ends
    /// if nothing follows.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn append_published(
        &self,
        media: impl IntoIterator<Item = Media>,
        end_if_it_stops: Option<GopEnd>,
    ) -> Result<(), LogError> {
        let (outcome, wake) = {
            let mut buffer = self.write();
            buffer.end_if_it_stops = end_if_it_stops;
            let (outcome, wake, restarted) = buffer.append(media, self.cache_bytes_max);
            if restarted {
                self.restarts.fetch_add(1, Ordering::Release);
            }
            (outcome, wake)
        };
        // Not under the lock, or every reader that wakes would wait for it.
        self.counters.wake(wake);
        outcome
    }

    /// Ends the stream: readers finish. If nothing came since [`Log::start_over`], the end that was
    /// put aside is shown again.
    pub fn end(&self) {
        self.write().end();
        self.counters.wake(Wake::ALL);
    }

    /// Wakes the readers of pictures although nothing has come, because something else has changed.
    pub fn wake(&self) {
        self.counters.wake(Wake {
            parts: false,
            ..Wake::ALL
        });
    }

    /// Ends the open GOP as its timeline said that it would end, for the relay that numbered it and
    /// does not go on with it.
    pub fn end_open_gop(&self) {
        if self.write().end_open_gop() {
            self.counters.wake(Wake::ALL);
        }
    }

    /// Forgets every frame, because what comes next need not continue them. The end of a stream is
    /// put aside until the first new frame comes.
    pub fn start_over(&self) {
        self.write().start_over();
        *lock(&self.run) = Run::default();
    }

    /// Whether the stream has ended.
    pub fn has_ended(&self) -> bool {
        self.read_lock().ended
    }

    /// How often another incarnation of the stream has replaced what was held. A reader that sees a
    /// change must leave.
    pub fn restarts(&self) -> u32 {
        self.restarts.load(Ordering::Acquire)
    }

    /// The incarnation of what is held.
    pub fn incarnation(&self) -> Incarnation {
        self.read_lock().gops.incarnation()
    }

    /// Appends to `out` up to a batch of items after `cursor`, and moves `cursor` behind them.
    /// Appends nothing if nothing is new.
    pub fn read(&self, cursor: &mut Cursor, out: &mut Vec<Item>) {
        self.read_lock().read(cursor, out);
    }

    /// The frames after `cursor` as one run of FLV tags, and moves `cursor` behind them. The run is
    /// joined once for all readers at the same place. None if the reader is not inside the open GOP
    /// or has had everything; then [`Log::read`] serves it.
    pub fn read_tags(&self, cursor: &mut Cursor) -> Option<Bytes> {
        let held = self.read_lock();
        let frames = held.frames_of_open_gop(cursor)?;
        let from = cursor.next;
        cursor.next = frames.last()?.frame.id.next();
        if let [only] = frames {
            return Some(only.flv().clone());
        }
        let mut run = lock(&self.run);
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

    /// How much media is held after `cursor`, microseconds.
    pub fn micros_after(&self, cursor: &Cursor) -> u64 {
        let held = self.read_lock();
        let gop = held.gops.get(held.gops.index_from(cursor.next.gop));
        let end = held.gops.end_dts();
        let from = gop.and_then(|gop| gop.dts_from(cursor.next));
        end.zip(from)
            .map_or(0, |(end, from)| end.saturating_sub(from))
    }

    /// The newest frame held.
    pub fn newest(&self) -> Option<FrameId> {
        self.read_lock().gops.newest_frame()
    }

    /// Where the newest frame ends on the timeline of the stream, microseconds.
    pub fn end_dts(&self) -> Option<u64> {
        self.read_lock().gops.end_dts()
    }

    /// When the newest frame came.
    pub fn last_frame_at(&self) -> Option<Instant> {
        self.read_lock().last_frame
    }

    /// What should come next: the frame after the newest one, or the first frame of the next GOP
    /// after a complete one.
    pub fn next_expected(&self) -> Option<FrameId> {
        let held = self.read_lock();
        held.gops.newest().map(Gop::next_expected)
    }

    /// The first GOP of the playlist. A subscriber that holds nothing starts there, so that its
    /// playlist lists the same.
    pub fn first_listed_gop(&self) -> Option<u64> {
        let held = self.read_lock();
        let from = held.gops.index_from(held.window.listed_from());
        held.gops.get(from).map(|gop| gop.start.gop)
    }

    /// The oldest GOP held.
    pub fn oldest_gop(&self) -> Option<u64> {
        self.read_lock().gops.oldest().map(|gop| gop.start.gop)
    }

    /// Where a new viewer starts: the newest GOP with a keyframe whose first frame is here.
    pub fn newest_entry(&self) -> Option<FrameId> {
        let held = self.read_lock();
        let entry = held.gops.iter().rev().find(|gop| gop.is_entry())?;
        Some(FrameId::new(entry.start.gop, 0))
    }

    /// Whether a reader can start exactly at `first`: the frame is held or still to come.
    pub fn can_start_at(&self, first: FrameId) -> bool {
        let held = self.read_lock();
        let Some(oldest) = held.gops.oldest() else {
            return true;
        };
        match held.gops.find(first.gop) {
            Some(gop) => first.number >= gop.first_number,
            None => first.gop > oldest.start.gop,
        }
    }

    /// The start of the newest GOP.
    pub fn newest_start(&self) -> Option<Arc<GopStart>> {
        self.read_lock().gops.newest().map(|gop| gop.start.clone())
    }

    /// Mean bitrate over the last 10 s, kbit/s; 0 until a quarter of a second of media is here.
    pub fn kbps(&self) -> u32 {
        bitrate::kbps(&self.read_lock().gops)
    }

    /// As [`Log::kbps`], but a lower bound while the bitrate is not known.
    pub fn kbps_so_far(&self) -> u32 {
        bitrate::kbps_so_far(&self.read_lock().gops)
    }

    /// Changes once per picture, or with sound where there are no pictures.
    pub fn watch_pictures(&self) -> watch::Receiver<u64> {
        self.counters.pictures()
    }

    /// Changes with the same, but only about every 100 ms.
    pub fn watch_batches(&self) -> watch::Receiver<u64> {
        self.counters.batches()
    }

    /// Changes with each part, with each end of a GOP, and with the end of the stream.
    pub fn watch_parts(&self) -> watch::Receiver<u64> {
        self.counters.parts()
    }

    pub(super) fn read_lock(&self) -> RwLockReadGuard<'_, Buffer> {
        read_lock(&self.buffer)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Buffer> {
        write_lock(&self.buffer)
    }
}
