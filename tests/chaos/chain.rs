//! A stream that runs from an origin over the supernode `middle` to leaves.

use astral_proto::NodeId;
use astral_proto::limits::LEASE;
use astral_proto::model::{NodeState, TreeRelay};
use harness::{Deployment, Gateway, Publisher, Viewer, assert_same_frames, eventually};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// The stream.
pub const SLUG: &str = "demo";
/// Frames that a viewer gets in about a second.
pub const SECOND: usize = 73;
/// Frames in which every lease ends that is not renewed.
const LONGER_THAN_A_LEASE: usize = (LEASE.as_secs() as usize + 2) * SECOND;
/// Leaves tried for one that hangs off the middle; a starved machine drives some of them to the origin at once.
const LEAVES_TRIED: usize = 4;

/// The network, its publisher, and a viewer at the origin, which nothing is done to.
pub struct Chain {
    pub deployment: Deployment,
    pub origin: Viewer,
    leaves: usize,
    publisher: Publisher,
}

/// What a leaf is.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A media forwarder.
    Relay,
    /// An astralnode.
    Edge,
}

/// A relay of its own with a viewer.
pub struct Leaf {
    pub name: String,
    pub node: NodeId,
    pub viewer: Viewer,
}

impl Chain {
    /// With `replicas` of each control service; `middle` is started with `flags`.
    pub async fn start(replicas: usize, flags: &[&str]) -> Self {
        Self::begin(Deployment::start(replicas).await, flags).await
    }

    /// With two of each control service, and wires to the bus and the state that can be cut.
    pub async fn start_wired() -> Self {
        Self::begin(Deployment::start_wired(2).await, &[]).await
    }

    /// With two of each control service, and the clocks of some processes wrong by so much.
    pub async fn start_with_clocks(clocks: &[(&'static str, &'static str)]) -> Self {
        Self::begin(Deployment::start_with_clocks(2, clocks).await, &[]).await
    }

    async fn begin(mut deployment: Deployment, flags: &[&str]) -> Self {
        deployment.add_relay("middle", "supernode", flags).await;
        let relay = deployment.add_relay("origin", "node", &[]).await;
        let rtmp = relay.door("rtmp");
        let media = relay.door("media");
        let publisher = Publisher::start(rtmp, SLUG);
        deployment.gateway().lists_live(SLUG).await;
        let origin = Viewer::start(media, SLUG);
        origin.sees_more(1).await;
        Self {
            deployment,
            origin,
            leaves: 0,
            publisher,
        }
    }

    /// The publisher is gone, and comes back at the relay `rtmp`.
    pub fn moves_its_publisher(&mut self, rtmp: SocketAddr) {
        self.publisher = Publisher::start(rtmp, SLUG);
    }

    pub fn gateway(&mut self) -> Gateway {
        self.deployment.gateway()
    }

    pub fn node(&mut self, name: &str) -> NodeId {
        self.deployment.program(name).node()
    }

    /// A new leaf somewhere in the tree, whose viewer is served.
    pub async fn leaf(&mut self) -> Leaf {
        self.new_leaf(Kind::Relay).await
    }

    async fn new_leaf(&mut self, kind: Kind) -> Leaf {
        self.leaves += 1;
        let name = format!("leaf-{}", self.leaves);
        let relay = match kind {
            Kind::Relay => self.deployment.add_relay(&name, "node", &[]).await,
            Kind::Edge => self.deployment.add_edge(&name, "node").await,
        };
        let node = relay.node();
        let media = relay.door("media");
        let viewer = Viewer::start(media, SLUG);
        viewer.sees_more(SECOND).await;
        Leaf { name, node, viewer }
    }

    /// A new leaf that hangs off the middle and has a standby.
    pub async fn leaf_below_the_middle(&mut self) -> Leaf {
        self.leaf_below("middle", Kind::Relay).await
    }

    /// A new leaf that hangs off the supernode `name` and has a standby.
    pub async fn leaf_below(&mut self, name: &str, kind: Kind) -> Leaf {
        let above = Some(self.node(name));
        for _ in 0..LEAVES_TRIED {
            let leaf = self.new_leaf(kind).await;
            let is = |relay: &TreeRelay| {
                relay.provider.is_some() && (relay.provider != above || relay.standby.is_some())
            };
            let what = "a leaf hangs off its supernode with a standby";
            if self
                .gateway()
                .stands(what, SLUG, leaf.node, is)
                .await
                .provider
                == above
            {
                return leaf;
            }
            self.deployment.remove(&leaf.name);
        }
        panic!("none of {LEAVES_TRIED} leaves hangs off {name}");
    }

    /// The leaf's viewer sees a second more than it had, and has had every frame that the origin's viewer had.
    pub async fn has_lost_nothing(&self, leaf: &Leaf) {
        leaf.viewer.sees_more(SECOND).await;
        let seen = leaf.viewer.count();
        eventually("the origin's viewer is as far", || async {
            (self.origin.count() >= seen).then_some(())
        })
        .await;
        assert_same_frames(&leaf.viewer, &self.origin);
    }

    /// Waits until the leaf is out of the harm done at `since`; the longest time in which nothing arrived.
    pub async fn gap(&self, leaf: &Leaf, since: Instant) -> Duration {
        self.has_lost_nothing(leaf).await;
        leaf.viewer.longest_gap(since)
    }

    /// Waits until the network has given up the node `lost`.
    pub async fn is_given_up(&mut self, lost: NodeId) {
        let gateway = self.gateway();
        eventually("the lease of a node that is gone ends", || async {
            let nodes = gateway.nodes().await?;
            let known = nodes
                .iter()
                .any(|node| node.uuid == lost && node.state != NodeState::Lost);
            (!known).then_some(())
        })
        .await;
    }

    /// Waits until the stream is listed live, and the tree has `leaf` with a provider.
    pub async fn is_shown_with(&mut self, leaf: &Leaf) {
        let gateway = self.gateway();
        gateway.lists_live(SLUG).await;
        let is = |relay: &TreeRelay| relay.provider.is_some();
        gateway
            .stands("the tree has the leaf", SLUG, leaf.node, is)
            .await;
    }

    /// The stream is shown with `leaf`, and a viewer at a new relay is served.
    pub async fn is_whole_again(&mut self, leaf: &Leaf) {
        self.is_shown_with(leaf).await;
        let new = self.leaf().await;
        self.is_shown_with(&new).await;
        self.has_lost_nothing(&new).await;
        self.deployment.remove(&new.name);
        self.has_lost_nothing(leaf).await;
    }

    /// The leaf is served on while every lease ends that nobody renews.
    pub async fn outlives_leases(&self, leaf: &Leaf) {
        leaf.viewer.sees_more(LONGER_THAN_A_LEASE).await;
        self.has_lost_nothing(leaf).await;
    }
}
