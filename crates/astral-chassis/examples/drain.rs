//! A process that does nothing but start and drain: the shape of every `main.rs`, and what the tests run.

use astral_chassis::{Context, Process, parse};
use clap::Parser;
use service::Config;
use std::process::ExitCode;

/// Starts, and drains when told to
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    process: astral_chassis::Config,
    #[command(flatten)]
    service: Config,
}

mod service {
    /// The settings of this service.
    #[derive(clap::Args)]
    #[group(skip)]
    pub struct Config {
        /// Never finish the drain
        #[arg(long, env = "ASTRAL_LINGER")]
        pub linger: bool,
        /// Fail once started
        #[arg(long, env = "ASTRAL_FAIL")]
        pub fail: bool,
        /// Never finish the start
        #[arg(long, env = "ASTRAL_HANG")]
        pub hang: bool,
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, astral_chassis::StartError> {
    let args: Args = parse("drain");
    let process = Process::start("drain", &args.process)?;
    let context = process.context();
    process.run(start(&args.service, &context)).await
}

async fn start(config: &Config, context: &Context) -> Result<(), astral_chassis::StartError> {
    let stopping = context.stopping.clone();
    let Config { linger, fail, hang } = *config;
    context.spawn_critical("work", async move {
        if fail {
            return;
        }
        stopping.cancelled().await;
        tracing::info!("finishing the work in hand");
        if linger {
            std::future::pending::<()>().await;
        }
    });
    tracing::info!("working");
    if linger {
        context.explain_drain(|| Some("1 guest".to_owned()));
    }
    if hang {
        std::future::pending::<()>().await;
    }
    Ok(())
}
