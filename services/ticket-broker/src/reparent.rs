//! Slowly back to a better tree: when a ticket that works gives way to one that is clearly better.
//!
//! Each such move goes nearer to the origin, or to a better provider as near, and never back, so that it ends; the one
//! move that leads farther, from the origin to the node's own supernode or, where the origin has hardly any room left, to
//! any, frees the origin for supernodes, and nothing leads back from it. A move costs no frame: its subscriber has the
//! next link before it leaves this one. What it does cost is a link twice for a moment and a few calls, so there are no
//! more of them at a time than a flash crowd makes anyway.

use crate::carrier::{Carrier, Carriers};
use crate::judge::{
    Asker, Candidate, Rank, SPARE_SHARE_MAX, Tier, nearest_source_hops, rank_with_room,
    supernode_to_fetch,
};
use astral_proto::NodeId;
use astral_proto::model::Role;
use std::time::Duration;

/// A ticket in use for less than this stays: so often at most a supernode moves. After an outage supernodes hang below each
/// other, as they stood by for each other; the sooner each goes back to the origin, the sooner all below it are near again.
pub const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// Between two looks at whether there is a better place.
pub const REVIEW_INTERVAL: Duration = Duration::from_secs(10);
/// A provider is better only if it has stood there, with room, for five heartbeats.
const STANDS_FOR: Duration = Duration::from_secs(10);
/// Moves of ordinary nodes of one stream in a second, whoever's turn it is: enough for a small tree.
const MOVES_PER_SECOND: u32 = 20;
/// How long a turn lasts: any relay looks once in it, at one of its heartbeats, also where one of them is lost.
const TURN: Duration = Duration::from_secs(14);
/// An ordinary node has one turn in so many, so that it moves once a minute: all of them as fast as a flash crowd comes,
/// at whatever size, and without anybody having to count.
const TURNS: u64 = 5;

/// Those of `fit` that are clearly better for `asker` than `active`, which it pulls from. One that has `fetched` the stream
/// for it just now need not have stood for long.
pub fn better_providers<'a>(
    asker: &Asker,
    carriers: &Carriers,
    active: NodeId,
    fit: Vec<Candidate<'a, Rank>>,
    fetched: Option<NodeId>,
    now: u64,
) -> Vec<Candidate<'a, Rank>> {
    let Some(at) = carriers.get(&active).filter(|at| at.carried.is_some()) else {
        return vec![];
    };
    let here = rank_with_room(asker, at);
    let scarce = at.share() > SPARE_SHARE_MAX;
    let better = fit.into_iter().filter(|Candidate { carrier, rank }| {
        let has_stood = now.saturating_sub(carrier.since) >= STANDS_FOR.as_millis() as u64;
        let stands = has_stood || fetched == Some(carrier.node.uuid);
        let lasts = rank.tier == Tier::OriginForSupernode || carrier.share() <= SPARE_SHARE_MAX;
        carrier.node.uuid != active && stands && lasts && is_better(*rank, here, scarce)
    });
    better.collect()
}

/// The supernode of `asker` that should fetch the stream, so that `asker` can go back to it from `active`, and the place that it
/// would be. None unless that is clearly better, and not only for being its own: a fetch has its price. A supernode lets go of
/// a stream that nobody wants there, and would else be no place to go back to.
pub fn supernode_worth_fetching(
    asker: &Asker,
    carriers: &Carriers,
    active: NodeId,
) -> Option<(NodeId, Rank)> {
    let primary = supernode_to_fetch(asker, carriers)?;
    let at = carriers.get(&active).filter(|at| at.carried.is_some())?;
    let hops = nearest_source_hops(asker, carriers)? + 1;
    let there = Rank {
        tier: Tier::Supernode,
        hops,
        not_primary: false,
    };
    let here = rank_with_room(asker, at);
    let pays = there.hops < here.hops || there.tier < here.tier;
    let scarce = at.share() > SPARE_SHARE_MAX;
    (pays && is_better(there, here, scarce)).then_some((primary, there))
}

/// `scarce`: whether who provides now has hardly any room left.
fn is_better(there: Rank, here: Rank, scarce: bool) -> bool {
    match (there.tier, here.tier) {
        (Tier::Full | Tier::OriginReserve, _) => false,
        (Tier::Supernode, Tier::Origin) => scarce || (!there.not_primary && there.hops == 1),
        _ => there.tier <= here.tier && order(there) < order(here),
    }
}

fn order(place: Rank) -> (u32, Tier, bool) {
    (place.hops, place.tier, place.not_primary)
}

