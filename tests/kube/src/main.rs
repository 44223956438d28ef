//! `make kube-test`: installs Astral into a cluster, publishes and watches there, and lets relays come, go and die.
//!
//! `run` is the judge and runs outside; the others run in pods of the image `kube-test`.

mod client;
mod cluster;
mod drills;
mod fragment;
mod judge;
mod network;
mod playlist;
mod pods;
mod publish;
mod refusals;
mod report;
mod stage;
mod tiers;
mod viewer;
mod watch;

use clap::{Parser, Subcommand};

/// Watches Astral in a cluster while relays come, go and die
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install, publish, watch, drill, judge; needs kubectl and helm
    Run(stage::Args),
    /// Publish with ffmpeg, again and again
    Publish(publish::Args),
    /// Watch HLS through a Service, two ways, and say every second how it goes
    Watch(watch::Args),
    /// Watch HTTP-FLV at one relay for a while, and say how it went
    Flv(viewer::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Run(args) => drills::run(args).await,
        Command::Publish(args) => publish::run(args).await,
        Command::Watch(args) => watch::run(args).await,
        Command::Flv(args) => viewer::run(args).await,
    }
}
