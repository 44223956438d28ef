use super::*;
use crate::carrier::tests::{carrier, carriers};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;

fn asker(primary: Option<NodeId>) -> Asker {
    let rtts = BTreeMap::new();
    let exclude = HashSet::new();
    Asker {
        node: NodeId::random(),
        role: Role::Node,
        primary,
        rtts,
        exclude,
    }
}

fn order(asker: &Asker, carriers: &Carriers) -> Vec<NodeId> {
    let mut fit = judge(asker, carriers, &mut vec![]);
    fit.sort_by_key(|candidate| candidate.rank);
    fit.iter()
        .map(|candidate| candidate.carrier.node.uuid)
        .collect()
}

#[test]
fn supernodes_by_nearness_with_the_primary_first_then_the_origin_then_ordinary_nodes_then_the_crowded()
 {
    let [origin, primary, supernode, far, node, crowded] =
        std::array::from_fn(|_| NodeId::random());
    let mut full = carrier(Role::Supernode, &[origin, crowded]);
    full.node.promised_kbps = 98_000;
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
        [primary, supernode, far, origin, node, crowded]
    );
    let child_of_far = order(&asker(Some(far)), &all);
    assert_eq!(
        child_of_far[2..],
        [far, origin, node, crowded],
        "its own supernode stands below another"
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
        .promised_kbps = 26_000;
    assert_eq!(first(&all), [node, node, origin]);
    all.remove(&node);
    assert_eq!(
        first(&all),
        [origin, origin, origin],
        "nobody else has room"
    );
}

