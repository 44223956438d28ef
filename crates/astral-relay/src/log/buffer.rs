//! What a log holds under its lock, and the rules of what may follow what.

use super::cursor::{Cursor, Item};
use super::gop::Gop;
use super::gops::Gops;
use super::waking::{Appended, Wake, WakeTimes};
use super::window::Window;
use super::wire_frame::WireFrame;
use astral_media::frame::{Frame, GopEnd, GopStart, Media, Track};
use astral_proto::FrameId;
use std::sync::Arc;
use tokio::time::Instant;

/// Most bytes that one read returns, so that a reader that falls behind is looked at again soon.
const READ_BYTES_MAX: usize = 256 << 10;

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

/// What a log holds under its lock.
#[derive(Default)]
pub struct Buffer {
    /// The GOPs.
    pub gops: Gops,
    /// What of them a playlist lists.
    pub window: Window,
    /// Changes when a playlist changes.
    pub version: u64,
    /// Whether the stream has ended.
    pub ended: bool,
    /// When the newest frame came.
    pub last_frame: Option<Instant>,
    /// How the open GOP ends if its publisher sends nothing more. Known only where frames are
    /// numbered.
    pub end_if_it_stops: Option<GopEnd>,
    wake_times: WakeTimes,
    /// The end of the stream, put aside by [`Buffer::start_over`] until a new frame comes.
    ending: Option<Box<Buffer>>,
}

impl Buffer {
    /// Appends `media`, drops what need not stay, and decides who is woken. Also returns whether
    /// another history of the stream replaced what was held. What came before an error is held.
    pub fn append(
        &mut self,
        media: impl IntoIterator<Item = Media>,
        cache_bytes_max: usize,
    ) -> (Result<(), LogError>, Wake, bool) {
        let mut appended = Appended::default();
        let outcome = media
            .into_iter()
            .try_for_each(|media| self.append_one(media, &mut appended));
        self.window.slide(&mut self.gops, cache_bytes_max);
        self.version += u64::from(appended.part);
        let wake = self.wake_times.decide(appended, self.has_video());
        (outcome, wake, appended.restarted)
    }

    /// Ends the open GOP as its timeline said that it would end. Returns whether a GOP was open.
    pub fn end_open_gop(&mut self) -> bool {
        let Some(end) = self.end_if_it_stops.take() else {
            return false;
        };
        self.version += 1;
        self.gops.finish_newest(&end)
    }

    /// Forgets every frame. If the stream had ended, its end is put aside, so that it can be shown
    /// again in case nothing new comes.
    pub fn start_over(&mut self) {
        let before = std::mem::take(self);
        self.version = before.version + 1;
        self.ending = if before.ended {
            Some(Box::new(before))
        } else {
            before.ending
        };
    }

    /// Marks the stream as ended. If nothing came since [`Buffer::start_over`], the end that was
    /// put aside returns.
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

    /// Appends to `out` what comes after `cursor`, up to a batch, and moves `cursor` behind it.
    pub fn read(&self, cursor: &mut Cursor, out: &mut Vec<Item>) {
        let mut bytes = 0;
        while bytes < READ_BYTES_MAX {
            let index = self.gops.index_from(cursor.next.gop);
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

    /// The frames after `cursor`, if the reader is inside the open GOP and they are few enough for
    /// one write.
    pub fn frames_of_open_gop(&self, cursor: &Cursor) -> Option<&[Arc<WireFrame>]> {
        let gop = self
            .gops
            .newest()
            .filter(|gop| gop.end.is_none() && gop.start.gop == cursor.next.gop)?;
        let frames = gop
            .frames_from(cursor.next.number)
            .filter(|_| cursor.started)?;
        let bytes: usize = frames.iter().map(|wired| wired.frame.payload.len()).sum();
        (!frames.is_empty() && bytes <= READ_BYTES_MAX).then_some(frames)
    }

    fn has_video(&self) -> bool {
        self.gops
            .newest()
            .is_some_and(|gop| gop.start.parameters.video.is_some())
    }

    fn append_one(&mut self, media: Media, appended: &mut Appended) -> Result<(), LogError> {
        match media {
            Media::Start(start) => self.start_gop(start, appended),
            Media::Frame(frame) => self.append_frame(frame, appended)?,
            Media::End(end) => self.end_gop(&end, appended),
        }
        Ok(())
    }

    /// Starts a GOP, unless it has started. A GOP of another incarnation replaces everything: its
    /// numbers say nothing about those before.
    fn start_gop(&mut self, start: GopStart, appended: &mut Appended) {
        let incarnation = start.parameters.incarnation;
        if self.gops.incarnation().differs_from(incarnation) {
            self.forget();
            *appended = Appended {
                picture: true,
                batch: true,
                part: true,
                restarted: true,
                ..Appended::default()
            };
        }
        let newest = self.gops.newest().map(|gop| gop.start.gop);
        if newest.is_none_or(|newest| newest < start.gop) {
            self.ended = false;
            self.version += 1;
            self.ending = None;
            self.gops.push(start);
        }
    }

    fn append_frame(&mut self, frame: Arc<Frame>, appended: &mut Appended) -> Result<(), LogError> {
        let Some(gop) = self.gops.newest() else {
            return Err(LogError::NoGop(frame.id));
        };
        if frame.id < gop.due() {
            // Providers repeat frames after a failover.
            return Ok(());
        }
        check_next(&frame, gop)?;
        match frame.track {
            Track::Video => appended.picture = true,
            Track::Audio => appended.sound = true,
            // Data leaves with the next picture or sound.
            Track::Data => {}
        }
        self.last_frame = Some(Instant::now());
        appended.part |= self.gops.push_frame(frame);
        Ok(())
    }

    fn end_gop(&mut self, end: &GopEnd, appended: &mut Appended) {
        if self.gops.finish_newest(end) {
            appended.part = true;
            appended.picture = true;
            // For economical readers too: nothing may follow for a while.
            appended.batch = true;
        }
    }

    fn forget(&mut self) {
        *self = Self {
            version: self.version + 1,
            ..Self::default()
        };
    }
}

/// Checks that `frame` may follow in `newest`. The first frame of a GOP may have any number,
/// because a relay may join in the middle of a GOP.
fn check_next(frame: &Frame, newest: &Gop) -> Result<(), LogError> {
    let due = newest.due();
    if frame.id.gop > due.gop || newest.end.is_some() {
        return Err(LogError::NoGop(frame.id));
    }
    if frame.id > due && !newest.is_empty() {
        return Err(LogError::Missing {
            got: frame.id,
            expected: due,
        });
    }
    Ok(())
}
