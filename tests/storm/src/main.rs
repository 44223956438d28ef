//! Runs storms, one seed after the other, and exits with 1 after the first seed that breaks an invariant.

use astral_storm::{Outcome, Scenario, run};
use clap::Parser;
use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of the log shown of a seed that broke.
const LINES_SHOWN: usize = 40;

/// Runs the shipped control services and relays under faults from a seed
#[derive(Parser)]
struct Args {
    /// How many seeds
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Run this seed only
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// How many relays
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..=1_000))]
    relays: u32,
    /// How many streams
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    streams: u8,
    /// For how many simulated seconds faults come
    #[arg(long, default_value_t = 40)]
    seconds: u64,
    /// How many seeds run at a time; as many as there are processors unless given
    #[arg(long)]
    jobs: Option<usize>,
    /// Write everything that happened to this file; with --seed
    #[arg(long, requires = "seed", value_name = "FILE")]
    log: Option<PathBuf>,
}

impl Args {
    fn scenario(&self, seed: u64) -> Scenario {
        Scenario {
            seed,
            relays: self.relays as usize,
            streams: self.streams.into(),
            storm: Duration::from_secs(self.seconds),
            keeps_log: self.log.is_some(),
        }
    }

    fn seeds(&self) -> VecDeque<u64> {
        match self.seed {
            Some(seed) => [seed].into(),
            None => (self.from..self.from + self.seeds).collect(),
        }
    }

    /// How many threads run seeds.
    fn threads(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.unwrap_or(processors).max(1)
    }

    /// What runs one seed again.
    fn replay(&self, seed: u64) -> String {
        format!(
            "cargo run --release --package astral-storm -- --seed {seed} --relays {} --streams {} --seconds {} --log storm-{seed}.log",
            self.relays, self.streams, self.seconds
        )
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let seeds = args.seeds();
    let count = seeds.len();
    let begun = Instant::now();
    let mut failed = Vec::new();
    for (done, (seed, outcome)) in run_all(&args, seeds).into_iter().enumerate() {
        let took = begun.elapsed().as_secs();
        println!(
            "[{}/{count}, {took} s] seed {seed}: {}",
            done + 1,
            describe(&outcome)
        );
        if let Some(path) = &args.log
            && let Err(error) = write_log(path, &outcome)
        {
            eprintln!("{} cannot be written: {error}", path.display());
            return ExitCode::FAILURE;
        }
        if outcome.broken.is_some() {
            show_end(&outcome);
            println!("replay: {}", args.replay(seed));
            failed.push(seed);
        }
    }
    if failed.is_empty() {
        println!("{count} seeds, nothing broke");
        return ExitCode::SUCCESS;
    }
    println!("{} of {count} seeds broke: {failed:?}", failed.len());
    ExitCode::FAILURE
}

/// Outcomes that wait to be printed; a thread that has another one waits.
const OUTCOMES_MAX: usize = 64;

/// Runs every seed; outcomes come in the order in which they are done.
fn run_all(args: &Args, seeds: VecDeque<u64>) -> mpsc::Receiver<(u64, Outcome)> {
    let (sender, outcomes) = mpsc::sync_channel(OUTCOMES_MAX);
    let seeds = Arc::new(Mutex::new(seeds));
    for _ in 0..args.threads() {
        let sender = sender.clone();
        let seeds = seeds.clone();
        let scenario = args.scenario(0);
        std::thread::spawn(move || {
            let next = || {
                seeds
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop_front()
            };
            while let Some(seed) = next() {
                let outcome = run(&Scenario {
                    seed,
                    ..scenario.clone()
                });
                if sender.send((seed, outcome)).is_err() {
                    return;
                }
            }
        });
    }
    outcomes
}

fn describe(outcome: &Outcome) -> String {
    let faults: Vec<String> = outcome
        .faults
        .iter()
        .map(|(class, count)| format!("{count} {class:?}"))
        .collect();
    let end = match (&outcome.broken, outcome.healed_after) {
        (Some(broken), _) => format!("BROKEN {broken}"),
        (None, Some(after)) => format!("healed after {} s", after.as_secs()),
        (None, None) => "not over".into(),
    };
    format!(
        "{end}; {} events, {} pictures, trace {:016x}; {}",
        outcome.events,
        outcome.frames,
        outcome.trace,
        faults.join(", ")
    )
}

fn write_log(path: &Path, outcome: &Outcome) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    for line in &outcome.log {
        writeln!(file, "{line}")?;
    }
    file.flush()
}

fn show_end(outcome: &Outcome) {
    let from = outcome.log.len().saturating_sub(LINES_SHOWN);
    for line in &outcome.log[from..] {
        println!("    {line}");
    }
}
