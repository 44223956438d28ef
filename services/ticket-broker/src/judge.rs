//! Which relay provides: the rules of the order, and the draw.

pub mod why;

use crate::carrier::{Carrier, Carriers, is_cut_off, path_to_origin, receives_through};
use astral_proto::NodeId;
use astral_proto::limits::{HOPS_MAX, UNKNOWN_KBPS};
use astral_proto::model::{NodeState, Role};
use rand::Rng;
use rand::seq::IndexedRandom;
use std::collections::{BTreeMap, HashSet};
use why::{Load, Short, Unfit, Why};

/// Providers tried for one ticket.
pub const TRIES_MAX: usize = 16;
/// Providers tried for one standby, which is asked for again soon.
pub const STANDBY_TRIES_MAX: usize = 4;

/// Providers asked in turn for one ticket.
pub fn tries_max(standby: bool) -> usize {
    if standby {
        STANDBY_TRIES_MAX
    } else {
        TRIES_MAX
    }
}

/// What an ordinary node may take of an origin, in thousandths promised, while there are supernodes. The rest waits for
/// these: after an outage the many would else be there before the few, and the tree grow below who can feed nobody.
const ORIGIN_SHARE_MAX: u64 = 250;
/// A supernode that has promised more than this, in thousandths, counts as a hop farther for ordinary nodes other than its
/// children: what it has left is for supernodes, which let the tree go on.
pub const SPARE_SHARE_MAX: u64 = 900;
/// Of how many that may provide it is told why, the best of them.
const FIT_TOLD_MAX: usize = 6;
/// Of how many that may not.
const NOT_TAKEN_TOLD_MAX: usize = 6;

/// Who asks for a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The relay.
    pub node: NodeId,
    /// Its role.
    pub role: Role,
    /// Its primary supernode.
    pub primary: Option<NodeId>,
    /// Round trips that it has measured, microseconds.
    pub rtts: BTreeMap<NodeId, u32>,
    /// Providers it will not have.
    pub exclude: HashSet<NodeId>,
}

/// What a provider is for an asker; the first is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// The origin, for a supernode: its upstream is kept for these, and the tree stays flat.
    OriginForSupernode,
    /// A supernode; and the origin for a child of its own, while it has room to spare.
    Supernode,
    /// The origin, while it has room to spare.
    Origin,
    /// An ordinary node.
    Node,
    /// The origin, when what is left of its upstream is kept for supernodes: nobody else has room.
    OriginReserve,
    /// Any that was full by what it said last; the ledger knows.
    Full,
}

/// How good a place is for an asker; the least is best.
///
/// Nearness to the origin goes before the asker's own supernode. A supernode that stands below another one would put all
/// of its children a hop lower, so where more supernodes carry a stream than its origin can feed, most relays would hang
/// three hops deep where two are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// What the provider is.
    pub tier: Tier,
    /// Its links from the origin.
    pub hops: u32,
    /// Whether it is another than the asker's primary supernode.
    pub not_primary: bool,
}

/// A relay that may provide, and how good it is.
#[derive(Clone, Debug)]
pub struct Candidate<'a, Rank> {
    /// The relay.
    pub carrier: &'a Carrier,
    /// What it is ordered by.
    pub rank: Rank,
}

impl Candidate<'_, Rank> {
    fn told(&self) -> Why {
        let carrier = self.carrier;
        Why::Fit(
            carrier.node.uuid,
            self.rank.into(),
            carrier.hops(),
            carrier.share() / 10,
        )
    }
}

/// A provider that was drawn.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// The relay.
    pub carrier: &'a Carrier,
    /// The other one that was drawn, and is no better.
    pub over: Option<&'a Carrier>,
    /// How many were as good by their rank.
    pub of: usize,
}

impl Choice<'_> {
    /// Why it is this one.
    pub fn why(&self) -> Why {
        let load =
            |carrier: &Carrier| Load(carrier.node.uuid, carrier.share() / 10, carrier.hops());
        match self.over {
            None => Why::Alone((Short(self.carrier.node.uuid),)),
            Some(over) => Why::Over(self.of, load(self.carrier), load(over)),
        }
    }
}

/// Sorts out who may provide, best first, and says why: of the best and of some of those who may not, and how many
/// others there are.
pub fn judge<'a>(
    asker: &Asker,
    carriers: &'a Carriers,
    why: &mut Vec<Why>,
) -> Vec<Candidate<'a, Rank>> {
    let mut fit = Vec::new();
    let mut not_taken = Vec::new();
    let by_origin = origin_kbps(carriers);
    for carrier in carriers
        .values()
        .filter(|carrier| carrier.carried.is_some())
    {
        match unfit(asker, carriers, carrier) {
            Some(reason) => not_taken.push(Why::Unfit(carrier.node.uuid, reason)),
            None => {
                let rank = place(
                    asker,
                    carrier,
                    by_origin.unwrap_or_else(|| own_kbps(carrier)),
                );
                fit.push(Candidate { carrier, rank });
            }
        }
    }
    fit.sort_by_key(|Candidate { carrier, rank }| (*rank, carrier.share(), carrier.hops()));
    let others =
        fit.len().saturating_sub(FIT_TOLD_MAX) + not_taken.len().saturating_sub(NOT_TAKEN_TOLD_MAX);
    why.extend(fit.iter().take(FIT_TOLD_MAX).map(Candidate::told));
    why.extend(not_taken.into_iter().take(NOT_TAKEN_TOLD_MAX));
    if others > 0 {
        why.push(Why::Others(others));
    }
    fit
}

