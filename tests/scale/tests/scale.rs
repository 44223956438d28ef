//! Small runs for every change; large ones are for the night.

use astral_scale::{Outcome, Scenario, run};
use std::time::Duration;

const NODES: usize = 80;
/// At most one node in so many moves to a better place in a second.
const MOVES_ONE_IN: u64 = 20;
/// Within which every relay has had its turn to move.
const FLAT_AFTER: Duration = Duration::from_secs(150);

/// In so small a crowd one relay that is one hop too far is more than the promise of large ones allows.
fn is_flat(outcome: &Outcome) -> bool {
    let look = outcome.end;
    look.depth.most <= look.least.most + 1 && look.is_flat_in_the_mean()
}

#[test]
fn a_crowd_of_which_many_die_is_served_by_a_flat_tree_after_slow_moves() {
    let outcome = run(
        &Scenario {
            seed: 1,
            nodes: NODES,
            kills: true,
        },
        None,
    );
    assert_eq!(outcome.served.0, outcome.served.1);
    assert!(is_flat(&outcome), "{outcome:?}");
    assert!(outcome.took > FLAT_AFTER);
    assert!(
        outcome.moves_in_a_second <= NODES as u64 / MOVES_ONE_IN,
        "{outcome:?}"
    );
}

#[test]
fn a_crowd_in_calm_is_served_by_a_flat_tree() {
    let outcome = run(
        &Scenario {
            seed: 3,
            nodes: NODES,
            kills: false,
        },
        None,
    );
    assert_eq!(outcome.end.depth.relays, outcome.end.least.relays);
    assert_eq!(outcome.served.0, outcome.served.1);
    assert!(is_flat(&outcome), "{outcome:?}");
}
