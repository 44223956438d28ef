//! Decides when a working ticket is replaced by a clearly better one, so that the tree becomes flat
//! again after an outage.
//!
//! Moves cannot go back and forth. Each one leads nearer to the origin, or to a better provider at
//! the same distance. One kind of move leads farther away: from the origin to the node's own
//! supernode or, when the origin has hardly any room left, to any supernode. It frees the origin
//! for supernodes, and no move leads back from there.
//!
//! A move loses no frame, because the subscriber opens the next link before it leaves the present
//! one. But for a moment there are two links, and a move takes a few requests. So the number of
//! moves at a time is limited to the load that a flash crowd causes anyway.

use crate::carrier::{Carrier, Carriers};
use crate::judge::fetch::{nearest_source_hops, supernode_to_fetch};
use crate::judge::{Asker, Candidate, Rank, SPARE_SHARE_MAX, Tier, rank_with_room};
use astral_proto::model::Role;
use astral_proto::{NodeId, UnixMillis};
use std::time::Duration;

/// A ticket stays in use for at least this long, so a supernode moves at most this often. After an
/// outage supernodes are below each other, because they were each other's standbys. The sooner each
/// returns to the origin, the sooner all relays below it are near again.
pub const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// How often the broker looks for a better provider of a ticket.
pub const REVIEW_INTERVAL: Duration = Duration::from_secs(10);
/// A provider is better only if it has been in its place, with room, for five heartbeats.
const STABLE_FOR: Duration = Duration::from_secs(10);
/// How many ordinary nodes of one stream may move per second without having their turn. Enough for
/// a small tree.
const MOVES_PER_SECOND: u32 = 20;
/// How long a turn lasts. Within it each relay is reviewed at least once, even if one of its
/// heartbeats is lost.
const TURN: Duration = Duration::from_secs(14);
/// Each ordinary node has one of this many turns, so it may move about once a minute. So a tree of
/// any size is improved within about a minute, and brokers need not agree on a count of moves.
const TURNS: u64 = 5;

/// Returns the candidates in `ranked` that are clearly better for `asker` than `active`, its
/// present provider. `fetched` is a supernode that has just fetched the stream for `asker`: it
/// counts although it has not been in its place for long.
pub fn better_providers<'a>(
    asker: &Asker,
    carriers: &Carriers,
    active: NodeId,
    ranked: Vec<Candidate<'a>>,
    fetched: Option<NodeId>,
    now: UnixMillis,
) -> Vec<Candidate<'a>> {
    let Some(present) = carriers.get(&active).filter(|at| at.carried.is_some()) else {
        return vec![];
    };
    let here = rank_with_room(asker, present);
    let is_scarce = present.load_permille() > SPARE_SHARE_MAX;
    let is_better = |candidate: &Candidate<'_>| {
        let Candidate { carrier, rank } = candidate;
        let is_stable = now.since(carrier.since) >= STABLE_FOR;
        let is_trusted = is_stable || fetched == Some(carrier.node.uuid);
        let has_spare_room =
            rank.tier == Tier::OriginForSupernode || carrier.load_permille() <= SPARE_SHARE_MAX;
        let is_other = carrier.node.uuid != active;
        is_other && is_trusted && has_spare_room && is_clearly_better(*rank, here, is_scarce)
    };
    ranked.into_iter().filter(is_better).collect()
}

/// Returns the supernode of `asker` and the rank that it would have, if it should fetch the stream
/// so that `asker` can move there from `active`. A supernode stops pulling a stream that nobody
/// wants there, so without this no relay could return to it.
///
/// None unless that rank is clearly better. It is not enough that the supernode is the asker's own,
/// because a fetch costs upstream.
pub fn supernode_worth_fetching(
    asker: &Asker,
    carriers: &Carriers,
    active: NodeId,
) -> Option<(NodeId, Rank)> {
    let primary = supernode_to_fetch(asker, carriers)?;
    let present = carriers.get(&active).filter(|at| at.carried.is_some())?;
    let there = Rank {
        shared_relays: 0,
        tier: Tier::Supernode,
        hops: nearest_source_hops(asker, carriers)? + 1,
        not_primary: false,
    };
    let here = rank_with_room(asker, present);
    let is_worth_it = there.hops < here.hops || there.tier < here.tier;
    let is_scarce = present.load_permille() > SPARE_SHARE_MAX;
    (is_worth_it && is_clearly_better(there, here, is_scarce)).then_some((primary, there))
}

/// Whether a relay should move from a provider of rank `here` to one of rank `there`. `is_scarce`
/// says whether the present provider has hardly any room left.
fn is_clearly_better(there: Rank, here: Rank, is_scarce: bool) -> bool {
    match (there.tier, here.tier) {
        // There is no room to spare there.
        (Tier::Full | Tier::OriginReserve, _) => false,
        // The only kind of move that leads farther from the origin. It frees the origin for
        // supernodes.
        (Tier::Supernode, Tier::Origin) => is_scarce || (!there.not_primary && there.hops == 1),
        _ => there.tier <= here.tier && distance_first(there) < distance_first(here),
    }
}

fn distance_first(rank: Rank) -> (u32, Tier, bool) {
    (rank.hops, rank.tier, rank.not_primary)
}

/// Counts the moves of one stream in the present second.
#[derive(Clone, Copy, Debug, Default)]
pub struct MoveBudget {
    second: u64,
    taken: u32,
}

