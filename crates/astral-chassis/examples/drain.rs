//! A process that does nothing but start and drain: the shape of every `main.rs`, and what the tests run.

use astral_chassis::{Context, Process, parse};
use clap::Parser;
use std::process::ExitCode;

/// Starts, and drains when told to
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    process: astral_chassis::Config,
    #[command(flatten)]
    service: service::Config,
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
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, astral_chassis::StartError> {
    let args: Args = parse("drain");
    let process = Process::start("drain", &args.process)?;
    start(&args.service, &process.context());
    Ok(process.run_until_stopped().await)
}

fn start(config: &service::Config, context: &Context) {
    let (stopping, linger, fail) = (context.stopping.clone(), config.linger, config.fail);
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
}
