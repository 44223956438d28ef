//! The supernode coordinator as a process of its own.

use astral_backend::{Backend, Serving};
use astral_chassis::{Process, exit_code, parse};
use clap::Parser;
use std::process::ExitCode;

/// Keeps which nodes live, and which supernode each hangs off
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    process: astral_chassis::Config,
    #[command(flatten)]
    backend: astral_backend::Config,
    #[command(flatten)]
    service: astral_supernode_coordinator::Config,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(run(parse("astral-supernode-coordinator")).await)
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let process = Process::start("supernode-coordinator", &args.process)?;
    let backend = Backend::connect(&args.backend).await?;
    let context = process.context();
    let tell = context.both_outside("bus", "state");
    context
        .tasks
        .spawn(backend.clone().watch(context.stopping.clone(), tell));
    let serving = Serving {
        stopping: context.stopping.clone(),
        tasks: context.tasks.clone(),
    };
    Ok(process
        .run(astral_supernode_coordinator::start(
            args.service,
            backend,
            serving,
        ))
        .await?)
}