impl MoveBudget {
    /// Whether `asker` may now move from `present` to a provider of rank `there`. Counts the move
    /// only if the last rule below allows it.
    ///
    /// Supernodes may always move: they are few, and all relays below them come nearer too. An
    /// ordinary node may move in its turn if it comes nearer to the origin or leaves the origin.
    /// Otherwise it may move if few others have moved in this second.
    pub fn take(&mut self, asker: &Asker, present: &Carrier, there: Rank, now: UnixMillis) -> bool {
        let comes_nearer = there.hops < present.hops() || present.is_origin();
        if asker.role == Role::Supernode || (comes_nearer && has_turn(asker.node, now)) {
            return true;
        }
        let second = now.as_secs();
        if self.second != second {
            *self = Self { second, taken: 0 };
        }
        self.taken += 1;
        self.taken <= MOVES_PER_SECOND
    }
}

/// Whether it is the turn of `node`. Ids are random, so at any time about one fifth of all nodes
/// have their turn.
fn has_turn(node: NodeId, now: UnixMillis) -> bool {
    let turn = now.as_secs() / TURN.as_secs() % TURNS;
    node.0.as_u128() % u128::from(TURNS) == u128::from(turn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::tests::{carrier, carriers};
    use crate::judge::rank_providers;
    use astral_proto::Kbps;
    use astral_proto::model::Role;
    use std::collections::{BTreeMap, BTreeSet, HashSet};
    use std::sync::Arc;

    fn asker(role: Role, primary: Option<NodeId>) -> Asker {
        Asker {
            node: NodeId::random(),
            role,
            primary,
            rtts: BTreeMap::new(),
            exclude: BTreeSet::new(),
        }
    }

    fn better(asker: &Asker, all: &Carriers, active: NodeId, now: u64) -> Vec<NodeId> {
        let fit = rank_providers(asker, all, &mut vec![]);
        better_providers(asker, all, active, fit, None, UnixMillis::new(now))
            .iter()
            .map(|better| better.carrier.node.uuid)
            .collect()
    }

    #[test]
    fn nearer_is_better_then_the_primary_supernode_and_no_move_leads_back() {
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
            "its own supernode is below another"
        );
        assert_eq!(better(&child_of(far), &all, other, 10_000), []);
    }

    #[test]
    fn an_ordinary_node_returns_to_its_own_supernode_and_to_another_only_when_the_origin_is_scarce()
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
            .promised_kbps = Kbps::new(91_000);
        assert_eq!(better(&asker, &all, origin, 10_000), [supernode]);
        Arc::make_mut(all.get_mut(&origin).unwrap())
            .node
            .promised_kbps = Kbps::ZERO;
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
            .promised_kbps = Kbps::new(99_000);
        assert_eq!(
            fetches(&child, &all, origin),
            None,
            "no relay has room to feed it"
        );
        Arc::make_mut(all.get_mut(&origin).unwrap())
            .node
            .promised_kbps = Kbps::ZERO;
        all.extend(carriers([carrier(Role::Supernode, &[origin, other])]));
        assert_eq!(
            fetches(&child, &all, other),
            None,
            "another supernode is as near"
        );
        all.extend(carriers([carrier(Role::Supernode, &[origin, primary])]));
        assert_eq!(
            fetches(&child, &all, origin),
            None,
            "it carries the stream already"
        );
    }

    #[test]
    fn a_supernode_that_has_just_fetched_need_not_have_been_there_for_long() {
        let [origin, primary] = std::array::from_fn(|_| NodeId::random());
        let all = carriers([
            carrier(Role::Node, &[origin]),
            carrier(Role::Supernode, &[origin, primary]),
        ]);
        let child = asker(Role::Node, Some(primary));
        let better = |fetched| {
            let fit = rank_providers(&child, &all, &mut vec![]);
            better_providers(&child, &all, origin, fit, fetched, UnixMillis::ZERO).len()
        };
        assert_eq!((better(None), better(Some(primary))), (0, 1));
    }

    #[test]
    fn no_provider_is_better_that_is_new_or_nearly_full() {
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
            .promised_kbps = Kbps::new(91_000);
        assert_eq!(better(&asker, &all, far, 10_000), []);
    }

    #[test]
    fn a_supernode_returns_to_the_origin_and_never_to_a_relay_below_itself() {
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
    fn ordinary_nodes_move_in_their_turn_or_a_few_a_second_and_supernodes_always() {
        let [origin, above, far] = std::array::from_fn(|_| NodeId::random());
        let active = carrier(Role::Node, &[origin, above, far]);
        let place = |hops| Rank {
            shared_relays: 0,
            tier: Tier::Node,
            hops,
            not_primary: true,
        };
        let moves = |asker: &Asker, hops, now| {
            let mut budget = MoveBudget::default();
            (0..100)
                .filter(|_| budget.take(asker, &active, place(hops), UnixMillis::new(now)))
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
        assert!(as_near, "a provider at the same distance has no turn");
        let supernode = Asker {
            role: Role::Supernode,
            ..asker
        };
        assert!((0..TURNS).all(|turn| moves(&supernode, 2, turn * turn_ms) == 100));
    }

    #[test]
    fn each_second_allows_a_few_moves() {
        let [origin, near] = std::array::from_fn(|_| NodeId::random());
        let active = carrier(Role::Node, &[origin, near]);
        let as_near = Rank {
            shared_relays: 0,
            tier: Tier::Node,
            hops: 1,
            not_primary: false,
        };
        let asker = asker(Role::Node, Some(near));
        let mut budget = MoveBudget::default();
        let mut take = |now| budget.take(&asker, &active, as_near, UnixMillis::new(now));
        assert_eq!(
            (0..100).filter(|_| take(5_999)).count(),
            MOVES_PER_SECOND as usize
        );
        assert!(take(6_000));
    }
}
