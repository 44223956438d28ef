//! Leaving the network: take no new work, serve what is here for as long as the deadline allows,
//! tell the control plane, and stop.

use super::statement::statement;
use crate::core::{ReaderKind, Relay, Stream};
use astral_proto::message::Leave;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// Viewers that hold a connection are served until this long before the deadline.
const CUT_BEFORE: Duration = Duration::from_secs(3);
/// How often a relay that leaves looks whether anybody is left.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long the control plane may take to answer a relay that leaves.
const CONTROL_WAIT: Duration = Duration::from_millis(500);
/// Once viewers must leave, they see their GOP to its end for at most this long.
const GOP_END_WAIT: Duration = Duration::from_millis(1_500);
/// After that, they may take this long to close.
const CLOSE_WAIT: Duration = Duration::from_millis(500);

/// The connections to a relay. A relay that leaves waits for them until its deadline is near.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Publishers that are connected.
    pub publishers: u32,
    /// Viewers over HTTP-FLV and RTMP.
    pub viewers: u32,
    /// Connections on which HLS players ask for playlists and media.
    pub hls_connections: u32,
    /// Relays that pull from here.
    pub subscribers: u32,
}

impl Connections {
    /// Those that are left in words, such as `1 publisher, 2 viewers`; None if there are none.
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

/// The connections to `relay`.
pub fn connections(relay: &Relay) -> Connections {
    let mut all = Connections {
        hls_connections: relay.departure().hls_connections(),
        ..Connections::default()
    };
    for stream in relay.streams().all() {
        let has_publisher = stream.origin().is_some_and(|origin| origin.has_publisher);
        all.publishers += u32::from(has_publisher);
        all.viewers += connected_viewers(&stream);
        all.subscribers += stream.readers.count(ReaderKind::Link);
    }
    all
}

/// Leaves the network by `deadline`, then stops the relay. Subscribers open their next link before
/// this one ends, and viewers see their GOP to its end.
pub async fn drain_by(relay: &Relay, deadline: Instant) {
    relay.named(drain(relay, deadline)).await;
}

async fn drain(relay: &Relay, deadline: Instant) {
    let departure = relay.departure();
    departure.begin();
    // The broker hears at once that this relay leaves, and moves its subscribers.
    let heartbeat = relay.control().heartbeat(statement(relay));
    drop(timeout(CONTROL_WAIT, heartbeat).await);
    let cut_at = deadline.checked_sub(CUT_BEFORE).unwrap_or(deadline);
    wait_until_unused(relay, cut_at).await;
    count_cut_viewers(relay);
    departure.viewers_leave_at_gop_end();
    wake_viewers(relay);
    wait_until_unused(relay, Instant::now() + GOP_END_WAIT).await;
    departure.viewers_leave_at_once();
    wake_viewers(relay);
    wait_until_unused(relay, Instant::now() + CLOSE_WAIT).await;
    let leave = relay.control().leave(Leave { node: relay.node() });
    drop(timeout(CONTROL_WAIT, leave).await);
    relay.stopping().cancel();
}

fn connected_viewers(stream: &Stream) -> u32 {
    stream.readers.count(ReaderKind::Flv) + stream.readers.count(ReaderKind::Rtmp)
}

fn count_cut_viewers(relay: &Relay) {
    let streams = relay.streams().all();
    let viewers_cut: u32 = streams.iter().map(|stream| connected_viewers(stream)).sum();
    if viewers_cut > 0 {
        tracing::warn!(viewers_cut, "deadline near, viewers cut");
        metrics::counter!("astral_viewers_cut_total").increment(viewers_cut.into());
    }
}

/// Wakes the viewers, so that they read when they must leave.
fn wake_viewers(relay: &Relay) {
    let streams: Vec<Arc<Stream>> = relay.streams().all();
    streams.iter().for_each(|stream| stream.log.wake());
}

async fn wait_until_unused(relay: &Relay, latest: Instant) {
    while connections(relay) != Connections::default() && Instant::now() < latest {
        sleep_until(latest.min(Instant::now() + POLL_INTERVAL)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::Connections;

    #[test]
    fn the_connections_that_are_left_are_named_in_words() {
        assert_eq!(Connections::default().in_words(), None);
        let one_publisher = Connections {
            publishers: 1,
            ..Connections::default()
        };
        assert_eq!(one_publisher.in_words().as_deref(), Some("1 publisher"));
        let all = Connections {
            publishers: 1,
            viewers: 2,
            hls_connections: 1,
            subscribers: 3,
        };
        let words = "1 publisher, 2 viewers, 1 HLS connection, 3 subscribers";
        assert_eq!(all.in_words().as_deref(), Some(words));
    }
}
