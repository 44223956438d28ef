//! `astral-rest-gateway`: REST, the web application, and redirects to relays.

use astral_backend::Backend;
use astral_chassis::{Process, exit_code, parse};
use clap::Parser;
use std::process::ExitCode;

/// Serves REST and the web application, and sends players to relays
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    process: astral_chassis::Config,
    #[command(flatten)]
    backend: astral_backend::Config,
    #[command(flatten)]
    service: astral_rest_gateway::Config,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(run(parse("astral-rest-gateway")).await)
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let process = Process::start("rest-gateway", &args.process)?;
    let backend = Backend::connect(&args.backend).await?;
    let context = process.context();
    let bus = context.outside("bus");
    let tell = move |is_bus, _| bus.is_there(is_bus);
    context
        .tasks
        .spawn(backend.clone().watch(context.stopping.clone(), tell));
    Ok(process
        .run(astral_rest_gateway::start(args.service, backend, context))
        .await?)
}
