//! The draw among equally good candidates.

use super::Candidate;
use super::why::{Load, ShortId, Why};
use crate::carrier::Carrier;
use astral_proto::NodeId;
use rand::Rng;
use rand::seq::IndexedRandom;
use std::collections::{BTreeMap, BTreeSet};

/// Providers that are tried for one ticket before the request fails.
const TRIES_MAX: usize = 16;
/// Providers that are tried for one standby. The next heartbeats ask for it again.
const STANDBY_TRIES_MAX: usize = 4;

/// How many providers are tried in turn for one ticket.
pub fn tries_max(standby: bool) -> usize {
    if standby {
        STANDBY_TRIES_MAX
    } else {
        TRIES_MAX
    }
}

/// The outcome of a draw.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// The chosen relay.
    pub carrier: &'a Carrier,
    /// The other relay that was drawn. It is no better. None if only one had the best rank.
    pub rejected: Option<&'a Carrier>,
    /// How many relays had the best rank.
    pub equals: usize,
}

impl Choice<'_> {
    /// Why it is this relay.
    pub fn why(&self) -> Why {
        let load = |carrier: &Carrier| {
            Load(
                carrier.node.uuid,
                carrier.load_permille() / 10,
                carrier.hops(),
            )
        };
        match self.rejected {
            None => Why::OnlyChoice((ShortId(self.carrier.node.uuid),)),
            Some(rejected) => Why::ChosenOver(self.equals, load(self.carrier), load(rejected)),
        }
    }
}

/// Draws two random candidates of the best rank, and returns the better one: the one with the lower
/// load, then with fewer hops, then with the lower round trip. Leaves out those in `refused`. None
/// if no candidate is left.
///
/// It does not take the best of all: the loads are some seconds old, so every asker would choose
/// the same relay.
pub fn draw_provider<'a>(
    candidates: &[Candidate<'a>],
    refused: &BTreeSet<NodeId>,
    rtts: &BTreeMap<NodeId, u32>,
    rng: &mut impl Rng,
) -> Option<Choice<'a>> {
    let left = || {
        candidates
            .iter()
            .filter(|candidate| !refused.contains(&candidate.carrier.node.uuid))
    };
    let best_rank = left().map(|candidate| candidate.rank).min()?;
    let best: Vec<&Carrier> = left()
        .filter(|candidate| candidate.rank == best_rank)
        .map(|candidate| candidate.carrier)
        .collect();
    let rtt = |carrier: &Carrier| rtts.get(&carrier.node.uuid).copied().unwrap_or(u32::MAX);
    let mut drawn: Vec<&Carrier> = best.choose_multiple(rng, 2).copied().collect();
    drawn.sort_by_key(|carrier| (carrier.load_permille(), carrier.hops(), rtt(carrier)));
    Some(Choice {
        carrier: drawn.first()?,
        rejected: drawn.get(1).copied(),
        equals: best.len(),
    })
}