/// How many moves of a stream there may be yet in this second.
#[derive(Clone, Copy, Debug, Default)]
pub struct MoveBudget {
    second: u64,
    taken: u32,
}

impl MoveBudget {
    /// Whether `asker` may move from `active` to `there` now; takes it if so. Supernodes always may: they are few, and
    /// all that hang below them come nearer with them. Ordinary nodes may when it is their turn or few others have moved;
    /// for a place that is only as near, not for their turn.
    pub fn take(&mut self, asker: &Asker, active: &Carrier, there: Rank, now: u64) -> bool {
        let nearer = there.hops < active.hops() || active.is_origin();
        if asker.role == Role::Supernode || (nearer && has_turn(asker.node, now)) {
            return true;
        }
        if self.second != now / 1_000 {
            *self = Self {
                second: now / 1_000,
                taken: 0,
            };
        }
        self.taken += 1;
        self.taken <= MOVES_PER_SECOND
    }
}

/// Ids are drawn at random, so that as many have their turn at any time.
fn has_turn(node: NodeId, now: u64) -> bool {
    let turn = now / TURN.as_millis() as u64 % TURNS;
    node.0.as_u128() % u128::from(TURNS) == u128::from(turn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::tests::{carrier, carriers};
    use crate::judge::judge;
    use astral_proto::model::Role;
    use std::collections::{BTreeMap, HashSet};
    use std::sync::Arc;

    fn asker(role: Role, primary: Option<NodeId>) -> Asker {
        Asker {
            node: NodeId::random(),
            role,
            primary,
            rtts: BTreeMap::new(),
            exclude: HashSet::new(),
        }
    }

    fn better(asker: &Asker, all: &Carriers, active: NodeId, now: u64) -> Vec<NodeId> {
        let fit = judge(asker, all, &mut vec![]);
        better_providers(asker, all, active, fit, None, now)
            .iter()
            .map(|better| better.carrier.node.uuid)
            .collect()
    }

    #[test]
    fn nearer_is_better_and_the_primary_among_those_as_near_and_nothing_leads_back() {
        let [origin, primary, other, far] = std::array::from_fn(|_| NodeId::random());
        let all = carriers([
            carrier(Role::Node, &[origin]),
            carrier(Role::Supernode, &[origin, other]),
            carrier(Role::Supernode, &[origin, primary]),
            carrier(Role::Supernode, &[origin, other, far]),
        ]);
        let child_of = |primary| asker(Role::Node, Some(primary));
        assert_eq!(
            better(&child_of(primary), &all, far, 10_000),
            [primary, other]
        );
        assert_eq!(better(&child_of(primary), &all, other, 10_000), [primary]);
        assert_eq!(better(&child_of(primary), &all, primary, 10_000), []);
        let of_far: HashSet<NodeId> = better(&child_of(far), &all, far, 10_000)
            .into_iter()
            .collect();
        assert_eq!(
            of_far,
            [primary, other].into(),
            "its own supernode stands below another"
        );
        assert_eq!(better(&child_of(far), &all, other, 10_000), []);
    }

    #[test]
    fn an_ordinary_node_goes_back_to_its_own_supernode_and_to_another_only_once_the_origin_is_scarce()
     {
        let [origin, supernode] = std::array::from_fn(|_| NodeId::random());
        let mut all = carriers([
            carrier(Role::Node, &[origin]),
            carrier(Role::Supernode, &[origin, supernode]),
        ]);
        let child = asker(Role::Node, Some(supernode));
        assert_eq!(better(&child, &all, origin, 10_000), [supernode]);
        let asker = asker(Role::Node, Some(NodeId::random()));
        assert_eq!(better(&asker, &all, origin, 10_000), []);
        Arc::make_mut(all.get_mut(&origin).unwrap())
            .node
            .promised_kbps = 91_000;
        assert_eq!(better(&asker, &all, origin, 10_000), [supernode]);
        Arc::make_mut(all.get_mut(&origin).unwrap())
            .node
            .promised_kbps = 0;
        assert_eq!(
            better(&asker, &all, supernode, 10_000),
            [],
            "it does not come back"
        );
    }

    #[test]
    fn an_ordinary_nodes_own_supernode_fetches_the_stream_if_that_makes_a_better_place() {
        let [origin, other, far, primary] = std::array::from_fn(|_| NodeId::random());
        let mut all = carriers([
            carrier(Role::Node, &[origin]),
            carrier(Role::Node, &[origin, far]),
        ]);
        let child = asker(Role::Node, Some(primary));
        let fetches = |asker: &Asker, all: &Carriers, active| {
            supernode_worth_fetching(asker, all, active).map(|(node, _)| node)
        };
        assert_eq!(fetches(&child, &all, origin), Some(primary));
        assert_eq!(fetches(&child, &all, far), Some(primary));
        let failed = Asker {
            exclude: [primary].into(),
            ..child.clone()
        };
        assert_eq!(fetches(&failed, &all, origin), None);
        assert_eq!(
            fetches(&asker(Role::Supernode, Some(primary)), &all, origin),
            None
        );

        Arc::make_mut(all.get_mut(&origin).unwrap())
            .node
            .promised_kbps = 99_000;
        assert_eq!(
            fetches(&child, &all, origin),
            None,
            "nobody has room to feed it"
        );
        Arc::make_mut(all.get_mut(&origin).unwrap())
            .node
            .promised_kbps = 0;
        all.extend(carriers([carrier(Role::Supernode, &[origin, other])]));
        assert_eq!(
            fetches(&child, &all, other),
            None,
            "another supernode is as near"
        );
        all.extend(carriers([carrier(Role::Supernode, &[origin, primary])]));
        assert_eq!(fetches(&child, &all, origin), None, "it has it");
    }

    #[test]
    fn a_place_that_was_fetched_just_now_need_not_have_stood_for_long() {
        let [origin, primary] = std::array::from_fn(|_| NodeId::random());
        let all = carriers([
            carrier(Role::Node, &[origin]),
            carrier(Role::Supernode, &[origin, primary]),
        ]);
        let child = asker(Role::Node, Some(primary));
        let better = |fetched| {
            let fit = judge(&child, &all, &mut vec![]);
            better_providers(&child, &all, origin, fit, fetched, 0).len()
        };
        assert_eq!((better(None), better(Some(primary))), (0, 1));
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
        Arc::make_mut(all.get_mut(&near).unwrap())
            .node
            .promised_kbps = 91_000;
        assert_eq!(better(&asker, &all, far, 10_000), []);
    }

    #[test]
    fn a_supernode_goes_back_to_the_origin_and_nobody_below_itself() {
        let [origin, above] = std::array::from_fn(|_| NodeId::random());
        let asker = asker(Role::Supernode, None);
        let all = carriers([
            carrier(Role::Node, &[origin]),
            carrier(Role::Supernode, &[origin, above]),
            carrier(
                Role::Supernode,
                &[origin, above, asker.node, NodeId::random()],
            ),
        ]);
        assert_eq!(better(&asker, &all, above, 10_000), [origin]);
        assert_eq!(better(&asker, &all, origin, 10_000), []);
    }

    #[test]
    fn ordinary_nodes_move_a_few_a_second_and_in_their_turn_and_supernodes_always() {
        let [origin, above, far] = std::array::from_fn(|_| NodeId::random());
        let active = carrier(Role::Node, &[origin, above, far]);
        let place = |hops| Rank {
            tier: Tier::Node,
            hops,
            not_primary: true,
        };
        let moves = |asker: &Asker, hops, now| {
            let mut budget = MoveBudget::default();
            (0..100)
                .filter(|_| budget.take(asker, &active, place(hops), now))
                .count()
        };
        let few = MOVES_PER_SECOND as usize;
        let turn_ms = TURN.as_millis() as u64;
        let asker = asker(Role::Node, None);
        let nearer: Vec<usize> = (0..TURNS)
            .map(|turn| moves(&asker, 1, turn * turn_ms))
            .collect();
        assert_eq!(
            nearer.iter().filter(|moves| **moves == 100).count(),
            1,
            "one turn of {nearer:?}"
        );
        assert_eq!(
            nearer.iter().filter(|moves| **moves == few).count(),
            TURNS as usize - 1
        );
        let as_near = (0..TURNS).all(|turn| moves(&asker, 2, turn * turn_ms) == few);
        assert!(as_near, "a place as near has no turn");
        let supernode = Asker {
            role: Role::Supernode,
            ..asker
        };
        assert!((0..TURNS).all(|turn| moves(&supernode, 2, turn * turn_ms) == 100));
    }

    #[test]
    fn the_few_moves_of_a_second_are_there_again_in_the_next() {
        let [origin, near] = std::array::from_fn(|_| NodeId::random());
        let active = carrier(Role::Node, &[origin, near]);
        let as_near = Rank {
            tier: Tier::Node,
            hops: 1,
            not_primary: false,
        };
        let asker = asker(Role::Node, Some(near));
        let mut budget = MoveBudget::default();
        let mut take = |now| budget.take(&asker, &active, as_near, now);
        assert_eq!(
            (0..100).filter(|_| take(5_999)).count(),
            MOVES_PER_SECOND as usize
        );
        assert!(take(6_000));
    }
}
