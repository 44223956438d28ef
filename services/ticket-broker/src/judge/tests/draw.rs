//! The draw among equally good candidates.

use super::*;

#[test]
fn of_two_drawn_relays_the_lower_load_wins_then_hops_then_round_trip() {
    let [origin, a, b] = std::array::from_fn(|_| NodeId::random());
    let mut rng = StdRng::seed_from_u64(1);
    let mut pick = |left: Carrier, right: Carrier, rtts: &[(NodeId, u32)]| {
        let all = carriers([left, right]);
        let fit = rank_providers(&asker(None), &all, &mut vec![]);
        draw_provider(
            &fit,
            &BTreeSet::new(),
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
    busy.node.viewer_kbps = Kbps::new(1_000);
    assert_eq!(pick(busy, plain(b), &[(a, 1), (b, 9)]), b);
    let far = carrier(Role::Supernode, &[origin, NodeId::random(), a]);
    assert_eq!(pick(far, plain(b), &[(a, 1), (b, 9)]), b);
    assert_eq!(pick(plain(a), plain(b), &[(a, 9), (b, 1)]), b);
}

#[test]
fn old_figures_do_not_send_every_asker_to_one_relay() {
    let origin = NodeId::random();
    let all = carriers((0..50u32).map(|index| {
        let mut one = carrier(Role::Supernode, &[origin, NodeId::random()]);
        one.node.promised_kbps = Kbps::new(index * 100);
        one
    }));
    let fit = rank_providers(&asker(None), &all, &mut vec![]);
    let mut rng = StdRng::seed_from_u64(2);
    let mut drawn: BTreeMap<NodeId, u32> = BTreeMap::new();
    for _ in 0..1_000 {
        let provider = draw_provider(&fit, &BTreeSet::new(), &BTreeMap::new(), &mut rng).unwrap();
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
    let fit = rank_providers(&asker(None), &all, &mut vec![]);
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
