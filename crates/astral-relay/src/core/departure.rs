//! How far a relay is with leaving its network, for whoever serves on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// While a relay leaves, a connection that is idle for this long is closed. A player that still
/// watches asks more often.
const DRAIN_IDLE: Duration = Duration::from_secs(1);

/// When viewers that hold a connection must leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewersLeave {
    /// They stay.
    Never,
    /// At the end of their GOP.
    AtGopEnd,
    /// At the end of the frame that is being written.
    AtOnce,
}

/// How far a relay is with leaving.
pub struct Departure {
    draining: CancellationToken,
    leave_at_gop_end: AtomicBool,
    leave_at_once: AtomicBool,
    hls_connections: Arc<AtomicU32>,
}

/// One connection on which HLS is asked for; counted until it is dropped.
pub struct HlsConnection(Arc<AtomicU32>);

impl Drop for HlsConnection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Departure {
    /// A relay that stays.
    pub fn new() -> Self {
        Self {
            draining: CancellationToken::new(),
            leave_at_gop_end: AtomicBool::new(false),
            leave_at_once: AtomicBool::new(false),
            hls_connections: Arc::default(),
        }
    }

    /// Takes no new work from now on.
    pub fn begin(&self) {
        self.draining.cancel();
    }

    /// Whether the relay takes no new work.
    pub fn has_begun(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Waits until the relay leaves, and then for as long as an idle connection may stay open.
    pub async fn idle_connections_close(&self) {
        self.draining.cancelled().await;
        tokio::time::sleep(DRAIN_IDLE).await;
    }

    /// Makes viewers leave at the end of their GOP. They notice when they are woken.
    pub fn viewers_leave_at_gop_end(&self) {
        self.leave_at_gop_end.store(true, Ordering::Release);
    }

    /// Makes viewers leave at once. They notice when they are woken.
    pub fn viewers_leave_at_once(&self) {
        self.leave_at_once.store(true, Ordering::Release);
    }

    /// When viewers must leave. Viewers ask with every batch, so this takes no lock.
    pub fn viewers_leave(&self) -> ViewersLeave {
        if self.leave_at_once.load(Ordering::Acquire) {
            ViewersLeave::AtOnce
        } else if self.leave_at_gop_end.load(Ordering::Acquire) {
            ViewersLeave::AtGopEnd
        } else {
            ViewersLeave::Never
        }
    }

    /// Counts a connection on which HLS is asked for.
    pub fn count_hls_connection(&self) -> HlsConnection {
        self.hls_connections.fetch_add(1, Ordering::Relaxed);
        HlsConnection(self.hls_connections.clone())
    }

    /// How many connections HLS is asked for on.
    pub fn hls_connections(&self) -> u32 {
        self.hls_connections.load(Ordering::Relaxed)
    }
}
