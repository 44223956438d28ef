//! One origin, three supernodes, six edges and two replicas of each control service, and everything is done to them.
//!
//! Each harm comes once, or `ASTRAL_CHAOS` times; with it, Redis and NATS are away for a minute.

use crate::control::ledgers_agree_with_relays;
use crate::gaps::{Harm, asked_for, report, rounds_in_turn};
use astral_proto::NodeId;
use astral_proto::limits::LEASE;
use futures_util::future::join_all;
use harness::chain::{Chain, Leaf, SECOND, SLUG};
use harness::processes::{CONTROL, Proxy, RELAY_GRACE_SECONDS};
use harness::{Ending, Publisher, Viewer, eventually};
use std::time::Duration;
use tokio::time::Instant;

const SUPERNODES: [&str; 3] = ["middle", "second", "third"];
const EDGES: usize = 6;
const REPLICAS: usize = 2;
const HARMS: [Harm; 3] = [Harm::Kill, Harm::Freeze, Harm::Partition];
/// For how long the bus and the state are away: a minute, or just longer than a lease.
const AWAY_SECONDS: [usize; 2] = [60, LEASE.as_secs() as usize + 2];

/// The network, with a wire that can be cut before each supernode.
struct Network {
    chain: Chain,
    edges: Vec<Leaf>,
    wires: Vec<Proxy>,
    /// Of the supernodes, so that one that is back carries the stream and may feed edges again.
    viewers: Vec<Viewer>,
}

impl Network {
    async fn start() -> Self {
        let mut wires = Vec::new();
        for _ in SUPERNODES {
            wires.push(Proxy::start().await);
        }
        let advertised: Vec<_> = wires
            .iter()
            .map(|wire| wire.address().to_string())
            .collect();
        let mut chain = Chain::start(REPLICAS, &["--advertise", &advertised[0]]).await;
        for (name, address) in SUPERNODES.iter().zip(&advertised).skip(1) {
            chain
                .deployment
                .add_relay(name, "supernode", &["--advertise", address])
                .await;
        }
        let mut network = Self {
            chain,
            edges: Vec::new(),
            wires,
            viewers: Vec::new(),
        };
        network.connect();
        for _ in 0..EDGES {
            let edge = network.chain.leaf().await;
            network.edges.push(edge);
        }
        network
    }

    /// Leads each wire to where its supernode listens now, and has it watched there.
    fn connect(&mut self) {
        for (name, wire) in SUPERNODES.iter().zip(&self.wires) {
            wire.lead_to(self.chain.deployment.program(name).door("media"));
        }
        let doors = SUPERNODES.map(|name| self.chain.deployment.program(name).door("media"));
        self.viewers = doors.map(|media| Viewer::start(media, SLUG)).into();
    }

    /// Which edges each supernode feeds; none before each edge has a provider and a standby.
    async fn fed(&mut self) -> [Vec<usize>; 3] {
        let gateway = self.chain.gateway();
        let supernodes = SUPERNODES.map(|name| self.chain.node(name));
        let edges: Vec<NodeId> = self.edges.iter().map(|edge| edge.node).collect();
        eventually("supernodes feed edges that have standbys", || async {
            let tree = gateway.tree(SLUG).await?;
            let relay = |edge: &NodeId| tree.iter().find(|relay| relay.node == *edge);
            let relays: Option<Vec<_>> = edges.iter().map(relay).collect();
            let relays = relays?;
            let whole = relays
                .iter()
                .all(|relay| relay.provider.is_some() && relay.standby.is_some());
            let feeds = |node: NodeId, at: usize| relays[at].provider == Some(node);
            let below = |node| {
                (0..edges.len())
                    .filter(|at| feeds(node, *at))
                    .collect::<Vec<_>>()
            };
            let fed = supernodes.map(below);
            (whole && fed.iter().any(|edges| !edges.is_empty())).then_some(fed)
        })
        .await
    }

    /// Harms the supernode that feeds the most edges; the longest gap at any of those.
    async fn is_harmed_by(&mut self, harm: Harm) -> Duration {
        let fed = self.fed().await;
        let (at, edges) = fed
            .iter()
            .enumerate()
            .max_by_key(|(_, edges)| edges.len())
            .expect("three supernodes");
        let name = SUPERNODES[at];
        let node = self.chain.node(SUPERNODES[at]);
        let since = Instant::now();
        match harm {
            Harm::Kill => self.chain.deployment.program(name).kill(),
            Harm::Freeze => self.chain.deployment.program(name).freeze(),
            Harm::Partition => self.wires[at].part(),
        }
        let gaps = join_all(
            edges
                .iter()
                .map(|edge| self.chain.gap(&self.edges[*edge], since)),
        )
        .await;
        match harm {
            Harm::Kill => self.is_replaced(name, node).await,
            Harm::Freeze => self.chain.deployment.program(name).thaw(),
            Harm::Partition => self.wires[at].mend(),
        }
        self.connect();
        self.has_lost_nothing().await;
        gaps.into_iter().max().unwrap_or_default()
    }

