//! What the control plane asks of this node: each kind on a subject of its own.

use astral_backend::Bus;
use astral_proto::Problem;
use astral_proto::message::{Fence, Fetch, Inject, Move, Probe, Revoke};
use astral_relay::Relay;
use astral_relay::node::RelayRequest;
use astral_runtime::TaskScope;

/// Answers on this node's own subjects until `serving` stops.
pub async fn serve(relay: &Relay, bus: &Bus, serving: &TaskScope) -> Result<(), Problem> {
    answer::<Probe>(relay, bus, serving).await?;
    answer::<Fence>(relay, bus, serving).await?;
    answer::<Fetch>(relay, bus, serving).await?;
    answer::<Revoke>(relay, bus, serving).await?;
    answer::<Move>(relay, bus, serving).await?;
    answer::<Inject>(relay, bus, serving).await
}

async fn answer<R: RelayRequest>(
    relay: &Relay,
    bus: &Bus,
    serving: &TaskScope,
) -> Result<(), Problem> {
    let node = relay.node();
    let relay = relay.clone();
    let answer = move |request: R| {
        let relay = relay.clone();
        async move { relay.for_request(request.answer(&relay)).await }
    };
    bus.serve_node(node, serving, answer).await
}
