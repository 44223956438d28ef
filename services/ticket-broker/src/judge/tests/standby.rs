//! Standbys.

use super::*;
use crate::judge::standby::{better_standbys, rank_standbys, shared_relays};
use std::collections::HashSet;

#[test]
fn a_standby_shares_as_few_relays_with_the_path_in_use_as_possible() {
    let [origin, a, b, below_a, below_b] = std::array::from_fn(|_| NodeId::random());
    let all = carriers([
        carrier(Role::Node, &[origin]),
        carrier(Role::Supernode, &[origin, a]),
        carrier(Role::Supernode, &[origin, b]),
        carrier(Role::Supernode, &[origin, a, below_a]),
        carrier(Role::Supernode, &[origin, b, below_b]),
    ]);
    let fit = rank_providers(&asker(None), &all, &mut vec![]);
    let shared = |active: NodeId| -> BTreeMap<NodeId, usize> {
        let ranked = rank_standbys(&fit, &all, active);
        ranked
            .iter()
            .map(|candidate| (candidate.carrier.node.uuid, candidate.rank.shared_relays))
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
        "no path avoids the origin"
    );
}

#[test]
fn a_standby_is_judged_by_its_present_state_and_replaced_only_by_a_better_one() {
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
    let fit = rank_providers(&asker, &all, &mut vec![]);
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
