//! Second step of a ticket request: which relays may provide, best first.
//!
//! Everything in this module and its parts is a pure function of what `gather.rs` has found, so
//! that the simulation runs it as it is.

pub mod draw;
pub mod fetch;
pub mod standby;
pub mod why;

use crate::carrier::{Carrier, Carriers, is_cut_off, receives_through};
use crate::gather::Candidates;
use astral_proto::NodeId;
use astral_proto::limits::{HOPS_MAX, UNKNOWN_KBPS};
use astral_proto::model::{NodeState, Role};
use std::collections::{BTreeMap, BTreeSet};
use why::{Unfit, Why};

/// How much of an origin's limit ordinary nodes may use while there are supernodes, in thousandths.
/// The rest is kept for supernodes. Without this, after an outage the many ordinary nodes would
/// take the origin before the few supernodes arrive, and the tree would grow below nodes that can
/// feed hardly anybody.
const ORIGIN_SHARE_MAX: u64 = 250;
/// A supernode that has promised more than this, in thousandths of its limit, counts as one hop
/// farther for ordinary nodes other than its children. What it has left is for other supernodes,
/// below which the tree can grow.
pub const SPARE_SHARE_MAX: u64 = 900;
/// How many suitable providers are explained in `why`; the best ones first.
const SUITABLE_EXPLAINED_MAX: usize = 6;
/// How many unsuitable ones.
const UNFIT_EXPLAINED_MAX: usize = 6;

/// The relay that needs a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Its id.
    pub node: NodeId,
    /// Its role.
    pub role: Role,
    /// Its primary supernode.
    pub primary: Option<NodeId>,
    /// Round trips that it has measured, microseconds.
    pub rtts: BTreeMap<NodeId, u32>,
    /// Providers that it rejects.
    pub exclude: BTreeSet<NodeId>,
}

/// What kind of provider a relay is for an asker. The first is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// The origin, for a supernode. Most of the origin is kept for these, so that the tree stays
    /// flat.
    OriginForSupernode,
    /// A supernode. Also the origin, for a node whose primary supernode it is, while it has room to
    /// spare.
    Supernode,
    /// The origin, while it has room to spare.
    Origin,
    /// An ordinary node.
    Node,
    /// The origin, when what is left of it is kept for supernodes. Used only if no other relay has
    /// room.
    OriginReserve,
    /// Any relay that was full when it last reported. Its ledger may know better.
    Full,
}

/// How good a provider is for an asker. The least is best.
///
/// The distance to the origin comes before the asker's own supernode. A supernode that is below
/// another one would put all of its children one hop lower. So where more supernodes carry a stream
/// than its origin can feed, most relays would be three hops away although two are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// For a standby: how many relays, the origin aside, it shares with the path in use. 0 for a
    /// ticket in use.
    pub shared_relays: usize,
    /// What kind of provider it is.
    pub tier: Tier,
    /// Relay links from the origin to the provider.
    pub hops: u32,
    /// Whether it is not the asker's primary supernode.
    pub not_primary: bool,
}

/// A relay that may provide, and how good it is.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The relay.
    pub carrier: &'a Carrier,
    /// What candidates are ordered by.
    pub rank: Rank,
}

/// The outcome of this step: the candidates in the order of preference. `reserve.rs` tries them in
/// turn.
pub struct Decision<'a> {
    /// What was decided from.
    pub candidates: &'a Candidates,
    /// Whether the ticket waits for a failover instead of being used at once.
    pub standby: bool,
    /// The relays that may provide, best first.
    pub ranked: Vec<Candidate<'a>>,
    /// What is to be shown of the choice.
    pub why: Vec<Why>,
}

/// Decides who may provide a ticket for use.
pub fn judge(candidates: &Candidates) -> Decision<'_> {
    let mut why = candidates.why.clone();
    let ranked = rank_providers(&candidates.request.asker, &candidates.carriers, &mut why);
    Decision {
        candidates,
        standby: false,
        ranked,
        why,
    }
}

