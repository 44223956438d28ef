//! A process that does nothing but start and drain: what the tests run.

use astral_chassis::{Context, Program, StartError, Threads, run};
use service::Config;
use std::process::ExitCode;

const PROGRAM: Program = Program {
    name: "drain",
    component: "drain",
    about: "Starts, and drains when told to",
    threads: Threads::PerCore,
};

fn main() -> ExitCode {
    run(&PROGRAM, async |config: Config, context: Context| {
        start(&config, &context).await
    })
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

async fn start(config: &Config, context: &Context) -> Result<(), StartError> {
    let stopping = context.scope.stopping.clone();
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