#[test]
fn the_last_of_a_supernode_is_for_supernodes_and_its_own_children() {
    let [origin, near, far] = std::array::from_fn(|_| NodeId::random());
    let mut full = carrier(Role::Supernode, &[origin, near]);
    full.node.promised_kbps = 91_000;
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
fn who_may_not_provide_is_told_why() {
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
    let fit = judge(&asker, &all, &mut why);
    let why: Vec<String> = why.iter().map(ToString::to_string).collect();
    assert_eq!(fit.len(), 1);
    for (node, reason) in [
        (lost, "it is lost"),
        (draining, "it is draining"),
        (excluded, "the asker will not have it"),
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
fn nobody_provides_past_the_most_hops() {
    let path: Vec<_> = (0..=HOPS_MAX).map(|_| NodeId::random()).collect();
    let all = carriers([
        carrier(Role::Node, &path),
        carrier(Role::Node, &path[..HOPS_MAX as usize]),
    ]);
    assert_eq!(order(&asker(None), &all), [path[HOPS_MAX as usize - 1]]);
}

#[test]
fn of_two_drawn_the_lower_share_wins_then_hops_then_round_trip() {
    let [origin, a, b] = std::array::from_fn(|_| NodeId::random());
    let mut rng = StdRng::seed_from_u64(1);
    let mut pick = |left: Carrier, right: Carrier, rtts: &[(NodeId, u32)]| {
        let all = carriers([left, right]);
        let fit = judge(&asker(None), &all, &mut vec![]);
        draw_provider(
            &fit,
            &HashSet::new(),
            &rtts.iter().copied().collect(),
            &mut rng,
        )
        .unwrap()
        .carrier
        .node
        .uuid
    };
    let plain = |node| carrier(Role::Supernode, &[origin, node]);
    let mut busy = plain(a);
    busy.node.viewer_kbps = 1_000;
    assert_eq!(pick(busy, plain(b), &[(a, 1), (b, 9)]), b);
    let far = carrier(Role::Supernode, &[origin, NodeId::random(), a]);
    assert_eq!(pick(far, plain(b), &[(a, 1), (b, 9)]), b);
    assert_eq!(pick(plain(a), plain(b), &[(a, 9), (b, 1)]), b);
}

#[test]
fn stale_figures_do_not_send_everyone_to_one_relay() {
    let origin = NodeId::random();
    let all = carriers((0..50u32).map(|index| {
        let mut one = carrier(Role::Supernode, &[origin, NodeId::random()]);
        one.node.promised_kbps = index * 100;
        one
    }));
    let fit = judge(&asker(None), &all, &mut vec![]);
    let mut rng = StdRng::seed_from_u64(2);
    let mut drawn: BTreeMap<NodeId, u32> = BTreeMap::new();
    for _ in 0..1_000 {
        let provider = draw_provider(&fit, &HashSet::new(), &BTreeMap::new(), &mut rng).unwrap();
        *drawn.entry(provider.carrier.node.uuid).or_default() += 1;
    }
    assert!(drawn.values().max().unwrap() < &100, "{drawn:?}");
}

#[test]
fn a_refused_provider_is_not_drawn_again() {
    let [origin, supernode] = std::array::from_fn(|_| NodeId::random());
    let all = carriers([
        carrier(Role::Node, &[origin]),
        carrier(Role::Supernode, &[origin, supernode]),
    ]);
    let fit = judge(&asker(None), &all, &mut vec![]);
    let mut rng = StdRng::seed_from_u64(3);
    let mut pick = |refused: &[NodeId]| {
        let refused = refused.iter().copied().collect();
        draw_provider(&fit, &refused, &BTreeMap::new(), &mut rng)
            .map(|drawn| drawn.carrier.node.uuid)
    };
    assert_eq!(pick(&[]), Some(supernode));
    assert_eq!(pick(&[supernode]), Some(origin));
    assert_eq!(pick(&[supernode, origin]), None);
}

#[test]
fn a_standby_shares_no_relay_with_the_active_path_or_the_fewest() {
    let [origin, a, b, below_a, below_b] = std::array::from_fn(|_| NodeId::random());
    let all = carriers([
        carrier(Role::Node, &[origin]),
        carrier(Role::Supernode, &[origin, a]),
        carrier(Role::Supernode, &[origin, b]),
        carrier(Role::Supernode, &[origin, a, below_a]),
        carrier(Role::Supernode, &[origin, b, below_b]),
    ]);
    let fit = judge(&asker(None), &all, &mut vec![]);
    let shared = |active: NodeId| -> BTreeMap<NodeId, usize> {
        let ranked = rank_standbys(&fit, &all, active);
        ranked
            .iter()
            .map(|candidate| (candidate.carrier.node.uuid, candidate.rank.0))
            .collect()
    };
    assert_eq!(
        shared(below_a),
        [(origin, 0), (a, 1), (b, 0), (below_b, 0)].into()
    );
    assert_eq!(
        shared(a),
        [(origin, 0), (below_a, 1), (b, 0), (below_b, 0)].into()
    );
    assert!(
        shared(origin).values().all(|shared| *shared == 0),
        "the origin is not to be had around"
    );
}

#[test]
fn a_standby_is_judged_by_what_it_is_now_and_gives_way_only_to_a_better_one() {
    let [origin, a, b, below_a, alone, draining, child, gone] =
        std::array::from_fn(|_| NodeId::random());
    let asker = Asker {
        node: child,
        ..asker(None)
    };
    let mut all = carriers([
        carrier(Role::Node, &[origin]),
        carrier(Role::Supernode, &[origin, a]),
        carrier(Role::Supernode, &[origin, a, b]),
        carrier(Role::Node, &[origin, a, below_a]),
        carrier(Role::Node, &[origin, alone]),
        carrier(Role::Node, &[origin, draining]),
    ]);
    Arc::make_mut(all.get_mut(&draining).unwrap()).node.state = NodeState::Draining;
    let fit = judge(&asker, &all, &mut vec![]);
    for (standby, shared, better_ones) in [
        (alone, Some(0), vec![]),
        (origin, Some(0), vec![]),
        (below_a, Some(1), vec![origin, alone]),
        (draining, None, vec![origin, a, below_a, alone]),
        (gone, None, vec![origin, a, below_a, alone]),
        (b, None, vec![origin, a, below_a, alone]),
    ] {
        assert_eq!(shared_relays(&asker, &all, b, standby), shared);
        let found = better_standbys(rank_standbys(&fit, &all, b), standby, shared);
        let found: HashSet<NodeId> = found
            .iter()
            .map(|candidate| candidate.carrier.node.uuid)
            .collect();
        assert_eq!(found, HashSet::from_iter(better_ones));
    }
}

#[test]
fn the_primary_fetches_first_unless_there_is_no_need_or_no_way() {
    let [origin, primary, own] = std::array::from_fn(|_| NodeId::random());
    let node = Asker {
        node: own,
        ..asker(Some(primary))
    };
    let away = carriers([carrier(Role::Node, &[origin])]);
    let there = carriers([
        carrier(Role::Node, &[origin]),
        carrier(Role::Supernode, &[origin, primary]),
    ]);
    let through = carriers([carrier(Role::Node, &[own])]);
    let supernode = Asker {
        role: Role::Supernode,
        ..node.clone()
    };
    let unwanted = Asker {
        exclude: [primary].into(),
        ..node.clone()
    };
    let alone = Asker {
        primary: None,
        ..node.clone()
    };
    // The origin is full, so that the primary could only hang below the other, where the asker may be itself.
    let beaten = |promised_kbps| {
        let mut full = carrier(Role::Node, &[origin]);
        full.node.promised_kbps = 100_000;
        let mut other = carrier(Role::Supernode, &[origin, NodeId::random()]);
        other.node.promised_kbps = promised_kbps;
        carriers([full, other])
    };
    let spare = beaten(90_000);
    let scarce = beaten(91_000);
    for (asker, carriers, expected) in [
        (&node, &away, Some(primary)),
        (&node, &there, None),
        (&node, &through, None),
        (&node, &Carriers::new(), None),
        (&supernode, &away, None),
        (&unwanted, &away, None),
        (&alone, &away, None),
        (&node, &spare, None),
        (&node, &scarce, Some(primary)),
    ] {
        assert_eq!(supernode_to_fetch(asker, carriers), expected);
    }
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
            .kbps = measured;
        ticket_kbps(&all, &all[&a])
    };
    assert_eq!(set(a, 900), 2_500);
    assert_eq!(set(origin, 0), 900);
    assert_eq!(set(a, 0), UNKNOWN_KBPS);
}

#[test]
fn the_reasons_name_the_best_and_some_that_may_not_and_count_the_others() {
    let origin = NodeId::random();
    let asker = asker(None);
    let mut all = carriers([carrier(Role::Node, &[origin])]);
    for at in 0..40 {
        let mut supernode = carrier(Role::Supernode, &[origin, NodeId::random()]);
        supernode.node.promised_kbps = at * 1_000;
        all.insert(supernode.node.uuid, supernode.into());
        let below = carrier(Role::Node, &[origin, asker.node, NodeId::random()]);
        all.insert(below.node.uuid, below.into());
    }
    let mut why = vec![];
    let fit = judge(&asker, &all, &mut why);
    let why: Vec<String> = why.iter().map(ToString::to_string).collect();
    assert_eq!(why.len(), FIT_TOLD_MAX + NOT_TAKEN_TOLD_MAX + 1);
    assert!(
        why[0].ends_with("supernode, 1 hops, 0 % promised"),
        "{why:?}"
    );
    assert!(
        why[FIT_TOLD_MAX].ends_with("not taken, it is below the asker"),
        "{why:?}"
    );
    assert_eq!(
        why.last().unwrap(),
        "69 others considered, none better than these"
    );
    let drawn = draw_provider(
        &fit,
        &HashSet::new(),
        &BTreeMap::new(),
        &mut StdRng::seed_from_u64(1),
    )
    .unwrap();
    let told = drawn.why().to_string();
    let over = drawn.over.unwrap();
    assert!(told.contains(": chosen of 40 as good, with "), "{told}");
    assert!(
        told.contains(&over.node.uuid.to_string()) && over.share() >= drawn.carrier.share(),
        "{told}"
    );
}
