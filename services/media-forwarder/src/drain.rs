//! Leaving: no new work, serve what is there as long as the deadline allows, tell the coordinator, close.

use astral_backend::Bus;
use astral_chassis::Context;
use astral_proto::message::Leave;
use astral_relay::{Leaving, Relay};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Viewers that hold a connection are served until this long before the deadline.
const CUT_BEFORE: Duration = Duration::from_secs(3);
/// How often it is looked whether anybody is left.
const LOOK: Duration = Duration::from_millis(50);
/// How long the coordinator may take to hear of it.
const LEAVE_WAIT: Duration = Duration::from_millis(500);
/// How long viewers are shown their GOP to its end once they must leave, and then how long they may take to close.
const GOP_END_WAIT: Duration = Duration::from_millis(1_500);
const CLOSE_WAIT: Duration = Duration::from_millis(500);

/// Waits until `context` stops, then leaves; cancels `closing`, which ends the relay, and `left` last.
pub async fn when_told(
    relay: Relay,
    bus: Bus,
    context: Context,
    closing: CancellationToken,
    left: CancellationToken,
) {
    context.stopping.cancelled().await;
    relay.drain();
    drop(bus.request(&relay.statement(), LEAVE_WAIT).await);
    let deadline = context.deadline().unwrap_or_else(Instant::now);
    let cut_at = deadline.checked_sub(CUT_BEFORE).unwrap_or(deadline);
    until_nobody_is_left(&relay, cut_at).await;
    let viewers_cut: u32 =
        relay.streams().iter().map(|stream| stream.viewers().flv + stream.viewers().rtmp).sum();
    if viewers_cut > 0 {
        tracing::warn!(viewers_cut, "deadline near, viewers cut");
        metrics::counter!("astral_viewers_cut_total").increment(viewers_cut.into());
    }
    relay.leave(Leaving::AtGopEnd);
    until_nobody_is_left(&relay, Instant::now() + GOP_END_WAIT).await;
    relay.leave(Leaving::AtOnce);
    until_nobody_is_left(&relay, Instant::now() + CLOSE_WAIT).await;
    drop(bus.request(&Leave { node: relay.node() }, LEAVE_WAIT).await);
    closing.cancel();
    left.cancel();
}

async fn until_nobody_is_left(relay: &Relay, latest: Instant) {
    while relay.is_in_use() && Instant::now() < latest {
        sleep_until(latest.min(Instant::now() + LOOK)).await;
    }
}
