//! The directory as a process of its own.

use astral_backend::{Backend, Serving};
use astral_chassis::{Process, exit_code, parse};
use clap::Parser;
use std::process::ExitCode;

/// Keeps which streams exist, who may publish them, and where each is ingested
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    process: astral_chassis::Config,
    #[command(flatten)]
    backend: astral_backend::Config,
    #[command(flatten)]
    service: astral_directory::Config,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(run(parse("astral-directory")).await)
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let process = Process::start("directory", &args.process)?;
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
        .run(astral_directory::start(args.service, backend, serving))
        .await?)
}
