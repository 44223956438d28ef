//! One stream on this relay: its log, who feeds it, who reads it.

use super::pull_tickets::Held;
use super::readers::Readers;
use super::seat::{Seat, SeatKind};
use crate::log::Log;
use crate::sync::lock;
use astral_media::timeline::TimelineProgress;
use astral_proto::message::{Carried, OriginState, Progress};
use astral_proto::{Code, EpochId, FrameId, Incarnation, NodeId, Problem, Slug};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A stream nobody asks for is let go after this long.
pub const IDLE: Duration = Duration::from_secs(10);

/// How pulling goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Supply {
    /// Nothing yet; a viewer may wait.
    Starting,
    /// Frames are here, up to date.
    Flowing,
    /// The control plane or every provider said no.
    Refused(Problem),
}

/// An origin's view of its publish.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The history that the publish belongs to.
    pub incarnation: Incarnation,
    /// The publish.
    pub epoch: u64,
    /// How far its timeline is.
    pub reached: TimelineProgress,
    /// When its publisher last sent media.
    pub last_media: Instant,
    /// The same in Unix milliseconds.
    pub last_media_at: u64,
    /// Whether its publisher is connected.
    pub has_publisher: bool,
}

/// One stream on this relay.
pub struct Stream {
    /// Its name.
    pub slug: Slug,
    /// What of it is held.
    pub log: Log,
    /// How its supply goes; readers that came first wait on it.
    pub supply: watch::Sender<Supply>,
    /// The node ids from the origin to this relay, this one included; empty until known.
    pub path: watch::Sender<Vec<NodeId>>,
    /// The tickets it is pulled by.
    pub held: Held,
    no_ticket: Mutex<Option<Problem>>,
    upstream_ok: AtomicBool,
    pub(super) seat: Mutex<Option<Seat>>,
    origin: Mutex<Option<Origin>>,
    pub(super) readers: Readers,
    last_used: Mutex<Instant>,
    kept: AtomicBool,
    kept_out: AtomicBool,
    dismissals: AtomicU32,
}

impl Stream {
    /// A stream of which nothing is here yet.
    pub fn new(slug: Slug, cache_bytes_max: usize) -> Self {
        Self {
            slug,
            log: Log::new(cache_bytes_max),
            supply: watch::Sender::new(Supply::Starting),
            path: watch::Sender::new(Vec::new()),
            held: Held::default(),
            no_ticket: Mutex::default(),
            upstream_ok: AtomicBool::new(true),
            seat: Mutex::default(),
            origin: Mutex::default(),
            readers: Readers::new(),
            last_used: Mutex::new(Instant::now()),
            kept: AtomicBool::new(false),
            kept_out: AtomicBool::new(false),
            dismissals: AtomicU32::new(0),
        }
    }

    /// Whether others may pull the stream from here: its frames are here and more will come.
    pub fn is_carried(&self) -> bool {
        match self.fed_by() {
            Some(SeatKind::Origin) => true,
            Some(SeatKind::Pull) => {
                *self.supply.borrow() == Supply::Flowing && !self.log.has_ended()
            }
            None => false,
        }
    }

    /// Supply begins again after a pause: what is held is stale. The end of a stream is shown again if there is no more.
    pub fn start_over(&self) {
        self.set_upstream_ok(true);
        self.supply.send_replace(Supply::Starting);
        self.log.start_over();
    }

    /// Whether it has ended here, or its supply was given up.
    pub fn is_over(&self) -> bool {
        self.log.has_ended() || matches!(*self.supply.borrow(), Supply::Refused(_))
    }

    /// Keeps why there was no ticket for it the last time; none once there is one.
    pub fn note_no_ticket(&self, problem: Option<Problem>) {
        *lock(&self.no_ticket) = problem;
    }

