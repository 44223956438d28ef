mod draw;
mod fetch;
mod standby;

use super::draw::draw_provider;
use super::*;
use crate::carrier::tests::{carrier, carriers};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;

fn asker(primary: Option<NodeId>) -> Asker {
    let rtts = BTreeMap::new();
    let exclude = BTreeSet::new();
    Asker {
        node: NodeId::random(),
        role: Role::Node,
        primary,
        rtts,
        exclude,
    }
}

fn order(asker: &Asker, carriers: &Carriers) -> Vec<NodeId> {
    let mut fit = rank_providers(asker, carriers, &mut vec![]);
    fit.sort_by_key(|candidate| candidate.rank);
    fit.iter()
        .map(|candidate| candidate.carrier.node.uuid)
        .collect()
}

#[test]
fn near_supernodes_come_first_then_the_origin_then_ordinary_nodes_then_full_relays() {
    let [origin, primary, supernode, far, node, full_one] =
        std::array::from_fn(|_| NodeId::random());
    let mut full = carrier(Role::Supernode, &[origin, full_one]);
    full.node.promised_kbps = Kbps::new(98_000);
    let all = carriers([
        carrier(Role::Node, &[origin, supernode, node]),
        carrier(Role::Node, &[origin]),
        full,
        carrier(Role::Supernode, &[origin, supernode]),
        carrier(Role::Supernode, &[origin, primary]),
        carrier(Role::Supernode, &[origin, supernode, far]),
    ]);
    assert_eq!(
        order(&asker(Some(primary)), &all),
        [primary, supernode, far, origin, node, full_one]
    );
    let child_of_far = order(&asker(Some(far)), &all);
    assert_eq!(
        child_of_far[2..],
        [far, origin, node, full_one],
        "its own supernode is below another"
    );
}

#[test]
fn most_of_an_origin_is_kept_for_supernodes_while_there_are_any() {
    let [origin, node, supernode] = std::array::from_fn(|_| NodeId::random());
    let mut all = carriers([
        carrier(Role::Supernode, &[origin]),
        carrier(Role::Node, &[origin, node]),
    ]);
    let both = [asker(Some(supernode)), asker(Some(origin)), asker(None)];
    let first = |all: &Carriers| both.each_ref().map(|asker| order(asker, all)[0]);
    assert_eq!(first(&all), [origin, origin, origin]);
    Arc::make_mut(all.get_mut(&origin).unwrap())
        .node
        .promised_kbps = Kbps::new(26_000);
    assert_eq!(first(&all), [node, node, origin]);
    all.remove(&node);
    assert_eq!(
        first(&all),
        [origin, origin, origin],
        "no other relay has room"
    );
}

#[test]
fn the_last_capacity_of_a_supernode_is_for_supernodes_and_its_own_children() {
    let [origin, near, far] = std::array::from_fn(|_| NodeId::random());
    let mut full = carrier(Role::Supernode, &[origin, near]);
    full.node.promised_kbps = Kbps::new(91_000);
    let all = carriers([
        full,
        carrier(Role::Supernode, &[origin, NodeId::random(), far]),
    ]);
    let first = |asker: Asker| order(&asker, &all)[0];
    assert_eq!(first(asker(Some(far))), far);
    assert_eq!(first(asker(Some(near))), near);
    assert_eq!(
        first(Asker {
            role: Role::Supernode,
            ..asker(None)
        }),
        near
    );
}

#[test]
fn a_supernode_pulls_from_the_origin_rather_than_from_another() {
    let [origin, supernode] = std::array::from_fn(|_| NodeId::random());
    let all = carriers([
        carrier(Role::Node, &[origin]),
        carrier(Role::Supernode, &[origin, supernode]),
    ]);
    let asker = Asker {
        role: Role::Supernode,
        ..asker(None)
    };
    assert_eq!(order(&asker, &all), [origin, supernode]);
}

