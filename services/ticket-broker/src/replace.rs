//! Replaces tickets whose provider can no longer serve them, or for which there is a better
//! provider.

use crate::broker::Broker;
use crate::error::Error;
use crate::gather::{TicketRequest, gather_with_paths};
use crate::judge::judge;
use crate::judge::standby::{better_standbys, shared_relays};
use crate::judge::why::Why;
use crate::move_to_supernode::fetch_and_move;
use crate::reparent::better_providers;
use crate::store::relays::RelayRecord;
use crate::tickets::release;
use astral_proto::TicketId;
use astral_proto::message::{HeldTicket, Offer, Replacement};
use std::collections::BTreeSet;

/// Most tickets that one heartbeat replaces. The next heartbeats replace the others.
const REPLACED_MAX: usize = 32;

/// Tickets for which it is time to look for a better provider.
#[derive(Debug, Default)]
pub struct DueReviews {
    /// Standbys.
    pub standbys: Vec<TicketId>,
    /// Tickets in use, for at least [`SETTLED_AFTER`](crate::reparent::SETTLED_AFTER).
    pub settled: Vec<TicketId>,
}

/// Returns replacements for tickets that a relay holds:
///
/// - A ticket in `moves` is replaced by any ticket of another provider.
/// - A ticket in `due` is replaced only by a better one.
/// - A standby that has become useless is replaced even if it is not in `due`.
///
/// If `due` is None, only tickets in `moves` are replaced.
///
/// # Errors
/// Those of the state.
pub async fn replacements(
    broker: &Broker,
    relay: &RelayRecord,
    moves: &[TicketId],
    due: Option<&DueReviews>,
) -> Result<Vec<Replacement>, Error> {
    let mut replaced = Vec::new();
    for active in relay.holds.iter().filter(|held| !held.standby) {
        if replaced.len() >= REPLACED_MAX {
            break;
        }
        let by = if moves.contains(&active.id) {
            move_away(broker, relay, active).await?
        } else if due.is_some_and(|due| due.settled.contains(&active.id)) {
            better_ticket(broker, relay, active).await?
        } else {
            None
        };
        if let Some(by) = by {
            let left = active.id;
            replaced.push(Replacement { left, by });
        } else if let Some(due) = due {
            let standby = better_standby(broker, relay, active, due).await?;
            replaced.extend(standby);
        }
    }
    Ok(replaced)
}

/// A ticket of another provider, because the present one can no longer serve the stream. None if no
/// other has room.
async fn move_away(
    broker: &Broker,
    relay: &RelayRecord,
    active: &HeldTicket,
) -> Result<Option<Offer>, Error> {
    let Ok(snapshot) = broker.snapshots.current(&active.slug).await else {
        return Ok(None);
    };
    let request = TicketRequest::for_relay(broker, relay, &active.slug, [active.provider].into());
    let mut candidates = gather_with_paths(broker, request, snapshot, &[]).await?;
    let reason = Why::text(active.provider, "can serve it no longer");
    candidates.why.push(reason);
    Ok(broker.offer(&judge(&candidates)).await.ok())
}

/// A ticket of a provider that is clearly better than the present one. None if no better provider
/// has room. If only the relay's supernode would be better, and it must fetch the stream first,
/// starts that in the background and returns None.
async fn better_ticket(
    broker: &Broker,
    relay: &RelayRecord,
    active: &HeldTicket,
) -> Result<Option<Offer>, Error> {
    let Ok(snapshot) = broker.snapshots.current(&active.slug).await else {
        return Ok(None);
    };
    let request = TicketRequest::for_relay(broker, relay, &active.slug, BTreeSet::new());
    let ends = [active.provider];
    let mut candidates = gather_with_paths(broker, request, snapshot, &ends).await?;
    let reason = Why::text(active.provider, "has served it, and another is better");
    candidates.why.push(reason);
    let now = broker.store.state.now();
    let asker = &candidates.request.asker;
    let carriers = &candidates.carriers;
    let mut decision = judge(&candidates);
    decision.ranked =
        better_providers(asker, carriers, active.provider, decision.ranked, None, now);
    let present = carriers.get(&active.provider);
    let Some((present, best)) = present.zip(decision.ranked.first()) else {
        fetch_and_move(broker, relay, active, carriers);
        return Ok(None);
    };
    let snapshots = &broker.snapshots;
    let may_move = snapshots.take_move(&active.slug, |moves| {
        moves.take(asker, present, best.rank, now)
    });
    if !may_move {
        return Ok(None);
    }
    Ok(broker.offer(&decision).await.ok())
}

/// A better standby for the ticket `active` than the relay has now. Releases the present one. None
/// if the relay has no standby, if its standby is good, or if there is no better one.
async fn better_standby(
    broker: &Broker,
    relay: &RelayRecord,
    active: &HeldTicket,
    due: &DueReviews,
) -> Result<Option<Replacement>, Error> {
    let mut standbys = relay.holds.iter().filter(|held| held.standby);
    let Some(standby) = standbys.find(|held| held.slug == active.slug) else {
        return Ok(None);
    };
    let Ok(snapshot) = broker.snapshots.current(&active.slug).await else {
        return Ok(None);
    };
    let failed = relay.failed_lately(broker.store.state.now()).collect();
    let request = TicketRequest::for_relay(broker, relay, &active.slug, failed);
    let ends = [active.provider, standby.provider];
    broker
        .snapshots
        .load_ancestors(&active.slug, &snapshot, ends)
        .await?;
    // Most standbys are good. To find that out, the two paths are enough, so only these are read.
    let paths = snapshot.with_ancestors(&ends);
    let shared = shared_relays(&request.asker, &paths, active.provider, standby.provider);
    let is_useless = shared.is_none();
    let may_improve = shared != Some(0) && due.standbys.contains(&standby.id);
    if !is_useless && !may_improve {
        return Ok(None);
    }
    let candidates = gather_with_paths(broker, request, snapshot, &ends).await?;
    let mut decision = judge(&candidates).for_standby(active.provider);
    decision.ranked = better_standbys(decision.ranked, standby.provider, shared);
    let Ok(by) = broker.offer(&decision).await else {
        return Ok(None);
    };
    release(broker, standby.id, relay.node.uuid).await?;
    let left = standby.id;
    Ok(Some(Replacement { left, by }))
}
