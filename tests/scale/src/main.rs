//! Runs the model once and prints how it went. Exits with 1 if the tree was deeper than promised or somebody was not
//! served.

use astral_scale::{Look, Scenario, Watch, run};
use clap::Parser;
use std::process::ExitCode;
use std::time::Instant;

/// Runs the shipped control services with very many modelled relays
#[derive(Parser)]
struct Args {
    /// Everything that the model's chance decides follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many nodes
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(20..=1_000_000))]
    nodes: u32,
    /// Let no node die
    #[arg(long)]
    calm: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let scenario = Scenario {
        seed: args.seed,
        nodes: args.nodes as usize,
        kills: !args.calm,
    };
    println!("seed {}, {} nodes", args.seed, args.nodes);
    let begun = Instant::now();
    let outcome = run(&scenario, Some(progress(begun)));
    let memory = memory().unwrap_or_default();
    eprintln!("took {:.0} s{memory}", begun.elapsed().as_secs_f64());
    println!("when the crowd had come: {}", outcome.joined);
    println!("at the end: {}", outcome.end);
    if scenario.kills {
        match outcome.flat_after {
            Some(after) => println!("flat for good {} s after the last death", after.as_secs()),
            None => println!("not flat again after the last death"),
        }
    }
    println!(
        "{} of {} served, {} requests for tickets, {} moves to better places, {} in a second at most",
        outcome.served.1,
        outcome.served.0,
        outcome.requests,
        outcome.moves,
        outcome.moves_in_a_second
    );
    if outcome.keeps_its_promise() {
        return ExitCode::SUCCESS;
    }
    println!(
        "BROKEN: the tree was deeper than 1.3 times the least possible, or somebody was not served"
    );
    ExitCode::FAILURE
}

fn progress(begun: Instant) -> Watch {
    Box::new(move |look: &Look, (want, have): (usize, usize)| {
        let at = look.at.as_secs();
        let took = begun.elapsed().as_secs();
        eprintln!("{at} s simulated in {took} s: {have} of {want} served, {look}");
    })
}

/// The most memory that was in use, as Linux reports it.
fn memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(format!(", at most {} MiB of memory", kib / 1_024))
}
