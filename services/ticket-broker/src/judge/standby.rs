//! Standbys: which relays protect best against the loss of a relay on the path in use.

use super::{Asker, Candidate, Rank, Tier, why_unfit};
use crate::carrier::{Carriers, path_to_origin};
use astral_proto::NodeId;

/// Ranks the candidates as standbys for a ticket of `active`. The fewer relays the path of a
/// candidate shares with the path of `active`, the better. The origin is not counted. Among
/// candidates that share equally many, the rank is that for any ticket, except that
/// [`Tier::Origin`] comes after ordinary nodes. `active` itself is left out. The result is not
/// sorted.
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

/// Returns the candidates in `ranked` that are better than the present `standby`. `shared` is what
/// [`shared_relays`] returned for it. If that is None, all others are better.
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

/// Returns how many relays on the path of `standby` are also on the path of `active`, not counting
/// the origin. None if `standby` has become useless: it no longer carries the stream, or the rules
/// would not accept it as a provider now.
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

/// The relays through which the stream comes to `active`. The origin is left out, because every
/// path contains it.
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
