//! A few small storms for every change; `make storm` runs many large ones.

use astral_storm::{Outcome, Scenario, run};
use std::time::Duration;

fn small(seed: u64) -> Scenario {
    Scenario {
        seed,
        relays: 30,
        streams: 2,
        storm: Duration::from_secs(20),
        keeps_log: true,
    }
}

fn weathers(seed: u64) -> Outcome {
    let outcome = run(&small(seed));
    assert_eq!(outcome.broken, None, "seed {seed}");
    assert!(outcome.frames > 0, "seed {seed}: somebody saw something");
    outcome
}

#[test]
fn every_seed_heals_and_breaks_nothing() {
    for seed in 1..=3 {
        weathers(seed);
    }
}
