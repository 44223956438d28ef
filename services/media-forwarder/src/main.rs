//! `astral-media-forwarder`: one relay of the cluster.

use astral_backend::Backend;
use astral_chassis::{Process, parse};
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
async fn main() -> anyhow::Result<ExitCode> {
    let args: Args = parse("astral-media-forwarder");
    let process = Process::start("media-forwarder", &args.process)?;
    let backend = Backend::connect(&args.backend).await?;
    astral_media_forwarder::start(args.service, backend, process.context()).await?;
    Ok(process.run_until_stopped().await)
}