    /// Why it has sent nothing yet, for a viewer that has waited for it: the control plane is away, no provider has
    /// room, or its frames are slow to come.
    pub fn why_nothing(&self) -> Problem {
        match lock(&self.no_ticket).clone() {
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

    /// Says that nobody can watch it now, as its publish is over.
    pub fn has_ended_problem(&self) -> Problem {
        let detail = format!(
            "stream {} has ended, try again when its publisher is back",
            self.slug
        );
        Problem::new(Code::NotBegun, detail)
    }

    /// The publish this relay is origin of.
    pub fn origin(&self) -> Option<Origin> {
        *lock(&self.origin)
    }

    /// Sets or clears the publish this relay is origin of.
    pub fn set_origin(&self, origin: Option<Origin>) {
        *lock(&self.origin) = origin;
    }

    /// Changes the publish this relay is origin of, if it is still `epoch`.
    pub fn update_origin(&self, epoch: u64, change: impl FnOnce(&mut Origin)) {
        if let Some(origin) = lock(&self.origin)
            .as_mut()
            .filter(|origin| origin.epoch == epoch)
        {
            change(origin);
        }
    }

    /// Whether media comes in, or its publisher may yet be back.
    pub fn upstream_ok(&self) -> bool {
        self.upstream_ok.load(Ordering::Relaxed)
    }

    /// Says whether media comes in.
    pub fn set_upstream_ok(&self, ok: bool) {
        self.upstream_ok.store(ok, Ordering::Relaxed);
    }

    /// Somebody wants the stream now.
    pub fn touch(&self) {
        *lock(&self.last_used) = Instant::now();
    }

    /// For how long nobody has wanted the stream.
    pub fn unused_for(&self) -> Duration {
        if self.is_read() || self.is_kept() {
            Duration::ZERO
        } else {
            lock(&self.last_used).elapsed()
        }
    }

    /// Whether the host wants it carried though nobody watches.
    pub fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// Says whether the host wants it carried though nobody watches.
    pub fn set_kept(&self, kept: bool) {
        self.kept.store(kept, Ordering::Relaxed);
    }

    /// Whether the host will not have it carried.
    pub fn is_kept_out(&self) -> bool {
        self.kept_out.load(Ordering::Relaxed)
    }

    /// Says whether the host will not have it carried.
    pub fn set_kept_out(&self, kept_out: bool) {
        self.kept_out.store(kept_out, Ordering::Relaxed);
    }

    /// Refuses whoever wants the stream though the host will not have it carried.
    ///
    /// # Errors
    /// `unavailable`.
    pub fn refuse_kept_out(&self) -> Result<(), Problem> {
        if self.is_kept_out() {
            let detail = format!("stream {} is paused on this node by its host", self.slug);
            return Err(Problem::new(Code::Unavailable, detail));
        }
        Ok(())
    }

    /// Has all who read now leave when the frame in hand ends.
    pub fn dismiss_readers(&self) {
        self.dismissals.fetch_add(1, Ordering::Release);
        self.log.wake();
    }

    /// How often readers have been dismissed, or had their stream replaced by another of its name: one who sees this
    /// change must leave.
    pub fn dismissals(&self) -> u32 {
        self.dismissals
            .load(Ordering::Acquire)
            .wrapping_add(self.log.restarts())
    }

    /// The publish this relay is origin of, or else the newest that it holds anything of; nought if it holds nothing.
    pub fn epoch_id(&self) -> EpochId {
        let own = self.origin().map(
            |Origin {
                 incarnation, epoch, ..
             }| EpochId { incarnation, epoch },
        );
        own.or(self
            .log
            .newest_start()
            .map(|start| start.parameters.epoch_id()))
            .unwrap_or_default()
    }

    /// The stream as the control plane is told of it.
    pub fn carried(&self) -> Carried {
        let newest = self.log.newest();
        let origin = self.origin();
        let EpochId { incarnation, epoch } = self.epoch_id();
        Carried {
            slug: self.slug.clone(),
            incarnation,
            epoch,
            path: self.path.borrow().clone(),
            standby: self.held.standby_provider(),
            newest,
            kbps: self.log.kbps(),
            viewers: self.viewers(),
            origin: origin.map(|origin| origin_state(&origin, newest)),
            progress: self.progress(),
        }
    }

    /// How far it is; none before the first frame.
    fn progress(&self) -> Option<Progress> {
        let silent_ms = self.log.last_frame_at()?.elapsed().as_millis() as u64;
        Some(Progress {
            end_dts: self.log.end_dts()?,
            silent_ms,
        })
    }
}

/// What the directory is told of an origin.
pub fn origin_state(origin: &Origin, newest: Option<FrameId>) -> OriginState {
    OriginState {
        newest: newest.unwrap_or(origin.reached.newest),
        newest_dts: origin.reached.end_dts,
        discontinuity: origin.reached.discontinuity,
        target_duration_seconds: origin.reached.target_duration_seconds,
        silent_ms: origin.last_media.elapsed().as_millis() as u64,
    }
}
