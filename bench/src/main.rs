//! `astral-bench`: what Astral costs, beside a bare loop that does the same work, and whether it keeps its promises.
//!
//! Everything under measurement is a process of its own, seen through `/proc` and its sockets; publisher and viewers
//! are in this one, so that one clock times both ends. Where there are two cores, servers have one and this the other.

mod answers;
mod bare_loop;
mod fan_out;
mod first_frame;
mod hop;
mod memory;
mod process;
mod publisher;
mod report;
mod source;
mod start;
mod stats;
mod tickets;
mod viewer;

use anyhow::Result;
use clap::{Parser, Subcommand};
use report::Report;
use std::process::ExitCode;

/// Measures what Astral costs and exits with 1 past a promise
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Everything below (default)
    All,
    /// CPU per gigabit sent to HTTP-FLV viewers against the bare loop, and latency
    FanOut(fan_out::Args),
    /// Latency that each relay hop adds
    Hop,
    /// Time from GET to the first picture, on a relay that has the stream and two hops away
    FirstFrame,
    /// CPU per answer for a playlist and for a part against a bare loop that answers the same bytes
    Answers,
    /// Memory per viewer
    Memory,
    /// Time until `astral up` is ready, and its memory
    Start,
    /// Tickets through a real bus and state against their calls on Redis alone, and how long one takes
    Tickets,
    /// Writes a file to every connection at the pace of its frames, and nothing else
    #[command(hide = true)]
    BareLoop(bare_loop::Args),
    /// Answers every HTTP request with one file, and nothing else
    #[command(hide = true)]
    AnswerLoop(answers::LoopArgs),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let command = Args::parse().command.unwrap_or(Command::All);
    if let Command::BareLoop(args) = command {
        return bare_loop::run(&args).map(|()| ExitCode::SUCCESS);
    }
    if let Command::AnswerLoop(args) = command {
        return answers::run_loop(&args).map(|()| ExitCode::SUCCESS);
    }
    process::build(&["astral"])?;
    process::take_client_core();
    let mut report = Report::new();
    measure(command, &mut report).await?;
    Ok(report.finish())
}

async fn measure(command: Command, report: &mut Report) -> Result<()> {
    match command {
        Command::All => {
            start::run(report).await?;
            first_frame::run(report).await?;
            hop::run(report).await?;
            answers::run(report).await?;
            memory::run(report).await?;
            tickets::run(report).await?;
            fan_out::run(&fan_out::Args::default(), report).await
        }
        Command::FanOut(args) => fan_out::run(&args, report).await,
        Command::Hop => hop::run(report).await,
        Command::FirstFrame => first_frame::run(report).await,
        Command::Answers => answers::run(report).await,
        Command::Memory => memory::run(report).await,
        Command::Tickets => tickets::run(report).await,
        Command::Start => start::run(report).await,
        Command::BareLoop(_) | Command::AnswerLoop(_) => Ok(()),
    }
}
