//! Small runs for every change; large ones are for the night.

use astral_simulation::{Outcome, Scenario, run};

/// Most moves to better places that a stream has in a second.
const MOVES_PER_SECOND: u64 = 20;

fn check(scenario: Scenario) -> Outcome {
    let outcome = run(&scenario);
    assert_eq!(outcome.broken, None, "{scenario:?}, step {}", outcome.steps);
    let (starts, stops) = (outcome.figures.starts, outcome.figures.stops);
    assert!(
        starts >= scenario.nodes as u64 && (stops > 0) == scenario.faults,
        "{starts} starts, {stops} stops"
    );
    outcome
}

#[test]
fn a_flash_crowd_through_a_storm_is_served_and_its_tree_is_flat_again_after_slow_moves() {
    let outcome = check(Scenario { seed: 1, nodes: 2_000, streams: 1, faults: true });
    let (depth, least) = outcome.depths[0];
    assert!(depth.most as f64 <= 1.3 * least.most as f64, "{depth}, the least possible is {least}");
    let (moves, in_a_second) = (outcome.figures.moves, outcome.figures.moves_in_a_second);
    assert!(moves > 0 && in_a_second <= MOVES_PER_SECOND, "{moves}, {in_a_second} in a second");
}

#[test]
fn several_streams_through_a_storm_are_served_and_nothing_breaks() {
    check(Scenario { seed: 2, nodes: 2_000, streams: 4, faults: true });
}

#[test]
fn a_flash_crowd_in_calm_is_served_by_a_flat_tree() {
    let scenario = Scenario { seed: 3, nodes: 2_000, streams: 1, faults: false };
    let (depth, least) = check(scenario).depths[0];
    assert_eq!(depth.relays, least.relays);
    assert!(depth.most as f64 <= 1.3 * least.most as f64, "{depth}, the least possible is {least}");
}

#[test]
fn a_run_replays_exactly_from_its_seed() {
    let trace = |seed| run(&Scenario { seed, nodes: 300, streams: 2, faults: true }).trace;
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}
