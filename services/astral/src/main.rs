//! `astral`: the whole network in one process.

use astral::{demo, up};

use astral_chassis::{Process, exit_code, parse};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Astral relays live streams through a tree that heals itself
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every service in this process: the whole network, on one machine, with nothing to install
    Up(Box<up::Args>),
    /// Run three relays and a publisher (ffmpeg), cut off the relay in the middle again and again, and print what a
    /// viewer below it noticed. Takes the flags of `up`
    Demo(Box<up::Args>),
}

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(run(parse::<Args>("astral").command).await)
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let (Command::Up(args) | Command::Demo(args)) = &command;
    let process = Process::start("astral", &args.process)?;
    let context = process.context();
    match command {
        Command::Up(args) => process.run(up::start(*args, context)).await,
        Command::Demo(args) => process.run(demo::start(*args, context)).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn no_two_services_claim_one_flag() {
        Args::command().debug_assert();
    }
}
