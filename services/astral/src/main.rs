//! `astral`: the whole network in one process.

use astral::up;

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
}

#[tokio::main]
async fn main() -> ExitCode {
    let Command::Up(args) = parse::<Args>("astral").command;
    exit_code(run(*args).await)
}

async fn run(args: up::Args) -> anyhow::Result<ExitCode> {
    let process = Process::start("astral", &args.process)?;
    let context = process.context();
    process.run(up::start(args, context)).await
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
