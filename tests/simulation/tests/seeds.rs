//! Small runs for every change; large ones are for the night.

use astral_simulation::{Outcome, Scenario, run};

/// At most one node in so many moves to a better place in a second.
const MOVES_ONE_IN: u64 = 20;

fn check(scenario: Scenario) -> Outcome {
    let outcome = run(&scenario, None);
    assert_eq!(outcome.broken, None, "{scenario:?}, step {}", outcome.steps);
    let starts = outcome.figures.starts;
    let stops = outcome.figures.stops;
    assert!(
        starts >= scenario.nodes as u64 && (stops > 0) == scenario.faults,
        "{starts} starts, {stops} stops"
    );
    outcome
}

#[test]
fn a_flash_crowd_through_a_storm_is_served_and_its_tree_is_flat_again_after_slow_moves() {
    let outcome = check(Scenario {
        seed: 1,
        nodes: 2_000,
        streams: 1,
        faults: true,
    });
    let tree = &outcome.trees[0];
    assert!(tree.keeps_its_promise(), "{}, {}", tree.joined, tree.end);
    assert!(
        tree.flat_after.is_some_and(|ms| ms <= 150_000),
        "{:?}",
        tree.flat_after
    );
    let moves = outcome.figures.moves;
    let in_a_second = outcome.figures.moves_in_a_second;
    assert!(
        moves > 0 && in_a_second <= 2_000 / MOVES_ONE_IN,
        "{moves}, {in_a_second} in a second"
    );
}

#[test]
fn several_streams_through_a_storm_are_served_and_nothing_breaks() {
    check(Scenario {
        seed: 2,
        nodes: 2_000,
        streams: 4,
        faults: true,
    });
}

#[test]
fn a_flash_crowd_in_calm_is_served_by_a_flat_tree() {
    let scenario = Scenario {
        seed: 3,
        nodes: 2_000,
        streams: 1,
        faults: false,
    };
    let tree = &check(scenario).trees[0];
    assert_eq!(tree.end.depth.relays, tree.end.least.relays);
    assert!(tree.keeps_its_promise(), "{}, {}", tree.joined, tree.end);
}

#[test]
fn a_run_replays_exactly_from_its_seed() {
    let trace = |seed| {
        run(
            &Scenario {
                seed,
                nodes: 300,
                streams: 2,
                faults: true,
            },
            None,
        )
        .trace
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}
