//! Slowly back to a better tree: when a ticket that works gives way to one that is clearly better.
//!
//! Each such move goes to a better class or nearer to the origin and never back, a relay makes one a minute at most, and a
//! stream a few a second.

use crate::carrier::Carriers;
use crate::choose::{Asker, Candidate, Class, class_with_room};
use astral_proto::NodeId;
use std::time::Duration;

/// A ticket in use for less than this stays: so often at most a relay moves.
pub const SETTLED: Duration = Duration::from_secs(60);
/// Between two looks at whether there is a better place.
pub const LOOKED_EVERY: Duration = Duration::from_secs(10);
/// A provider is better only if it has stood there, with room, for five heartbeats.
const STANDS_FOR: Duration = Duration::from_secs(10);
/// What is promised of a better place may be so much at most, in thousandths, so that its room lasts.
const SHARE_MAX: u64 = 900;
/// Moves of one stream in a second.
const MOVES_PER_SECOND: u32 = 20;

/// How good a place is; the least is best.
pub type Place = (Class, u32);

/// Those of `fit` that are clearly better for `asker` than `active`, which it pulls from: the right one for its role, or
/// no worse and nearer to the origin.
pub fn better_places<'a>(
    asker: &Asker,
    carriers: &Carriers,
    active: NodeId,
    fit: Vec<Candidate<'a, Class>>,
    now: u64,
) -> Vec<Candidate<'a, Place>> {
    let Some(at) = carriers.get(&active).filter(|at| at.carried.is_some()) else { return vec![] };
    let here = (class_with_room(asker, at), at.hops());
    let better = fit.into_iter().filter(|Candidate { carrier, rank }| {
        let stands = now.saturating_sub(carrier.since) >= STANDS_FOR.as_millis() as u64;
        let there = (*rank, carrier.hops());
        carrier.node.uuid != active && stands && carrier.share() <= SHARE_MAX && is_better(there, here)
    });
    better.map(|Candidate { carrier, rank }| Candidate { carrier, rank: (rank, carrier.hops()) }).collect()
}

fn is_better(there: Place, here: Place) -> bool {
    let right = matches!(there.0, Class::Kept | Class::Primary) && there.0 < here.0;
    let nearer = there.0 != Class::Crowded && there.0 <= here.0 && there.1 < here.1;
    right || nearer
}

/// How many moves of a stream there may be yet in this second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budget {
    second: u64,
    taken: u32,
}

impl Budget {
    /// Takes one; whether there was one.
    pub fn take(&mut self, now: u64) -> bool {
        if self.second != now / 1_000 {
            *self = Self { second: now / 1_000, taken: 0 };
        }
        self.taken += 1;
        self.taken <= MOVES_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::tests::{carrier, carriers};
    use crate::choose::judge;
    use astral_proto::model::Role;
    use std::collections::{BTreeMap, HashSet};
    use std::sync::Arc;

    fn asker(role: Role, primary: Option<NodeId>) -> Asker {
        Asker { node: NodeId::random(), role, primary, rtts: BTreeMap::new(), exclude: HashSet::new() }
    }

    fn better(asker: &Asker, all: &Carriers, active: NodeId, now: u64) -> Vec<NodeId> {
        let fit = judge(asker, all, &mut vec![]);
        better_places(asker, all, active, fit, now).iter().map(|better| better.carrier.node.uuid).collect()
    }

    #[test]
    fn the_primary_supernode_is_better_than_any_other_place_and_nothing_is_better_than_it_but_one_nearer() {
        let [origin, primary, other] = std::array::from_fn(|_| NodeId::random());
        let all = carriers([
            carrier(Role::Node, &[origin]),
            carrier(Role::Supernode, &[origin, other]),
            carrier(Role::Supernode, &[origin, other, primary]),
        ]);
        let asker = asker(Role::Node, Some(primary));
        assert_eq!(better(&asker, &all, origin, 10_000), [primary]);
        assert_eq!(better(&asker, &all, other, 10_000), [primary]);
        assert_eq!(better(&asker, &all, primary, 10_000), [], "it does not come back");
    }

    #[test]
    fn no_place_is_better_that_has_not_stood_for_long_or_is_nearly_full() {
        let [origin, near, above, far] = std::array::from_fn(|_| NodeId::random());
        let mut all = carriers([
            carrier(Role::Node, &[origin]),
            carrier(Role::Supernode, &[origin, near]),
            carrier(Role::Supernode, &[origin, above, far]),
        ]);
        let asker = asker(Role::Node, None);
        assert_eq!(better(&asker, &all, far, 9_999), []);
        assert_eq!(better(&asker, &all, far, 10_000), [near]);
        Arc::make_mut(all.get_mut(&near).unwrap()).node.promised_kbps = 91_000;
        assert_eq!(better(&asker, &all, far, 10_000), []);
    }

    #[test]
    fn a_supernode_goes_back_to_the_origin_and_nobody_below_itself() {
        let [origin, above] = std::array::from_fn(|_| NodeId::random());
        let asker = asker(Role::Supernode, None);
        let all = carriers([
            carrier(Role::Node, &[origin]),
            carrier(Role::Supernode, &[origin, above]),
            carrier(Role::Supernode, &[origin, above, asker.node, NodeId::random()]),
        ]);
        assert_eq!(better(&asker, &all, above, 10_000), [origin]);
        assert_eq!(better(&asker, &all, origin, 10_000), []);
    }

    #[test]
    fn a_stream_has_so_many_moves_a_second() {
        let mut budget = Budget::default();
        assert_eq!((0..100).filter(|_| budget.take(5_999)).count(), MOVES_PER_SECOND as usize);
        assert!(budget.take(6_000));
    }
}
