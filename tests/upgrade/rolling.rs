//! Every process of a network is replaced by one of the other version, one after another.

use crate::version::Version;
use harness::chain::{Chain, Kind, Leaf, SECOND, SLUG};
use harness::processes::{CONTROL, Proxy, RELAY_GRACE_SECONDS};
use harness::{Deployment, Ending, Viewer, assert_same_frames, eventually};
use std::path::PathBuf;
use std::time::Duration;

const REPLICAS: usize = 2;
const SUPERNODES: [&str; 2] = ["middle", "second"];

/// A network in the middle of its upgrade.
struct Upgrade {
    chain: Chain,
    leaves: Vec<Leaf>,
    /// Where astralnodes find a gateway, as behind a Service: its address stays when gateways are replaced.
    gateways: Proxy,
    to: PathBuf,
    from: PathBuf,
}

impl Upgrade {
    /// Starts the whole network in the version `from`, with a viewer at a leaf of each kind below each supernode.
    async fn start(from: Version) -> Self {
        let deployment = Deployment::start_from(&from.folder(), REPLICAS).await;
        let mut chain = Chain::start_on(deployment, &[]).await;
        chain.deployment.add_relay("second", "supernode", &[]).await;
        let gateways = Proxy::start().await;
        chain.join_edges_at(gateways.address());
        let mut upgrade = Self {
            chain,
            leaves: Vec::new(),
            gateways,
            to: from.other().folder(),
            from: from.folder(),
        };
        upgrade.lead_to_gateways(&[1, 2]);
        for kind in [Kind::Relay, Kind::Edge] {
            let leaf = upgrade.chain.leaf_below("middle", kind).await;
            upgrade.leaves.push(leaf);
        }
        upgrade
    }

    fn lead_to_gateways(&mut self, numbers: &[usize]) {
        let door = |number: &usize| {
            let name = format!("rest-gateway-{number}");
            self.chain.deployment.program(&name).door("http")
        };
        let doors: Vec<_> = numbers.iter().map(door).collect();
        self.gateways.spread_over(&doors);
    }

    /// Replaces the process `name`, which ends by itself within its grace.
    async fn replace(&mut self, name: &str) {
        println!("{name} is replaced");
        let stopped = self
            .chain
            .deployment
            .program(name)
            .replace_from(&self.to)
            .await;
        assert_eq!(stopped.code, Some(0), "{name} ended so: {stopped:?}");
        let grace = Duration::from_secs(RELAY_GRACE_SECONDS);
        assert!(stopped.took < grace, "{name}: {stopped:?}");
    }

    /// Replaces each replica of each control service. While both versions answer, relays of both versions join.
    async fn replace_control(&mut self) {
        for service in CONTROL {
            for number in 1..=REPLICAS {
                if service == "rest-gateway" {
                    self.lead_to_gateways(&[REPLICAS + 1 - number]);
                }
                self.replace(&format!("{service}-{number}")).await;
                self.lead_to_gateways(&[1, 2]);
                self.has_lost_nothing().await;
                self.relays_of_both_versions_join().await;
            }
        }
    }

    async fn relays_of_both_versions_join(&mut self) {
        for folder in [self.from.clone(), self.to.clone()] {
            self.chain.deployment.start_programs_from(&folder);
            self.chain.is_whole_again(&self.leaves[0]).await;
        }
    }

    /// Replaces each supernode, and has relays of both versions pull from it.
    async fn replace_supernodes(&mut self) {
        for name in SUPERNODES {
            self.replace(name).await;
            self.has_lost_nothing().await;
            for folder in [self.from.clone(), self.to.clone()] {
                self.chain.deployment.start_programs_from(&folder);
                let leaf = self.chain.leaf_below(name, Kind::Relay).await;
                self.chain.has_lost_nothing(&leaf).await;
                self.chain.deployment.remove(&leaf.name);
            }
        }
    }

    /// Replaces each leaf. Its viewer is served to the end of a frame and comes back.
    async fn replace_leaves(&mut self) {
        for at in 0..self.leaves.len() {
            let name = self.leaves[at].name.clone();
            self.replace(&name).await;
            let old = &self.leaves[at].viewer;
            let ending = eventually("a viewer's connection ends", || async { old.ending() }).await;
            assert_eq!(ending, Ending::AtTagBorder);
            let program = self.chain.deployment.program(&name);
            let node = program.node();
            let viewer = Viewer::start(program.door("media"), SLUG);
            viewer.sees_more(SECOND).await;
            self.leaves[at] = Leaf { name, node, viewer };
            self.has_lost_nothing().await;
        }
    }

    /// Replaces the origin. Its publisher comes back at a supernode, and all leaves see the same frames.
    async fn replace_origin(&mut self) {
        self.replace("origin").await;
        let rtmp = self.chain.deployment.program("second").door("rtmp");
        self.chain.moves_its_publisher(rtmp);
        for leaf in &self.leaves {
            leaf.viewer.sees_more(SECOND).await;
        }
        let [first, others @ ..] = &*self.leaves else {
            panic!("there are leaves")
        };
        for other in others {
            assert_same_frames(&first.viewer, &other.viewer);
        }
    }

    async fn has_lost_nothing(&self) {
        for leaf in &self.leaves {
            self.chain.has_lost_nothing(leaf).await;
        }
    }
}

async fn a_network_is_replaced_process_by_process(from: Version) {
    let mut upgrade = Upgrade::start(from).await;
    upgrade.replace_control().await;
    upgrade.replace_supernodes().await;
    upgrade.replace_leaves().await;
    upgrade.replace_origin().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_of_one_process_at_a_time_costs_no_frame() {
    a_network_is_replaced_process_by_process(Version::Previous).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_downgrade_of_one_process_at_a_time_costs_no_frame() {
    a_network_is_replaced_process_by_process(Version::This).await;
}
