//! Which readers an append wakes.
//!
//! Waking costs more than anything else that a relay does per viewer, so readers are woken in
//! groups, and only when they can do something: viewers of pictures once per video frame (sound
//! that arrives in between is written with the next picture), economical viewers once per 100 ms,
//! and readers of parts once per part. Each group waits on a counter of its own; waking a group is
//! one notification however many readers it has, and a reader that is still writing sees one change
//! for any number of them.

use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// If no picture has come for this long, sound alone wakes the readers of pictures.
const PICTURE_WAIT: Duration = Duration::from_millis(100);
/// Economical readers are woken with the first picture this long after the last time. Less than 100
/// ms, because a picture may come a little early.
const BATCH_WAIT: Duration = Duration::from_millis(90);

/// What an append brought.
#[derive(Clone, Copy, Default)]
pub struct Appended {
    /// A picture, or the end of a GOP.
    pub picture: bool,
    /// Sound.
    pub sound: bool,
    /// A part, or the end of a GOP.
    pub part: bool,
    /// The end of a GOP, for which economical readers are woken at once.
    pub batch: bool,
    /// Another history of the stream, which replaced everything.
    pub restarted: bool,
}

/// The groups of readers to wake.
#[derive(Clone, Copy, Default)]
pub struct Wake {
    /// Readers of every picture.
    pub pictures: bool,
    /// Economical readers.
    pub batches: bool,
    /// Readers of parts.
    pub parts: bool,
}

impl Wake {
    /// All readers.
    pub const ALL: Self = Self {
        pictures: true,
        batches: true,
        parts: true,
    };
}

/// When readers were last woken.
#[derive(Default)]
pub struct WakeTimes {
    picture: Option<Instant>,
    batch: Option<Instant>,
}

impl WakeTimes {
    /// Decides whom `appended` wakes. `has_video` says whether the stream has pictures to wait for.
    pub fn decide(&mut self, appended: Appended, has_video: bool) -> Wake {
        let now = Instant::now();
        let no_picture = is_past(self.picture, PICTURE_WAIT, now);
        let sound_alone = appended.sound && (!has_video || no_picture);
        let pictures = appended.picture || sound_alone;
        if pictures {
            self.picture = Some(now);
        }
        let batches = appended.batch || (pictures && is_past(self.batch, BATCH_WAIT, now));
        if batches {
            self.batch = Some(now);
        }
        Wake {
            pictures,
            batches,
            parts: appended.part,
        }
    }
}

fn is_past(last: Option<Instant>, wait: Duration, now: Instant) -> bool {
    last.is_none_or(|last| now - last >= wait)
}

/// The counters that the groups wait on.
pub struct WakeCounters {
    pictures: watch::Sender<u64>,
    batches: watch::Sender<u64>,
    parts: watch::Sender<u64>,
}

impl WakeCounters {
    /// Counters at zero.
    pub fn new() -> Self {
        Self {
            pictures: watch::Sender::new(0),
            batches: watch::Sender::new(0),
            parts: watch::Sender::new(0),
        }
    }

    /// Wakes these groups.
    pub fn wake(&self, wake: Wake) {
        let counters = [
            (wake.pictures, &self.pictures),
            (wake.batches, &self.batches),
            (wake.parts, &self.parts),
        ];
        for (_, counter) in counters.into_iter().filter(|(is_due, _)| *is_due) {
            counter.send_modify(|count| *count += 1);
        }
    }

    /// Changes once per picture.
    pub fn pictures(&self) -> watch::Receiver<u64> {
        self.pictures.subscribe()
    }

    /// Changes about every 100 ms.
    pub fn batches(&self) -> watch::Receiver<u64> {
        self.batches.subscribe()
    }

    /// Changes with each part, with each end of a GOP, and with the end of the stream.
    pub fn parts(&self) -> watch::Receiver<u64> {
        self.parts.subscribe()
    }
}
