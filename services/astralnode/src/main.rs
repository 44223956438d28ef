//! `astralnode`: an edge on anyone's machine.

use astral_chassis::{Process, exit_code, log_as_node, parse};
use clap::Parser;
use std::process::ExitCode;

/// Lends this machine's upstream to an Astral network: pulls streams by ticket, serves viewers and other relays
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    process: astral_chassis::Config,
    #[command(flatten)]
    service: astralnode::Config,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(run(parse("astralnode")).await)
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let process = Process::start("astralnode", &args.process)?;
    let context = process.context();
    let start = async {
        astralnode::start(args.service, context)
            .await
            .inspect(|started| log_as_node(started.node))
    };
    Ok(process.run(start).await?)
}