    async fn is_replaced(&mut self, name: &str, killed: NodeId) {
        self.chain.is_given_up(killed).await;
        self.chain.deployment.program(name).restart().await;
    }

    async fn has_lost_nothing(&self) {
        join_all(
            self.edges
                .iter()
                .map(|edge| self.chain.has_lost_nothing(edge)),
        )
        .await;
    }

    async fn ledgers_agree(&mut self) {
        ledgers_agree_with_relays(
            &mut self.chain,
            &self.edges.iter().map(|edge| edge.node).collect::<Vec<_>>(),
        )
        .await;
    }

    /// Every edge is served on for as long as the bus or the state is away.
    async fn goes_on_without(&self) {
        let seconds = if asked_for().is_some() {
            AWAY_SECONDS[0]
        } else {
            AWAY_SECONDS[1]
        };
        for _ in 0..seconds {
            self.chain.origin.sees_more(SECOND).await;
        }
        self.has_lost_nothing().await;
    }
}

async fn supernodes_are_harmed(network: &mut Network) {
    for harm in HARMS {
        let mut gaps = Vec::new();
        for _ in 0..rounds_in_turn() {
            gaps.push(network.is_harmed_by(harm).await);
        }
        report("network", harm, gaps);
    }
}

async fn control_services_are_killed(network: &mut Network) {
    for service in CONTROL {
        for replica in 1..=REPLICAS {
            let name = format!("{service}-{replica}");
            network.chain.deployment.program(&name).kill();
            network.has_lost_nothing().await;
            network.chain.deployment.program(&name).restart().await;
        }
    }
    network.chain.deployment.kill_control();
    network.has_lost_nothing().await;
    network.chain.deployment.restart_control().await;
    network.ledgers_agree().await;
}

async fn bus_and_state_are_lost(network: &mut Network) {
    network.chain.deployment.redis.flush().await;
    network.has_lost_nothing().await;
    network.ledgers_agree().await;
    network.chain.deployment.redis.kill();
    network.goes_on_without().await;
    network.chain.deployment.redis.restart().await;
    network.ledgers_agree().await;
    network.chain.deployment.nats.kill();
    network.goes_on_without().await;
    network.chain.deployment.nats.restart().await;
    network.ledgers_agree().await;
    network.has_lost_nothing().await;
}

/// Tells the relay `name` to stop and starts it again; it ends by itself, within its grace.
async fn is_rolled(network: &mut Network, name: &str) {
    let stopped = network.chain.deployment.program(name).terminate().await;
    assert_eq!(
        stopped.code,
        Some(0),
        "{name} ended so after {:?}",
        stopped.took
    );
    let grace = Duration::from_secs(RELAY_GRACE_SECONDS);
    assert!(
        stopped.took < grace,
        "{name} took {:?} of {grace:?}",
        stopped.took
    );
    network.chain.deployment.program(name).restart().await;
    network.connect();
}

/// Every relay in turn, the origin last, whose publisher then comes back at another.
async fn relays_are_rolled(network: &mut Network) {
    let since = Instant::now();
    for name in SUPERNODES {
        is_rolled(network, name).await;
        network.has_lost_nothing().await;
    }
    for at in 0..EDGES {
        let name = network.edges[at].name.clone();
        is_rolled(network, &name).await;
        let edge = &network.edges[at];
        let ending = eventually("its viewer's connection ends", || async {
            edge.viewer.ending()
        })
        .await;
        assert_eq!(ending, Ending::AtTagBorder);
        let relay = network.chain.deployment.program(&name);
        let node = relay.node();
        let media = relay.door("media");
        let viewer = Viewer::start(media, SLUG);
        viewer.sees_more(SECOND).await;
        network.edges[at] = Leaf { name, node, viewer };
        network.has_lost_nothing().await;
    }
    let gaps = network
        .edges
        .iter()
        .map(|edge| edge.viewer.longest_gap(since));
    println!(
        "relays rolled one after another: the longest gap is {:?}",
        gaps.max().unwrap_or_default()
    );
    is_rolled(network, "origin").await;
    let rtmp = network.chain.deployment.program("second").door("rtmp");
    let _publisher = Publisher::start(rtmp, SLUG);
    for edge in &network.edges {
        edge.viewer.sees_more(SECOND).await;
        edge.viewer.frames();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_of_ten_relays_rides_through_everything() {
    let mut network = Network::start().await;
    network.ledgers_agree().await;
    supernodes_are_harmed(&mut network).await;
    control_services_are_killed(&mut network).await;
    bus_and_state_are_lost(&mut network).await;
    relays_are_rolled(&mut network).await;
}
