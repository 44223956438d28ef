//! Whether a supernode fetches the stream first.

use super::*;
use crate::judge::fetch::supernode_to_fetch;

#[test]
fn the_primary_supernode_fetches_first_if_that_is_needed_and_possible() {
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
    // The origin is full, so the primary supernode could only pull from the other one, where the
    // asker can go itself.
    let beaten = |promised_kbps| {
        let mut full = carrier(Role::Node, &[origin]);
        full.node.promised_kbps = Kbps::new(100_000);
        let mut other = carrier(Role::Supernode, &[origin, NodeId::random()]);
        other.node.promised_kbps = promised_kbps;
        carriers([full, other])
    };
    let spare = beaten(Kbps::new(90_000));
    let scarce = beaten(Kbps::new(91_000));
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
