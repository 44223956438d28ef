//! Leaving: no new work, serve what is there as long as the deadline allows, tell the control plane, stop.

use crate::core::Relay;
use crate::core::{ReaderKind, Stream};
use astral_proto::message::Leave;
use astral_proto::{Problem, Slug};
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

/// A connection that asks for nothing is closed this long after the relay began to leave: a player asks more often.
const DRAIN_IDLE: Duration = Duration::from_secs(1);

/// One connection that HLS is asked for on.
pub struct HlsConnection(Relay);

impl Drop for HlsConnection {
    fn drop(&mut self) {
        self.0
            .shared
            .hls_connections
            .fetch_sub(1, Ordering::Relaxed);
    }
}

/// How viewers that hold a connection are to leave a relay that leaves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// They stay.
    Not,
    /// When their GOP ends.
    AtGopEnd,
    /// When the frame in hand ends.
    AtOnce,
}

/// Who still holds a connection to a relay. A relay that leaves waits for them until its deadline is near.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// Publishers that are connected.
    pub publishers: u32,
    /// Viewers over HTTP-FLV and RTMP.
    pub viewers: u32,
    /// Connections on which HLS players ask for playlists and media.
    pub hls_connections: u32,
    /// Relays that pull from here.
    pub subscribers: u32,
}

impl InUse {
    /// What is left, such as `1 publisher, 2 viewers`; None if nobody is.
    pub fn in_words(&self) -> Option<String> {
        let counts = [
            (self.publishers, "publisher"),
            (self.viewers, "viewer"),
            (self.hls_connections, "HLS connection"),
            (self.subscribers, "subscriber"),
        ];
        let left = counts.into_iter().filter(|(count, _)| *count > 0);
        let words: Vec<String> = left
            .map(|(count, name)| format!("{count} {name}{}", if count == 1 { "" } else { "s" }))
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

impl Relay {
    /// Leaves the network by `deadline`, then stops. Subscribers are told to make their next link before this one
    /// ends; viewers see their GOP to its end.
    pub async fn drain_by(&self, deadline: Instant) {
        self.named(self.drain(deadline)).await;
    }

    async fn drain(&self, deadline: Instant) {
        self.shared.draining.cancel();
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
        self.shared.draining.is_cancelled()
    }

    /// Waits until a connection that is idle has been so for a while since the relay began to leave.
    pub(crate) async fn idle_while_draining(&self) {
        self.shared.draining.cancelled().await;
        tokio::time::sleep(DRAIN_IDLE).await;
    }

    /// Counts a connection that HLS is asked for on, until the guard is dropped.
    pub(crate) fn count_hls_connection(&self) -> HlsConnection {
        self.shared.hls_connections.fetch_add(1, Ordering::Relaxed);
        HlsConnection(self.clone())
    }

    /// The stream for a player, as [`Relay::want_flowing`]; a relay that leaves shows on what it has.
    ///
    /// # Errors
    /// As [`Relay::want_flowing`].
    pub async fn for_player(&self, slug: &Slug) -> Result<Arc<Stream>, Problem> {
        let here = self
            .find(slug)
            .filter(|stream| self.is_draining() && stream.is_carried());
        match here {
            Some(stream) => Ok(stream),
            None => self.want_flowing(slug).await,
        }
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
        while self.in_use() != InUse::default() && Instant::now() < latest {
            sleep_until(latest.min(Instant::now() + LOOK)).await;
        }
    }

    /// Who still holds a connection here.
    pub fn in_use(&self) -> InUse {
        let hls_connections = self.shared.hls_connections.load(Ordering::Relaxed);
        let mut in_use = InUse {
            hls_connections,
            ..InUse::default()
        };
        for stream in self.streams() {
            in_use.publishers +=
                u32::from(stream.origin().is_some_and(|origin| origin.has_publisher));
            in_use.viewers += stream.count(ReaderKind::Flv) + stream.count(ReaderKind::Rtmp);
            in_use.subscribers += stream.count(ReaderKind::Link);
        }
        in_use
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

#[cfg(test)]
mod tests {
    use super::InUse;

    #[test]
    fn who_is_left_is_written_for_people() {
        assert_eq!(InUse::default().in_words(), None);
        let one_publisher = InUse {
            publishers: 1,
            ..InUse::default()
        };
        assert_eq!(one_publisher.in_words().as_deref(), Some("1 publisher"));
        let all = InUse {
            publishers: 1,
            viewers: 2,
            hls_connections: 1,
            subscribers: 3,
        };
        let words = "1 publisher, 2 viewers, 1 HLS connection, 3 subscribers";
        assert_eq!(all.in_words().as_deref(), Some(words));
    }
}
