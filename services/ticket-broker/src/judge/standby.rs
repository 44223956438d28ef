//! Standbys: which relays protect best against the loss of a relay on the path in use.

use super::{Asker, Candidate, Rank, Tier, why_unfit};
use crate::carrier::{Carriers, path_to_origin};
use astral_proto::NodeId;

/// Ranks the candidates as standbys for a ticket of `active`: first those whose path shares the
/// fewest relays with that of `active`, the origin aside; among these as for any ticket, except
/// that the origin stands by for ordinary nodes only if no other relay can. `active` itself is left
/// out.
pub fn rank_standbys<'a>(
    candidates: &[Candidate<'a>],
    carriers: &Carriers,
    active: NodeId,
) -> Vec<Candidate<'a>> {
    let path = relays_on_path(carriers, active);
    candidates
        .iter()
        .filter(|candidate| candidate.carrier.node.uuid != active)
        .map(|Candidate { carrier, rank }| {
            let shared_relays = count_shared(carriers, &path, carrier.node.uuid);
            let tier = if rank.tier == Tier::Origin {
                Tier::OriginReserve
            } else {
                rank.tier
            };
            let rank = Rank {
                shared_relays,
                tier,
                ..*rank
            };
            Candidate { carrier, rank }
        })
        .collect()
}

/// Those of `ranked` that are better than the present `standby`, which shares `shared` relays with
/// the path in use. With None, which means that it is of no use any more, all others are better.
pub fn better_standbys<'a>(
    ranked: Vec<Candidate<'a>>,
    standby: NodeId,
    shared: Option<usize>,
) -> Vec<Candidate<'a>> {
    let is_better = |candidate: &Candidate<'_>| {
        candidate.carrier.node.uuid != standby
            && shared.is_none_or(|shared| candidate.rank.shared_relays < shared)
    };
    ranked.into_iter().filter(is_better).collect()
}

/// How many relays, the origin aside, `standby` shares with the path of `active`. None if it is no
/// use as a standby any more: it has stopped carrying the stream, or would not be accepted as a
/// provider now.
pub fn shared_relays(
    asker: &Asker,
    carriers: &Carriers,
    active: NodeId,
    standby: NodeId,
) -> Option<usize> {
    let carrier = carriers
        .get(&standby)
        .filter(|carrier| carrier.carried.is_some())?;
    let is_suitable = standby != active && why_unfit(asker, carriers, carrier).is_none();
    is_suitable.then(|| count_shared(carriers, &relays_on_path(carriers, active), standby))
}

/// The relays through which the stream comes to `active`, without the origin: no path avoids that
/// one.
fn relays_on_path(carriers: &Carriers, active: NodeId) -> Vec<NodeId> {
    let mut relays = path_to_origin(carriers, active);
    let active_is_origin = carriers
        .get(&active)
        .is_some_and(|active| active.is_origin());
    if relays.len() > 1 {
        relays.pop();
    } else if active_is_origin {
        relays.clear();
    }
    relays
}

fn count_shared(carriers: &Carriers, path: &[NodeId], standby: NodeId) -> usize {
    path_to_origin(carriers, standby)
        .iter()
        .filter(|relay| path.contains(relay))
        .count()
}