/// What a ticket of `carrier` is charged: the bitrate that the origin measures, else its own.
pub fn ticket_kbps(carriers: &Carriers, carrier: &Carrier) -> u32 {
    origin_kbps(carriers).unwrap_or_else(|| own_kbps(carrier))
}

fn origin(carriers: &Carriers) -> Option<NodeId> {
    carriers
        .values()
        .find(|carrier| carrier.is_origin())
        .map(|origin| origin.node.uuid)
}

fn origin_kbps(carriers: &Carriers) -> Option<u32> {
    carriers
        .values()
        .find(|carrier| carrier.is_origin())
        .and_then(|origin| origin.measured_kbps())
}

fn own_kbps(carrier: &Carrier) -> u32 {
    carrier.measured_kbps().unwrap_or(UNKNOWN_KBPS)
}

/// The supernode to be made to fetch the stream for `asker` first; none if there is no need, or nobody to fetch from
/// but the asker and those below it, or if another supernode with room to spare is nearer to the origin than it could be.
pub fn supernode_to_fetch(asker: &Asker, carriers: &Carriers) -> Option<NodeId> {
    let primary = asker
        .primary
        .filter(|primary| *primary != asker.node && !asker.exclude.contains(primary))?;
    let has_it = carriers
        .get(&primary)
        .is_some_and(|carrier| carrier.carried.is_some());
    let anybody = carriers.values().any(|carrier| {
        carrier.carried.is_some()
            && carrier.node.uuid != asker.node
            && !receives_through(carriers, carrier, asker.node)
    });
    let wanted = asker.role != Role::Supernode && !has_it && anybody;
    (wanted && !is_beaten(asker, carriers)).then_some(primary)
}

/// Whether a supernode that does not carry the stream yet would come to stand farther from the origin than one that
/// does and has room to spare.
fn is_beaten(asker: &Asker, carriers: &Carriers) -> bool {
    let spare = sources_with_room(asker, carriers)
        .filter(|carrier| !carrier.is_origin() && carrier.share() <= SPARE_SHARE_MAX)
        .map(Carrier::hops)
        .min();
    spare
        .zip(nearest_source_hops(asker, carriers))
        .is_some_and(|(spare, nearest_source_hops)| spare <= nearest_source_hops)
}

/// How far from the origin the nearest relay is that a supernode could fetch the stream from.
pub fn nearest_source_hops(asker: &Asker, carriers: &Carriers) -> Option<u32> {
    sources_with_room(asker, carriers).map(Carrier::hops).min()
}

/// The origin and the supernodes that carry the stream and have room.
fn sources_with_room<'a>(
    asker: &Asker,
    carriers: &'a Carriers,
) -> impl Iterator<Item = &'a Carrier> {
    let may_feed = |carrier: &&Carrier| {
        let is_it = carrier.is_origin() || carrier.node.role == Role::Supernode;
        let has_room = !carrier.is_full_with(ticket_kbps(carriers, carrier));
        is_it && has_room && unfit(asker, carriers, carrier).is_none()
    };
    carriers
        .values()
        .map(AsRef::as_ref)
        .filter(|carrier: &&Carrier| carrier.carried.is_some())
        .filter(may_feed)
}

/// Orders those who may stand by for `active`: first who shares no relay with its path but the origin, then who
/// shares fewest; within those as for any ticket, but that the origin stands by for ordinary nodes only if nobody else can.
pub fn rank_standbys<'a>(
    fit: &[Candidate<'a, Rank>],
    carriers: &Carriers,
    active: NodeId,
) -> Vec<Candidate<'a, (usize, Rank)>> {
    let others = fit
        .iter()
        .filter(|candidate| candidate.carrier.node.uuid != active);
    let path = path(carriers, active);
    let ranked = others.map(|Candidate { carrier, rank }| {
        let shared = shared(carriers, &path, carrier.node.uuid);
        let tier = if rank.tier == Tier::Origin {
            Tier::OriginReserve
        } else {
            rank.tier
        };
        Candidate {
            carrier,
            rank: (shared, Rank { tier, ..*rank }),
        }
    });
    ranked.collect()
}

