//! What the control plane asks of this node: decode, call, encode.

use astral_backend::{Bus, Serving};
use astral_proto::message::{Fence, Fetch, Fetched, Inject, Move, Probe, Revoke};
use astral_proto::{Code, Problem};
use astral_relay::Relay;
use std::future::ready;
use std::time::Duration;

/// Answers on this node's own subjects until `serving` stops.
pub async fn serve(relay: &Relay, bus: &Bus, serving: &Serving, allow_drills: bool) -> Result<(), Problem> {
    let node = relay.node();
    let probed = relay.clone();
    bus.serve_node(node, serving, move |request: Probe| ready(Ok(probed.probe(&request.slug)))).await?;
    let fenced = relay.clone();
    bus.serve_node(node, serving, move |request: Fence| {
        fenced.fence(&request.slug, request.epoch);
        ready(Ok(()))
    })
    .await?;
    let fetching = relay.clone();
    bus.serve_node(node, serving, move |request: Fetch| {
        let relay = fetching.clone();
        async move { Ok(Fetched { carried: relay.fetch(&request.slug).await? }) }
    })
    .await?;
    let revoked = relay.clone();
    bus.serve_node(node, serving, move |request: Revoke| {
        revoked.revoke(request.id);
        ready(Ok(()))
    })
    .await?;
    let moved = relay.clone();
    bus.serve_node(node, serving, move |request: Move| {
        moved.move_to(&request);
        ready(Ok(()))
    })
    .await?;
    let drilled = relay.clone();
    bus.serve_node(node, serving, move |request: Inject| ready(drill(&drilled, &request, allow_drills))).await
}

fn drill(relay: &Relay, request: &Inject, allowed: bool) -> Result<(), Problem> {
    if !allowed {
        return Err(Problem::new(
            Code::Forbidden,
            "drills are off on this node: start it with --allow-drills",
        ));
    }
    if !(1..=600).contains(&request.seconds) {
        let detail = format!("a drill of {} s is not within 1 to 600", request.seconds);
        return Err(Problem::new(Code::BadRequest, detail));
    }
    relay.inject(request.fault, Duration::from_secs(request.seconds.into()));
    Ok(())
}
