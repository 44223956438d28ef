//! A stream that runs from the relay `origin` through the supernode `middle` to leaves, between real processes.

use crate::{Deployment, Gateway, Publisher, Viewer, assert_same_frames, eventually};
use astral_proto::NodeId;
use astral_proto::limits::LEASE;
use astral_proto::model::{NodeState, TreeRelay};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// The stream.
pub const SLUG: &str = "demo";
/// Frames that a viewer gets in about a second.
pub const SECOND: usize = 73;
/// Frames in which every lease ends that is not renewed.
const LONGER_THAN_A_LEASE: usize = (LEASE.as_secs() as usize + 2) * SECOND;
/// How many leaves are started until one pulls from the right relay. On a busy machine some fail over to the origin.
const LEAVES_TRIED: usize = 4;

/// The network, its publisher, and a viewer at the origin to compare other viewers with.
pub struct Chain {
    /// The processes.
    pub deployment: Deployment,
    /// The viewer at the origin.
    pub origin: Viewer,
    leaves: usize,
    publisher: Publisher,
    /// Where astralnodes find a gateway, if not at the first one that runs.
    join_at: Option<SocketAddr>,
}

/// The program of a leaf.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A media forwarder.
    Relay,
    /// An astralnode.
    Edge,
}

/// A relay with a viewer.
pub struct Leaf {
    /// Name of its process.
    pub name: String,
    /// Its id.
    pub node: NodeId,
    /// Its viewer.
    pub viewer: Viewer,
}

impl Chain {
    /// With `replicas` of each control service; `middle` is started with `flags`.
    ///
    /// # Panics
    /// If the stream does not go live.
    pub async fn start(replicas: usize, flags: &[&str]) -> Self {
        Self::start_on(Deployment::start(replicas).await, flags).await
    }

    /// With two of each control service, and wires to the bus and the state that can be cut.
    ///
    /// # Panics
    /// If the stream does not go live.
    pub async fn start_wired() -> Self {
        Self::start_on(Deployment::start_wired(2).await, &[]).await
    }

    /// With two of each control service, and the clocks of some processes wrong by so much.
    ///
    /// # Panics
    /// If the stream does not go live.
    pub async fn start_with_clocks(clocks: &[(&'static str, &'static str)]) -> Self {
        Self::start_on(Deployment::start_with_clocks(2, clocks).await, &[]).await
    }

    /// Starts the relays `middle`, with `flags`, and `origin`, and a publisher at the origin.
    ///
    /// # Panics
    /// If the stream does not go live.
    pub async fn start_on(mut deployment: Deployment, flags: &[&str]) -> Self {
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
            join_at: None,
        }
    }

    /// Stops the publisher and starts it again at the relay that takes RTMP at `rtmp`.
    ///
    /// # Panics
    /// If there is no ffmpeg.
    pub fn moves_its_publisher(&mut self, rtmp: SocketAddr) {
        self.publisher = Publisher::start(rtmp, SLUG);
    }

    /// Has astralnodes that are added from now on join at the address `gateways`.
    pub fn join_edges_at(&mut self, gateways: SocketAddr) {
        self.join_at = Some(gateways);
    }

    /// A gateway that runs.
    ///
    /// # Panics
    /// If none does.
    pub fn gateway(&mut self) -> Gateway {
        self.deployment.gateway()
    }

    /// The id of the relay `name`.
    ///
    /// # Panics
    /// If it has not registered.
    pub fn node(&mut self, name: &str) -> NodeId {
        self.deployment.program(name).node()
    }

    /// A new leaf somewhere in the tree. Its viewer has seen a second of the stream.
    ///
    /// # Panics
    /// If its viewer sees nothing.
    pub async fn leaf(&mut self) -> Leaf {
        self.new_leaf(Kind::Relay).await
    }

    async fn new_leaf(&mut self, kind: Kind) -> Leaf {
        self.leaves += 1;
        let name = format!("leaf-{}", self.leaves);
        let relay = match kind {
            Kind::Relay => self.deployment.add_relay(&name, "node", &[]).await,
            Kind::Edge => {
                let gateway = self.join_at.unwrap_or_else(|| self.gateway().0);
                let join = format!("http://{gateway}");
                self.deployment.add_edge_joining(&name, "node", &join).await
            }
        };
        let node = relay.node();
        let media = relay.door("media");
        let viewer = Viewer::start(media, SLUG);
        viewer.sees_more(SECOND).await;
        Leaf { name, node, viewer }
    }

    /// A new leaf that pulls from `middle` and has a standby.
    ///
    /// # Panics
    /// If no new leaf comes to stand there.
    pub async fn leaf_below_the_middle(&mut self) -> Leaf {
        self.leaf_below("middle", Kind::Relay).await
    }

    /// A new leaf that pulls from the supernode `name` and has a standby.
    ///
    /// # Panics
    /// If no new leaf comes to stand there.
    pub async fn leaf_below(&mut self, name: &str, kind: Kind) -> Leaf {
        let above = Some(self.node(name));
        for _ in 0..LEAVES_TRIED {
            let leaf = self.new_leaf(kind).await;
            let is = |relay: &TreeRelay| {
                relay.provider.is_some() && (relay.provider != above || relay.standby.is_some())
            };
            let what = "a leaf pulls from its supernode and has a standby";
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
        panic!("none of {LEAVES_TRIED} leaves pulls from {name}");
    }

    /// Waits until the leaf's viewer has seen another second, and compares its frames with those of the origin's viewer.
    ///
    /// # Panics
    /// If a frame is missing or differs.
    pub async fn has_lost_nothing(&self, leaf: &Leaf) {
        leaf.viewer.sees_more(SECOND).await;
        let seen = leaf.viewer.count();
        eventually("the origin's viewer is as far", || async {
            (self.origin.count() >= seen).then_some(())
        })
        .await;
        assert_same_frames(&leaf.viewer, &self.origin);
    }

    /// Waits until the leaf has recovered from the harm done at `since`; returns the longest time without a frame.
    ///
    /// # Panics
    /// If a frame is missing or differs.
    pub async fn gap(&self, leaf: &Leaf, since: Instant) -> Duration {
        self.has_lost_nothing(leaf).await;
        leaf.viewer.longest_gap(since)
    }

    /// Waits until the network has given up the node `lost`.
    ///
    /// # Panics
    /// If it does not.
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
    ///
    /// # Panics
    /// If that does not come.
    pub async fn is_shown_with(&mut self, leaf: &Leaf) {
        let gateway = self.gateway();
        gateway.lists_live(SLUG).await;
        let is = |relay: &TreeRelay| relay.provider.is_some();
        gateway
            .stands("the tree has the leaf", SLUG, leaf.node, is)
            .await;
    }

    /// Checks that the stream is listed with `leaf`, that a new relay can join the tree and that `leaf` loses nothing by it.
    ///
    /// # Panics
    /// If one of these fails.
    pub async fn is_whole_again(&mut self, leaf: &Leaf) {
        self.is_shown_with(leaf).await;
        let new = self.leaf().await;
        self.is_shown_with(&new).await;
        self.has_lost_nothing(&new).await;
        self.deployment.remove(&new.name);
        self.has_lost_nothing(leaf).await;
    }

    /// Checks that the leaf loses nothing for longer than a lease, in which leases that nobody renews end.
    ///
    /// # Panics
    /// If a frame is missing or differs.
    pub async fn outlives_leases(&self, leaf: &Leaf) {
        leaf.viewer.sees_more(LONGER_THAN_A_LEASE).await;
        self.has_lost_nothing(leaf).await;
    }
}
