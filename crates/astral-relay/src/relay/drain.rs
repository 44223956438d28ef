//! Leaving: no new work, serve what is there as long as the deadline allows, tell the control plane, stop.

use super::Relay;
use crate::stream::Stream;
use astral_proto::message::Leave;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// Viewers that hold a connection are served until this long before the deadline.
const CUT_BEFORE: Duration = Duration::from_secs(3);
/// How often it is looked whether anybody is left.
const LOOK: Duration = Duration::from_millis(50);
/// How long the control plane may take to hear of it.
const TELL_WAIT: Duration = Duration::from_millis(500);
/// How long viewers are shown their GOP to its end once they must leave, and then how long they may take to close.
const GOP_END_WAIT: Duration = Duration::from_millis(1_500);
const CLOSE_WAIT: Duration = Duration::from_millis(500);

/// How viewers that hold a connection are to leave a relay that leaves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// They stay.
    Not,
    /// When their GOP ends.
    AtGopEnd,
    /// When the frame in hand ends.
    AtOnce,
}

impl Relay {
    /// Leaves the network by `deadline`, then stops. Subscribers are told to make their next link before this one
    /// ends; viewers see their GOP to its end.
    pub async fn drain_by(&self, deadline: Instant) {
        self.shared.draining.store(true, Ordering::Relaxed);
        drop(timeout(TELL_WAIT, self.control().heartbeat(self.statement())).await);
        let cut_at = deadline.checked_sub(CUT_BEFORE).unwrap_or(deadline);
        self.until_unused(cut_at).await;
        self.count_cut();
        self.dismiss(Leaving::AtGopEnd);
        self.until_unused(Instant::now() + GOP_END_WAIT).await;
        self.dismiss(Leaving::AtOnce);
        self.until_unused(Instant::now() + CLOSE_WAIT).await;
        drop(timeout(TELL_WAIT, self.control().leave(Leave { node: self.node() })).await);
        self.stopping().cancel();
    }

    /// Whether the relay takes no new work.
    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::Relaxed)
    }

    fn count_cut(&self) {
        let held = |stream: &Arc<Stream>| stream.viewers().flv + stream.viewers().rtmp;
        let viewers_cut: u32 = self.streams().iter().map(held).sum();
        if viewers_cut > 0 {
            tracing::warn!(viewers_cut, "deadline near, viewers cut");
            metrics::counter!("astral_viewers_cut_total").increment(viewers_cut.into());
        }
    }

    async fn until_unused(&self, latest: Instant) {
        while self.is_in_use() && Instant::now() < latest {
            sleep_until(latest.min(Instant::now() + LOOK)).await;
        }
    }

    /// Whether a publisher, a viewer or another relay still holds a connection here.
    fn is_in_use(&self) -> bool {
        let publishes = |stream: &Stream| stream.origin().is_some_and(|origin| origin.has_publisher);
        self.streams().iter().any(|stream| stream.is_read() || publishes(stream))
    }

    /// Has every FLV and RTMP viewer leave, at the end of its GOP or at the end of a frame.
    fn dismiss(&self, leaving: Leaving) {
        self.shared.leaving.store(leaving as u8, Ordering::Release);
        self.streams().iter().for_each(|stream| stream.log.wake());
    }

    /// How viewers are to leave; each is woken when that changes.
    pub(crate) fn leaving(&self) -> Leaving {
        match self.shared.leaving.load(Ordering::Acquire) {
            0 => Leaving::Not,
            1 => Leaving::AtGopEnd,
            _ => Leaving::AtOnce,
        }
    }
}
