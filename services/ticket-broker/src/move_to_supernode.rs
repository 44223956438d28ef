//! Moves a relay back to its supernode if the supernode no longer carries the stream. The supernode
//! fetches the stream first, as for a relay that joins.

use crate::broker::Broker;
use crate::carrier::Carriers;
use crate::error::Error;
use crate::fetch::fetch;
use crate::gather::{TicketRequest, gather_with_paths};
use crate::judge::judge;
use crate::judge::why::Why;
use crate::reparent::{better_providers, supernode_worth_fetching};
use crate::store::relays::RelayRecord;
use astral_proto::NodeId;
use astral_proto::limits::LINK_SILENCE;
use astral_proto::message::{HeldTicket, Move, Replacement};

/// If the supernode of `relay` would be a clearly better provider than that of the ticket `active`,
/// makes the supernode fetch the stream and moves the relay there. Runs in the background, because
/// a fetch takes longer than the answer to a heartbeat may take.
pub fn fetch_and_move(
    broker: &Broker,
    relay: &RelayRecord,
    active: &HeldTicket,
    carriers: &Carriers,
) {
    let now = broker.store.state.now();
    let exclude = relay.failed_lately(now).collect();
    let request = TicketRequest::for_relay(broker, relay, &active.slug, exclude);
    let asker = &request.asker;
    let worth_fetching = supernode_worth_fetching(asker, carriers, active.provider);
    let present = carriers.get(&active.provider);
    let Some(((supernode, rank), present)) = worth_fetching.zip(present) else {
        return;
    };
    let snapshots = &broker.snapshots;
    if !snapshots.take_move(&active.slug, |moves| moves.take(asker, present, rank, now)) {
        return;
    }
    let broker_of_task = broker.clone();
    let active = active.clone();
    broker.tasks.spawn(async move {
        if let Err(error) = move_to(&broker_of_task, request, &active, supernode).await {
            tracing::debug!(
                stream.slug = %active.slug,
                node.id = %supernode,
                %error,
                "relay not moved to its supernode"
            );
        }
    });
}

async fn move_to(
    broker: &Broker,
    request: TicketRequest,
    active: &HeldTicket,
    supernode: NodeId,
) -> Result<(), Error> {
    let node = request.asker.node;
    let carrier = fetch(broker, supernode, &request.slug).await?;
    let snapshot = broker.snapshots.current(&request.slug).await?;
    snapshot.add([(supernode, carrier.into())].into());
    let ends = [active.provider];
    let mut candidates = gather_with_paths(broker, request, snapshot, &ends).await?;
    let reason = format!("has served it, and {supernode} has fetched it");
    candidates.why.push(Why::text(active.provider, reason));
    let mut decision = judge(&candidates);
    let now = broker.store.state.now();
    decision.ranked = better_providers(
        &candidates.request.asker,
        &candidates.carriers,
        active.provider,
        decision.ranked,
        Some(supernode),
        now,
    );
    let by = broker.offer(&decision).await?;
    let left = active.id;
    let order = Move {
        replaced: vec![Replacement { left, by }],
    };
    broker.bus.request_node(node, &order, LINK_SILENCE).await?;
    Ok(())
}
