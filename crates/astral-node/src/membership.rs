//! How a relay joins its network, stays in it, and leaves.

use astral_chassis::{Context, ReadyLatch};
use astral_proto::model::Role;
use astral_relay::{MembershipStatus, Relay, node};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Registers `relay` in `role` and keeps its lease until it stops.
///
/// The first registration releases `registration`. Every registration calls `on_registered`.
/// `/readyz` shows whether the control plane answers.
pub async fn keep_membership(
    relay: &Relay,
    role: Role,
    registration: ReadyLatch,
    context: &Context,
    on_registered: impl Fn() + Send + Sync,
) {
    let report = |status: &MembershipStatus| {
        if status.registered {
            registration.release();
            on_registered();
        }
        context.status("control_plane", status.in_words());
    };
    node::keep_membership(relay, role, report).await;
}

/// Makes `relay` leave its network when `context` stops, and explains what the drain waits for.
/// The token that it returns is cancelled once the relay has left.
pub fn leave_on_stop(relay: &Relay, context: &Context) -> CancellationToken {
    let leaving = relay.clone();
    context.explain_drain(move || node::connections(&leaving).in_words());
    let left = CancellationToken::new();
    context.spawn("drain", leave(relay.clone(), context.clone(), left.clone()));
    left
}

async fn leave(relay: Relay, context: Context, left: CancellationToken) {
    context.scope.stopping.cancelled().await;
    let deadline = context.deadline().unwrap_or_else(Instant::now);
    node::drain_by(&relay, deadline).await;
    left.cancel();
}