#[test]
fn relays_that_may_not_provide_are_listed_with_the_reason() {
    let [origin, lost, draining, excluded, below, own] = std::array::from_fn(|_| NodeId::random());
    let mut asker = asker(None);
    asker.node = own;
    asker.exclude.insert(excluded);
    let mut all = carriers([
        carrier(Role::Node, &[origin]),
        carrier(Role::Node, &[origin, lost]),
        carrier(Role::Node, &[origin, draining]),
        carrier(Role::Node, &[origin, excluded]),
        carrier(Role::Node, &[origin, own]),
        carrier(Role::Node, &[origin, own, below]),
    ]);
    Arc::make_mut(all.get_mut(&lost).unwrap()).node.state = NodeState::Lost;
    Arc::make_mut(all.get_mut(&draining).unwrap()).node.state = NodeState::Draining;
    let mut why = vec![];
    let fit = rank_providers(&asker, &all, &mut why);
    let why: Vec<String> = why.iter().map(ToString::to_string).collect();
    assert_eq!(fit.len(), 1);
    for (node, reason) in [
        (lost, "it is lost"),
        (draining, "it is draining"),
        (excluded, "the asker rejects it"),
        (own, "it is the asker"),
        (below, "it is below the asker"),
    ] {
        assert!(
            why.contains(&format!("{node}: not taken, {reason}")),
            "{reason}: {why:?}"
        );
    }
    assert!(
        why.contains(&format!("{origin}: origin, 0 hops, 0 % promised")),
        "{why:?}"
    );
}

#[test]
fn no_relay_provides_beyond_the_hop_limit() {
    let path: Vec<_> = (0..=HOPS_MAX).map(|_| NodeId::random()).collect();
    let all = carriers([
        carrier(Role::Node, &path),
        carrier(Role::Node, &path[..HOPS_MAX as usize]),
    ]);
    assert_eq!(order(&asker(None), &all), [path[HOPS_MAX as usize - 1]]);
}

#[test]
fn a_ticket_is_charged_what_the_origin_measures() {
    let [origin, a] = std::array::from_fn(|_| NodeId::random());
    let mut all = carriers([
        carrier(Role::Node, &[origin]),
        carrier(Role::Node, &[origin, a]),
    ]);
    let mut set = |node: NodeId, measured: u32| {
        Arc::make_mut(all.get_mut(&node).unwrap())
            .carried
            .as_mut()
            .unwrap()
            .kbps = Kbps::new(measured);
        ticket_kbps(&all, &all[&a])
    };
    assert_eq!(set(a, 900), Kbps::new(2_500));
    assert_eq!(set(origin, 0), Kbps::new(900));
    assert_eq!(set(a, 0), UNKNOWN_KBPS);
}

#[test]
fn the_explanation_names_the_best_and_some_unfit_relays_and_counts_the_others() {
    let origin = NodeId::random();
    let asker = asker(None);
    let mut all = carriers([carrier(Role::Node, &[origin])]);
    for at in 0..40 {
        let mut supernode = carrier(Role::Supernode, &[origin, NodeId::random()]);
        supernode.node.promised_kbps = Kbps::new(at * 1_000);
        all.insert(supernode.node.uuid, supernode.into());
        let below = carrier(Role::Node, &[origin, asker.node, NodeId::random()]);
        all.insert(below.node.uuid, below.into());
    }
    let mut why = vec![];
    let fit = rank_providers(&asker, &all, &mut why);
    let why: Vec<String> = why.iter().map(ToString::to_string).collect();
    assert_eq!(why.len(), SUITABLE_EXPLAINED_MAX + UNFIT_EXPLAINED_MAX + 1);
    assert!(
        why[0].ends_with("supernode, 1 hops, 0 % promised"),
        "{why:?}"
    );
    assert!(
        why[SUITABLE_EXPLAINED_MAX].ends_with("not taken, it is below the asker"),
        "{why:?}"
    );
    assert_eq!(
        why.last().unwrap(),
        "69 others considered, none better than these"
    );
    let drawn = draw_provider(
        &fit,
        &BTreeSet::new(),
        &BTreeMap::new(),
        &mut StdRng::seed_from_u64(1),
    )
    .unwrap();
    let line = drawn.why().to_string();
    let over = drawn.rejected.unwrap();
    assert!(line.contains(": chosen of 40 as good, with "), "{line}");
    assert!(
        line.contains(&over.node.uuid.to_string())
            && over.load_permille() >= drawn.carrier.load_permille(),
        "{line}"
    );
}
