//! `astral-rest-gateway`: REST, the web application, and redirects to relays.

use astral_backend::Backend;
use astral_chassis::{Process, parse};
use astral_rest_gateway::Error;
use clap::Parser;
use std::process::ExitCode;

const NAME: &str = "rest-gateway";

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
async fn main() -> anyhow::Result<ExitCode> {
    let args: Args = parse(NAME);
    let process = Process::start(NAME, &args.process)?;
    let backend = Backend::connect(&args.backend).await?;
    match astral_rest_gateway::start(args.service, backend, process.context()).await {
        Ok(_) => Ok(process.run_until_stopped().await),
        Err(error @ Error::Open(_)) => {
            eprintln!("error: {error}");
            Ok(ExitCode::from(2))
        }
        Err(error) => Err(error.into()),
    }
}