/// Those of `ranked` that are better than `standby`, which shares `shared` relays, or carries the stream no more.
pub fn better_standbys<'a>(
    ranked: Vec<Candidate<'a, (usize, Rank)>>,
    standby: NodeId,
    shared: Option<usize>,
) -> Vec<Candidate<'a, (usize, Rank)>> {
    let is_better = |candidate: &Candidate<'_, (usize, Rank)>| {
        candidate.carrier.node.uuid != standby
            && shared.is_none_or(|shared| candidate.rank.0 < shared)
    };
    ranked.into_iter().filter(is_better).collect()
}

/// How many relays but the origin `standby` shares with the path of `active`; none if it cannot stand by any more:
/// it carries the stream no longer, or would not be chosen now.
pub fn shared_relays(
    asker: &Asker,
    carriers: &Carriers,
    active: NodeId,
    standby: NodeId,
) -> Option<usize> {
    let carrier = carriers
        .get(&standby)
        .filter(|carrier| carrier.carried.is_some())?;
    let fits = standby != active && unfit(asker, carriers, carrier).is_none();
    fits.then(|| shared(carriers, &path(carriers, active), standby))
}

/// The relays that a stream comes through to `active`, but for the origin.
fn path(carriers: &Carriers, active: NodeId) -> Vec<NodeId> {
    let mut relays = path_to_origin(carriers, active);
    if relays.len() > 1 {
        relays.pop();
    } else if carriers
        .get(&active)
        .is_some_and(|active| active.is_origin())
    {
        relays.clear();
    }
    relays
}

fn shared(carriers: &Carriers, path: &[NodeId], standby: NodeId) -> usize {
    path_to_origin(carriers, standby)
        .iter()
        .filter(|relay| path.contains(relay))
        .count()
}

/// Draws two at random of the best rank that none of `refused` is in, and gives the better: the lower promised share,
/// then fewer hops, then the lower round trip. Figures are stale, so the best of all would draw everyone.
pub fn draw_provider<'a, Rank: Ord + Copy>(
    fit: &[Candidate<'a, Rank>],
    refused: &HashSet<NodeId>,
    rtts: &BTreeMap<NodeId, u32>,
    rng: &mut impl Rng,
) -> Option<Choice<'a>> {
    let left = || {
        fit.iter()
            .filter(|candidate| !refused.contains(&candidate.carrier.node.uuid))
    };
    let best = left().map(|candidate| candidate.rank).min()?;
    let best: Vec<&Carrier> = left()
        .filter(|candidate| candidate.rank == best)
        .map(|candidate| candidate.carrier)
        .collect();
    let rtt = |carrier: &Carrier| rtts.get(&carrier.node.uuid).copied().unwrap_or(u32::MAX);
    let mut drawn: Vec<&Carrier> = best.choose_multiple(rng, 2).copied().collect();
    drawn.sort_by_key(|carrier| (carrier.share(), carrier.hops(), rtt(carrier)));
    Some(Choice {
        carrier: drawn.first()?,
        over: drawn.get(1).copied(),
        of: best.len(),
    })
}

fn place(asker: &Asker, carrier: &Carrier, kbps: u32) -> Rank {
    if carrier.is_full_with(kbps) {
        return Rank {
            tier: Tier::Full,
            hops: 0,
            not_primary: true,
        };
    }
    let place = rank_with_room(asker, carrier);
    let ordinary = asker.role != Role::Supernode;
    if ordinary
        && carrier.is_origin()
        && asker.primary.is_some()
        && carrier.share() > ORIGIN_SHARE_MAX
    {
        Rank {
            tier: Tier::OriginReserve,
            ..place
        }
    } else if ordinary && place.not_primary && carrier.share() > SPARE_SHARE_MAX {
        Rank {
            hops: place.hops + 1,
            ..place
        }
    } else {
        place
    }
}

/// How good a place is for who has it, or would have.
pub fn rank_with_room(asker: &Asker, carrier: &Carrier) -> Rank {
    let not_primary = asker.primary != Some(carrier.node.uuid);
    let tier = match carrier.node.role {
        _ if carrier.is_origin() && asker.role == Role::Supernode => Tier::OriginForSupernode,
        _ if carrier.is_origin() && not_primary => Tier::Origin,
        Role::Supernode => Tier::Supernode,
        _ if !not_primary => Tier::Supernode,
        _ => Tier::Node,
    };
    Rank {
        tier,
        hops: carrier.hops(),
        not_primary,
    }
}

fn unfit(asker: &Asker, carriers: &Carriers, carrier: &Carrier) -> Option<Unfit> {
    let node = carrier.node.uuid;
    if node == asker.node {
        Some(Unfit::Asker)
    } else if asker.exclude.contains(&node) {
        Some(Unfit::Excluded)
    } else if carrier.node.state == NodeState::Lost {
        Some(Unfit::Lost)
    } else if carrier.node.state == NodeState::Draining {
        Some(Unfit::Draining)
    } else if receives_through(carriers, carrier, asker.node) {
        Some(Unfit::Below)
    } else if origin(carriers).is_some_and(|origin| is_cut_off(carriers, node, origin)) {
        Some(Unfit::Adrift)
    } else if carrier.hops() >= HOPS_MAX {
        Some(Unfit::Far)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
