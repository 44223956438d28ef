//! One stream on this relay: its log, who feeds it, who reads it.

use super::feed::{Feed, Origin};
use super::readers::Readers;
use super::shared_feed::SharedFeed;
use crate::log::Log;
use astral_proto::message::{Carried, OriginState, Progress};
use astral_proto::{Code, EpochId, FrameId, Kbps, Micros, NodeId, Problem, Slug};
use astral_runtime::lock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A stream that nobody has used for this long is no longer pulled.
pub const LET_GO_AFTER: Duration = Duration::from_secs(10);
/// A stream that nobody feeds and nobody has used for this long is forgotten.
pub const FORGET_AFTER: Duration = Duration::from_secs(60);

/// One stream on this relay.
pub struct Stream {
    /// Its name.
    pub slug: Slug,
    /// What this relay holds of it.
    pub log: Log,
    /// Who feeds it.
    pub feed: SharedFeed,
    /// The node ids from the origin to this relay, this relay included; empty until they are known.
    pub path: watch::Sender<Vec<NodeId>>,
    /// Who reads it.
    pub readers: Readers,
    last_used: Mutex<Instant>,
    dismissals: AtomicU32,
}

impl Stream {
    /// A stream that nobody feeds and whose log is empty.
    pub fn new(slug: Slug, cache_bytes_max: usize) -> Self {
        Self {
            slug,
            log: Log::new(cache_bytes_max),
            feed: SharedFeed::new(),
            path: watch::Sender::new(Vec::new()),
            readers: Readers::new(),
            last_used: Mutex::new(Instant::now()),
            dismissals: AtomicU32::new(0),
        }
    }

    /// Whether others may pull the stream from here: its frames are here, and more will come.
    pub fn is_carried(&self) -> bool {
        let has_ended = self.log.has_ended();
        self.feed.read(|feed| match feed {
            Feed::Origin(_) => true,
            Feed::Pulling(pull) => pull.flows() && !has_ended,
            _ => false,
        })
    }

    /// The publish that this relay is the origin of.
    pub fn origin(&self) -> Option<Origin> {
        self.feed.read(Feed::origin)
    }

    /// Why the stream has sent nothing yet, for a viewer that has waited for it: the control plane
    /// is away, no provider has room, or the first frame takes long.
    pub fn why_nothing(&self) -> Problem {
        let no_ticket = self.feed.read(|feed| feed.no_ticket().cloned());
        match no_ticket {
            Some(problem)
                if matches!(
                    problem.code,
                    Code::Full | Code::ControlPlaneAway | Code::Timeout
                ) =>
            {
                problem.for_outsiders()
            }
            _ => Problem::new(
                Code::Unavailable,
                format!("stream {} has sent nothing yet", self.slug),
            ),
        }
    }

    /// The answer to whoever wants to watch a stream that has ended.
    pub fn has_ended_problem(&self) -> Problem {
        let detail = format!(
            "stream {} has ended, try again when its publisher is back",
            self.slug
        );
        Problem::new(Code::NotBegun, detail)
    }

    /// Notes that somebody wants the stream now.
    pub fn touch(&self) {
        *lock(&self.last_used) = Instant::now();
    }

    /// For how long nobody has wanted the stream; zero while somebody reads it or its host keeps
    /// it.
    pub fn unused_for(&self) -> Duration {
        if self.readers.is_connected() || self.feed.read(Feed::is_kept) {
            Duration::ZERO
        } else {
            lock(&self.last_used).elapsed()
        }
    }

    /// Makes every present reader leave after the frame that it is writing.
    pub fn dismiss_readers(&self) {
        self.dismissals.fetch_add(1, Ordering::Release);
        self.log.wake();
    }

    /// Changes when readers were dismissed, or when another history of the stream replaced the one
    /// that they read. A reader that sees a change must leave.
    pub fn dismissals(&self) -> u32 {
        self.dismissals
            .load(Ordering::Acquire)
            .wrapping_add(self.log.restarts())
    }

    /// What one more reader is charged, kbit/s: the bitrate, or a lower bound while it is not
    /// known.
    pub fn whole_kbps(&self) -> u32 {
        self.log.kbps_so_far()
    }

    /// The publish that this relay is the origin of, or the newest one in the log; zero if there is
    /// none.
    pub fn epoch_id(&self) -> EpochId {
        if let Some(origin) = self.origin() {
            return EpochId {
                incarnation: origin.incarnation,
                epoch: origin.epoch,
            };
        }
        let newest = self.log.newest_start();
        newest.map_or_else(EpochId::default, |start| start.parameters.epoch_id())
    }

    /// The stream as heartbeats state it.
    pub fn carried(&self) -> Carried {
        let newest = self.log.newest();
        let EpochId { incarnation, epoch } = self.epoch_id();
        let standby = self
            .feed
            .read(|feed| feed.tickets().cloned())
            .and_then(|tickets| tickets.standby_provider());
        Carried {
            slug: self.slug.clone(),
            incarnation,
            epoch,
            path: self.path.borrow().clone(),
            standby,
            newest,
            kbps: Kbps::new(self.log.kbps()),
            viewers: self.readers.viewers(),
            origin: self.origin().map(|origin| origin_state(&origin, newest)),
            progress: self.progress(),
        }
    }

    /// How far the stream has come here; None before the first frame.
    fn progress(&self) -> Option<Progress> {
        let silent_ms = self.log.last_frame_at()?.elapsed().as_millis() as u64;
        Some(Progress {
            end_dts: Micros::new(self.log.end_dts()?),
            silent_ms,
        })
    }
}

/// What the directory is told of an origin.
pub fn origin_state(origin: &Origin, newest: Option<FrameId>) -> OriginState {
    OriginState {
        newest: newest.unwrap_or(origin.progress.newest),
        newest_dts: Micros::new(origin.progress.end_dts),
        discontinuity: origin.progress.discontinuity,
        target_duration_seconds: origin.progress.target_duration_seconds,
        silent_ms: origin.last_media.elapsed().as_millis() as u64,
    }
}
