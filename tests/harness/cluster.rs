//! A whole network in this process, on free ports.

use astral::up::{self, Network};
use astral_chassis::Context;
use clap::Parser;
use std::net::SocketAddr;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    up: up::Args,
}

/// A network that stops when dropped.
pub struct Cluster {
    /// What runs, and where.
    pub network: Network,
    context: Context,
}

impl Cluster {
    /// `relays` relays as `astral up --relays` makes them: 1 is an ordinary node, 2 the supernode, the others its children.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(relays: u16) -> Self {
        Self::start_with(relays, &[]).await
    }

    /// The same with further flags.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_with(relays: u16, flags: &[&str]) -> Self {
        let relays = relays.to_string();
        let own =
            ["astral", "--relays", &relays, "--http-listen", "127.0.0.1:0", "--media-listen", "127.0.0.1:0"];
        let own = own.iter().chain(&["--rtmp-listen", "127.0.0.1:0"]).chain(flags);
        let context = Context::detached();
        let network =
            up::start(Flags::parse_from(own).up, context.clone()).await.expect("the network starts");
        Self { network, context }
    }

    /// Where relay `number`, counted from 1, serves media.
    pub fn media(&self, number: usize) -> SocketAddr {
        self.network.relays[number - 1].media_address
    }

    /// Where relay `number`, counted from 1, takes RTMP.
    pub fn rtmp(&self, number: usize) -> SocketAddr {
        self.network.relays[number - 1].rtmp_address
    }

    /// The gateway.
    pub fn http(&self) -> SocketAddr {
        self.network.http_address
    }

    /// Drains everything, as SIGTERM does.
    pub async fn stop(self) {
        self.context.stop();
        self.context.drained().await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.context.stop();
    }
}
