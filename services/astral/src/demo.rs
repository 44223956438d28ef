//! `astral demo`: a network of three relays heals while somebody watches.
//!
//! It publishes a test picture to relay 1, watches at relay 3, and repeatedly cuts off relay 2,
//! which is between them. After each cut it prints how long the viewer waited and how many pictures
//! it lost. The story goes to standard output, the log to standard error.

mod publisher;
mod viewer;

use crate::up;
use anyhow::Context as _;
use astral_backend::Bus;
use astral_chassis::Context;
use astral_node::Started as Relay;
use astral_proto::message::{GetTree, Inject};
use astral_proto::model::{Fault, Tree};
use astral_proto::{NodeId, Slug};
use publisher::Publisher;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use viewer::Viewer;

/// The stream of the demo.
const SLUG: &str = "demo";
/// Relays of the demo: the origin, the one that is cut off, the one that is watched.
const RELAYS: u16 = 3;
/// Time from the start of the stream to the first cut.
const FIRST_CUT_AFTER: Duration = Duration::from_secs(5);
/// Time between the end of one round and the next cut.
const PAUSE: Duration = Duration::from_secs(20);
/// How long relay 2 stays cut off.
const CUT_SECONDS: u32 = 5;
/// How often the demo asks for the tree.
const LOOK: Duration = Duration::from_millis(250);
/// Longest wait for the tree to change. Heartbeats report it every 2 s. A relay moves back below
/// its supernode after 10 s at the earliest, when its turn comes.
const CHANGE_WITHIN: Duration = Duration::from_secs(300);
/// Longest wait for an answer from a service of this process.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

struct Demo {
    bus: Bus,
    slug: Slug,
    http: SocketAddr,
    relays: Vec<Relay>,
    viewer: Viewer,
    publisher: Publisher,
    context: Context,
    started: Instant,
}

/// Starts the network, its publisher and its viewer; they run until `context` stops.
///
/// # Errors
/// Those of [`up::start`]; ffmpeg cannot be started.
pub async fn start(args: up::Args, context: Context) -> anyhow::Result<()> {
    let args = up::Args {
        relays: args.relays.max(RELAYS),
        ..args
    };
    let network = up::start(args, context.clone()).await?;
    let publisher = Publisher::start(network.relays[0].rtmp_address, SLUG).await?;
    let demo = Demo {
        bus: network.backend.bus,
        slug: SLUG.parse()?,
        http: network.http_address,
        viewer: Viewer::start(network.relays[2].media_address, SLUG),
        relays: network.relays,
        publisher,
        context: context.clone(),
        started: Instant::now(),
    };
    context.spawn("demo", demo.run());
    Ok(())
}

impl Demo {
    /// Runs until the process stops. Publisher and viewer end with it, so that the drain does not
    /// wait for them.
    async fn run(mut self) {
        let stopping = self.context.scope.stopping.clone();
        let ended = stopping.run_until_cancelled(self.show()).await;
        if let Some(Err(error)) = ended {
            eprintln!("error: {error:#}");
            self.context.stop();
        }
    }

    async fn show(&mut self) -> anyhow::Result<()> {
        self.wait_until(|provider| provider == Some(self.node(2)))
            .await?;
        self.greet();
        let mut pause = FIRST_CUT_AFTER;
        loop {
            tokio::select! {
                ended = self.publisher.ended() => return Err(ended),
                () = sleep(pause) => {}
            }
            self.show_a_cut().await?;
            pause = PAUSE;
        }
    }

    fn greet(&self) {
        let http = self.http;
        let watched = self.relays[2].media_address;
        println!(
            "Relay 1 takes the stream in, relay 2 pulls it from relay 1, relay 3 from relay 2."
        );
        println!(
            "A viewer at relay 3 checks every picture. Again and again the demo cuts off relay 2.\n"
        );
        println!("  watch it   http://{http}/watch/{SLUG}?prefer={watched}   (plays from relay 3)");
        println!("  the tree   http://{http}/network");
        println!("  stop       Ctrl-C\n");
    }

    /// Runs one round: relay 2 is cut off, relay 3 switches to another relay, relay 2 comes back,
    /// and relay 3 returns to it.
    async fn show_a_cut(&mut self) -> anyhow::Result<()> {
        let cut = self.node(2);
        self.viewer.take_report();
        let fault = Inject {
            fault: Fault::Cut,
            seconds: CUT_SECONDS,
        };
        self.bus
            .request_node(cut, &fault, ANSWER_WITHIN)
            .await
            .context("relay 2 took no drill")?;
        self.say(&format!(
            "relay 2 is cut off for {CUT_SECONDS} s: all its sockets are closed"
        ));
        self.wait_until(|provider| provider.is_some_and(|provider| provider != cut))
            .await?;
        self.say(&format!(
            "relay 3 gets the stream from relay 1 now; {}",
            self.viewer.take_report()
        ));
        self.wait_until(|provider| provider == Some(cut)).await?;
        self.say(&format!(
            "relay 3 is back below relay 2; {}",
            self.viewer.take_report()
        ));
        Ok(())
    }

    fn say(&self, text: &str) {
        let seconds = self.started.elapsed().as_secs();
        println!("{:>3}:{:02}  {text}", seconds / 60, seconds % 60);
    }

    fn node(&self, number: usize) -> NodeId {
        self.relays[number - 1].node
    }

    /// Waits until relay 3 has the wanted provider.
    async fn wait_until(&self, is_wanted: impl Fn(Option<NodeId>) -> bool) -> anyhow::Result<()> {
        let latest = Instant::now() + CHANGE_WITHIN;
        while Instant::now() < latest {
            let asked = GetTree {
                slug: self.slug.clone(),
            };
            if let Ok(tree) = self.bus.request(&asked, ANSWER_WITHIN).await
                && is_wanted(provider(&tree, self.node(3)))
            {
                return Ok(());
            }
            sleep(LOOK).await;
        }
        anyhow::bail!(
            "the tree has not changed within {} s; the log says more",
            CHANGE_WITHIN.as_secs()
        )
    }
}

fn provider(tree: &Tree, node: NodeId) -> Option<NodeId> {
    tree.relays
        .iter()
        .find(|relay| relay.node == node)?
        .provider
}