impl<'a> Decision<'a> {
    /// The decision for a standby beside a ticket of `active`: the same relays, those first whose
    /// path shares least with that of `active`. A provider that has failed the asker lately is left
    /// out.
    pub fn for_standby(&self, active: NodeId) -> Self {
        let failed = &self.candidates.request.failed;
        let mut ranked = standby::rank_standbys(&self.ranked, &self.candidates.carriers, active);
        ranked.retain(|candidate| !failed.contains(&candidate.carrier.node.uuid));
        Self {
            candidates: self.candidates,
            standby: true,
            ranked,
            why: self.why.clone(),
        }
    }
}

/// Ranks those of `carriers` that may provide for `asker`, best first. Adds to `why` the best of
/// them, some of those that may not provide with the reason, and how many others there are.
pub fn rank_providers<'a>(
    asker: &Asker,
    carriers: &'a Carriers,
    why: &mut Vec<Why>,
) -> Vec<Candidate<'a>> {
    let mut suitable = Vec::new();
    let mut unfit = Vec::new();
    let origin_kbps = origin_kbps(carriers);
    for carrier in carriers
        .values()
        .filter(|carrier| carrier.carried.is_some())
    {
        match why_unfit(asker, carriers, carrier) {
            Some(reason) => unfit.push(Why::Unfit(carrier.node.uuid, reason)),
            None => {
                let kbps = origin_kbps.unwrap_or_else(|| own_kbps(carrier));
                let rank = rank(asker, carrier, kbps);
                suitable.push(Candidate { carrier, rank });
            }
        }
    }
    suitable.sort_by_key(|Candidate { carrier, rank }| {
        (*rank, carrier.load_permille(), carrier.hops())
    });
    let others = suitable.len().saturating_sub(SUITABLE_EXPLAINED_MAX)
        + unfit.len().saturating_sub(UNFIT_EXPLAINED_MAX);
    why.extend(
        suitable
            .iter()
            .take(SUITABLE_EXPLAINED_MAX)
            .map(Why::suitable),
    );
    why.extend(unfit.into_iter().take(UNFIT_EXPLAINED_MAX));
    if others > 0 {
        why.push(Why::Others(others));
    }
    suitable
}

/// What a ticket of `carrier` reserves, kbit/s: the bitrate that the origin measures, otherwise the
/// carrier's own figure.
pub fn ticket_kbps(carriers: &Carriers, carrier: &Carrier) -> u32 {
    origin_kbps(carriers).unwrap_or_else(|| own_kbps(carrier))
}

fn find_origin(carriers: &Carriers) -> Option<&Carrier> {
    carriers
        .values()
        .find(|carrier| carrier.is_origin())
        .map(|origin| &**origin)
}

fn origin_kbps(carriers: &Carriers) -> Option<u32> {
    find_origin(carriers).and_then(Carrier::measured_kbps)
}

fn own_kbps(carrier: &Carrier) -> u32 {
    carrier.measured_kbps().unwrap_or(UNKNOWN_KBPS)
}

fn rank(asker: &Asker, carrier: &Carrier, kbps: u32) -> Rank {
    if carrier.is_full_with(kbps) {
        return Rank {
            shared_relays: 0,
            tier: Tier::Full,
            hops: 0,
            not_primary: true,
        };
    }
    let rank = rank_with_room(asker, carrier);
    if asker.role == Role::Supernode {
        return rank;
    }
    let load = carrier.load_permille();
    if carrier.is_origin() && asker.primary.is_some() && load > ORIGIN_SHARE_MAX {
        Rank {
            tier: Tier::OriginReserve,
            ..rank
        }
    } else if rank.not_primary && load > SPARE_SHARE_MAX {
        Rank {
            hops: rank.hops + 1,
            ..rank
        }
    } else {
        rank
    }
}

/// The rank of a provider that has room for the asker, or serves it already.
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
        shared_relays: 0,
        tier,
        hops: carrier.hops(),
        not_primary,
    }
}

/// Why `carrier` may not provide for `asker`. None if it may.
fn why_unfit(asker: &Asker, carriers: &Carriers, carrier: &Carrier) -> Option<Unfit> {
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
    } else if find_origin(carriers)
        .is_some_and(|origin| is_cut_off(carriers, node, origin.node.uuid))
    {
        Some(Unfit::CutOff)
    } else if carrier.hops() >= HOPS_MAX {
        Some(Unfit::TooFar)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
