//! Runs one simulation and tells how it went. Exits 1 if an invariant broke, with seed and step, or if a tree was deeper
//! than promised. What it prints is the same for the same arguments, always; how it goes on and what it takes stands on
//! standard error.

use astral_simulation::{Look, Outcome, Scenario, Watch, run};
use clap::Parser;
use std::process::ExitCode;
use std::time::Instant;

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
    let Args {
        seed,
        nodes,
        streams,
        calm,
    } = Args::parse();
    let scenario = Scenario {
        seed,
        nodes: nodes as usize,
        streams: streams.into(),
        faults: !calm,
    };
    println!(
        "seed {seed}, {nodes} nodes, {streams} streams, {}",
        if calm { "calm" } else { "with faults" }
    );
    let begun = Instant::now();
    let outcome = run(&scenario, Some(progress(begun)));
    eprintln!(
        "took {:.0} s{}",
        begun.elapsed().as_secs_f64(),
        memory().unwrap_or_default()
    );
    tell(&outcome, &scenario);
    match &outcome.broken {
        Some((fault, at_ms)) => {
            println!(
                "BROKEN: seed {seed}, step {}, {at_ms} ms: {fault}",
                outcome.steps
            );
            ExitCode::FAILURE
        }
        None if !outcome
            .trees
            .iter()
            .all(astral_simulation::Tree::keeps_its_promise) =>
        {
            println!("BROKEN: seed {seed}: a tree was deeper than 1.3 times the least possible");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn progress(begun: Instant) -> Watch {
    Box::new(move |look: &Look, (want, have): (usize, usize)| {
        let at = look.at / 1_000;
        let took = begun.elapsed().as_secs();
        eprintln!("{at} s simulated in {took} s: {have} of {want} served, {look}");
    })
}

/// The most memory that was in use, as Linux tells it.
fn memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(format!(", at most {} MiB of memory", kib / 1_024))
}

fn tell(outcome: &Outcome, scenario: &Scenario) {
    for (stream, tree) in outcome.trees.iter().enumerate() {
        println!("stream {stream}, when the crowd had come: {}", tree.joined);
        println!("stream {stream}, at the end: {}", tree.end);
        match tree.flat_after {
            _ if !scenario.faults => {}
            Some(ms) => println!(
                "stream {stream}, flat for good {} s after the last fault",
                ms / 1_000
            ),
            None => println!("stream {stream}, not flat again after the last fault"),
        }
    }
    print!(
        "{}",
        outcome
            .figures
            .tell(scenario.nodes, outcome.seconds)
            .unwrap_or_default()
    );
    println!(
        "{} steps in {} s simulated, trace {:016x}",
        outcome.steps, outcome.seconds, outcome.trace
    );
}
