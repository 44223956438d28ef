//! `astral-media-forwarder`: one relay of the cluster.

use astral_backend::Backend;
use astral_chassis::{Process, exit_code, log_as_node, parse};
use clap::Parser;
use std::process::ExitCode;

/// Takes streams in over RTMP, relays them, and sends them out as HLS, HTTP-FLV and RTMP
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    process: astral_chassis::Config,
    #[command(flatten)]
    backend: astral_backend::Config,
    #[command(flatten)]
    service: astral_media_forwarder::Config,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(run(parse("astral-media-forwarder")).await)
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let process = Process::start("media-forwarder", &args.process)?;
    let backend = Backend::connect(&args.backend).await?;
    let context = process.context();
    let start = async {
        astral_media_forwarder::start(args.service, backend, context)
            .await
            .inspect(|started| log_as_node(started.node))
    };
    Ok(process.run(start).await?)
}
