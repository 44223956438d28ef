//! Second step of a ticket request: which relays may provide, best first.
//!
//! Everything in this module and its parts is a pure function of what `gather.rs` has found (and,
//! in `draw.rs`, of random numbers that the caller passes). So tests need neither a bus nor a
//! state.

pub mod draw;
pub mod fetch;
pub mod standby;
pub mod why;

use crate::carrier::{Carrier, Carriers, is_cut_off, receives_through};
use crate::gather::Candidates;
use astral_proto::limits::{HOPS_MAX, UNKNOWN_KBPS};
use astral_proto::model::{NodeState, Role};
use astral_proto::{Kbps, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use why::{Unfit, Why};

/// How much of an origin's limit ordinary nodes may use while there are supernodes, in thousandths.
/// The rest is kept for supernodes. Without this, after an outage the many ordinary nodes would
/// take the origin before the few supernodes arrive, and the tree would grow below nodes that have
/// hardly any upstream.
const ORIGIN_SHARE_MAX: u64 = 250;
/// A supernode that has promised more than this, in thousandths of its limit, counts as one hop
/// farther for ordinary nodes other than its children. What it has left is kept for its children
/// and for other supernodes, below which the tree can grow.
pub const SPARE_SHARE_MAX: u64 = 900;
/// How many suitable providers are explained in `why`; the best ones first.
const SUITABLE_EXPLAINED_MAX: usize = 6;
/// How many unsuitable providers are explained.
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

/// What kind of provider a relay is for an asker. The first variant is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// The origin, for a supernode. Most of the origin is kept for these, so that the tree stays
    /// flat.
    OriginForSupernode,
    /// A supernode. An origin that is the asker's primary supernode also counts as one while it has
    /// room to spare.
    Supernode,
    /// The origin, while it has room to spare.
    Origin,
    /// An ordinary node.
    Node,
    /// The origin, when the rest of its capacity is kept for supernodes. Used only if no other
    /// relay has room.
    OriginReserve,
    /// Any relay that was full when it last reported. It is tried last: its ledger may have room
    /// again.
    Full,
}

/// How good a provider is for an asker. A lower rank is better; fields are compared in order.
///
/// `hops` comes before `not_primary` on purpose. Suppose that each relay preferred its own
/// supernode. A supernode that is itself below another one would then put all its children one hop
/// farther from the origin. So where more supernodes carry a stream than its origin can feed, most
/// relays would be three hops away, although two hops are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// For a standby: how many relays it shares with the path in use, not counting the origin. 0
    /// for a ticket in use.
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
    /// Its rank for the asker.
    pub rank: Rank,
}

/// The outcome of this step: the candidates with their ranks. `reserve.rs` draws among those with
/// the best rank.
pub struct Decision<'a> {
    /// The candidates that were ranked.
    pub candidates: &'a Candidates,
    /// Whether the ticket waits for a failover instead of being used at once.
    pub standby: bool,
    /// The relays that may provide. Best first for a ticket for use; in no particular order for a
    /// standby.
    pub ranked: Vec<Candidate<'a>>,
    /// The lines that explain the choice to users.
    pub why: Vec<Why>,
}

/// Ranks the relays that may provide a ticket for immediate use.
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
    /// Ranks the same relays as standbys for a ticket of `active`: those first whose paths share
    /// the fewest relays with the path of `active`. Providers that have failed the asker lately are
    /// left out.
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

/// Returns the relays in `carriers` that may provide for `asker`, best first. Adds lines to `why`
/// about the best of these relays, about some relays that may not provide (with the reason), and
/// about how many others there are.
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

/// What a ticket of `carrier` reserves: the bitrate that the origin measures. If that is
/// not known, the bitrate that the carrier measures, or else [`UNKNOWN_KBPS`].
pub fn ticket_kbps(carriers: &Carriers, carrier: &Carrier) -> Kbps {
    origin_kbps(carriers).unwrap_or_else(|| own_kbps(carrier))
}

fn find_origin(carriers: &Carriers) -> Option<&Carrier> {
    carriers
        .values()
        .find(|carrier| carrier.is_origin())
        .map(|origin| &**origin)
}

fn origin_kbps(carriers: &Carriers) -> Option<Kbps> {
    find_origin(carriers).and_then(Carrier::measured_kbps)
}

fn own_kbps(carrier: &Carrier) -> Kbps {
    carrier.measured_kbps().unwrap_or(UNKNOWN_KBPS)
}

fn rank(asker: &Asker, carrier: &Carrier, kbps: Kbps) -> Rank {
    if carrier.is_full_with(kbps) {
        // All full relays have the same rank, because it is not known which of them has room again.
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
