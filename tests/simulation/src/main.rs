//! Runs one simulation and tells how it went; exits 1 with seed and step if an invariant broke.

use astral_simulation::{Outcome, Scenario, run};
use clap::Parser;
use std::process::ExitCode;

/// Simulates nodes that join, fail and heal, by production's rules, from a seed
#[derive(Parser)]
struct Args {
    /// Everything that chance decides follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many nodes
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(20..=1_000_000))]
    nodes: u32,
    /// How many streams
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    streams: u8,
    /// Lose no message and let no node fail
    #[arg(long)]
    calm: bool,
}

fn main() -> ExitCode {
    let Args { seed, nodes, streams, calm } = Args::parse();
    let scenario = Scenario { seed, nodes: nodes as usize, streams: streams.into(), faults: !calm };
    println!("seed {seed}, {nodes} nodes, {streams} streams, {}", if calm { "calm" } else { "with faults" });
    let outcome = run(&scenario);
    tell(&outcome, &scenario);
    match &outcome.broken {
        None => ExitCode::SUCCESS,
        Some((fault, at_ms)) => {
            println!("BROKEN: seed {seed}, step {}, {at_ms} ms: {fault}", outcome.steps);
            ExitCode::FAILURE
        }
    }
}

fn tell(outcome: &Outcome, scenario: &Scenario) {
    for (stream, (depth, least)) in outcome.depths.iter().enumerate() {
        println!(
            "stream {stream}: {} relays, tree of {depth}; the least possible is {least}: {:.2} x, {:.2} x",
            depth.relays,
            depth.most as f64 / least.most.max(1) as f64,
            depth.mean / least.mean.max(1.0),
        );
    }
    print!("{}", outcome.figures.tell(scenario.nodes, outcome.seconds).unwrap_or_default());
    println!("{} steps in {} s simulated, trace {:016x}", outcome.steps, outcome.seconds, outcome.trace);
}
