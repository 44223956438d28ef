//! The command line of `astral`.

use crate::{demo, up};
use astral_chassis::{Context, Threads, parse, run_process};
use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// Astral relays live streams through a tree that heals itself
#[derive(Parser)]
#[command(name = "astral", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every service in this process: the whole network, on one machine, with nothing to
    /// install
    Up(Box<up::Args>),
    /// Run three relays and a publisher (ffmpeg), cut off the relay in the middle again and again,
    /// and print what a viewer below it noticed. Takes the flags of `up`
    Demo(Box<up::Args>),
}

/// The whole `main` of the program.
pub fn run() -> ExitCode {
    let command = parse::<Args>(Args::command()).command;
    let (Command::Up(args) | Command::Demo(args)) = &command;
    let process = args.process.clone();
    run_process(
        "astral",
        Threads::PerCore,
        &process,
        async |context: Context| match command {
            Command::Up(args) => up::start(*args, context).await.map(drop),
            Command::Demo(args) => demo::start(*args, context).await,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_services_claim_one_flag() {
        Args::command().debug_assert();
    }
}
