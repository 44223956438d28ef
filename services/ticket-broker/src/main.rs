//! The ticket broker as a process of its own.

use astral_backend::{Backend, Serving};
use astral_chassis::{Process, exit_code, parse};
use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Grants tickets between relays, and keeps the ledger of what each relay has promised
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    process: astral_chassis::Config,
    #[command(flatten)]
    backend: astral_backend::Config,
    #[command(flatten)]
    service: astral_ticket_broker::Config,
}

// One thread. Granting a ticket is half a dozen short waits, and waking another thread for each
// costs a quarter more CPU than it gains. For more throughput, add replicas.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    exit_code(run(parse("astral-ticket-broker")).await)
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let process = Process::start("ticket-broker", &args.process)?;
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
        .run(astral_ticket_broker::start(args.service, backend, serving))
        .await?)
}
