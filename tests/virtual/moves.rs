//! A leaf goes over to another provider though the one that it has is well: the next link is made before that one is
//! broken.

use crate::publisher::Publisher;
use crate::world::{Node, World};
use astral_control_tests::demo;
use astral_proto::NodeId;
use astral_proto::model::{Role, TreeRelay};
use harness::{Viewer, assert_same_frames, eventually};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Frames that a viewer gets in a second.
const SECOND: usize = 73;
/// Between two frames when nothing is wrong: pictures come 30 a second.
const FRAME: Duration = Duration::from_millis(34);
/// What a wire may take to open, just before its subscriber gives it up.
const SLOW: Duration = Duration::from_millis(450);
/// In which a ticket has settled, and whether there is a better place has been looked at.
const LONG: Duration = Duration::from_secs(120);

/// An origin, a supernode, and a leaf below it with a viewer.
struct Network {
    world: World,
    origin: Node,
    at_origin: Viewer,
    supernode: Node,
    leaf: Node,
    viewer: Viewer,
    _publisher: Publisher,
}

impl Network {
    async fn start() -> Self {
        let world = World::start().await;
        let origin = world.join(Role::Node).await;
        let supernode = world.join(Role::Supernode).await;
        let leaf = world.join(Role::Node).await;
        let _publisher = world.publish(&origin, &demo()).await;
        let (at_origin, viewer) = (origin.watch(&demo()), leaf.watch(&demo()));
        at_origin.sees_more(SECOND).await;
        viewer.sees_more(SECOND).await;
        let network = Self { world, origin, at_origin, supernode, leaf, viewer, _publisher };
        assert_eq!(network.provider().await, network.supernode.relay.node());
        network
    }

    async fn provider(&self) -> NodeId {
        self.world.provider(&self.leaf, &demo()).await
    }

    /// The supernode dies, and the leaf goes to the origin.
    async fn loses_its_supernode(&self) {
        self.supernode.kill();
        self.viewer.sees_more(2 * SECOND).await;
        self.hangs_off(self.origin.relay.node()).await;
    }

    /// The supernode is back, with a viewer of its own, so that it carries the stream.
    async fn gets_its_supernode_back(&mut self) -> Viewer {
        self.supernode = self.world.join_as(self.supernode.relay.node(), Role::Supernode).await;
        let viewer = self.supernode.watch(&demo());
        viewer.sees_more(SECOND).await;
        viewer
    }

    async fn hangs_off(&self, provider: NodeId) {
        let (since, leaf) = (Instant::now(), self.leaf.relay.node());
        let is = |relay: &TreeRelay| relay.node == leaf && relay.provider == Some(provider);
        while !self.world.tree(&demo()).await.iter().any(is) {
            assert!(since.elapsed() < LONG, "the leaf stays where it is");
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// The longest time without a frame at the leaf since `since`; it has every frame that the origin had, once and in
    /// order.
    async fn gap(&self, since: Instant) -> Duration {
        self.viewer.sees_more(2 * SECOND).await;
        let seen = self.viewer.count();
        let is_as_far = || async { (self.at_origin.count() >= seen).then_some(()) };
        eventually("the origin's viewer is as far", is_as_far).await;
        assert_same_frames(&self.viewer, &self.at_origin);
        self.viewer.longest_gap(since)
    }
}

#[tokio::test(start_paused = true)]
async fn a_leaf_whose_supernode_dies_and_returns_goes_away_and_back_and_its_viewer_sees_neither() {
    let mut network = Network::start().await;
    let since = Instant::now();
    network.loses_its_supernode().await;
    let _viewer = network.gets_its_supernode_back().await;
    network.hangs_off(network.supernode.relay.node()).await;
    let gap = network.gap(since).await;
    assert!(gap <= 2 * FRAME, "{gap:?}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_slow_to_open_is_waited_for_at_the_one_before() {
    let mut network = Network::start().await;
    network.loses_its_supernode().await;
    let _viewer = network.gets_its_supernode_back().await;
    network.supernode.opens_after(SLOW);
    let since = Instant::now();
    network.hangs_off(network.supernode.relay.node()).await;
    let gap = network.gap(since).await;
    assert!(gap <= 2 * FRAME, "{gap:?}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_cannot_be_reached_after_all_costs_nothing() {
    let mut network = Network::start().await;
    network.loses_its_supernode().await;
    let _viewer = network.gets_its_supernode_back().await;
    network.supernode.opens_after(2 * SLOW);
    let since = Instant::now();
    sleep(LONG).await;
    let gap = network.gap(since).await;
    assert!(gap <= 2 * FRAME, "{gap:?}");
    network.hangs_off(network.origin.relay.node()).await;
}

#[tokio::test(start_paused = true)]
async fn a_supernode_that_leaves_serves_until_the_next_link_is_made() {
    let network = Network::start().await;
    network.origin.opens_after(SLOW);
    let since = Instant::now();
    network.supernode.relay.drain_by(since + Duration::from_secs(20)).await;
    network.hangs_off(network.origin.relay.node()).await;
    let gap = network.gap(since).await;
    assert!(gap <= 2 * FRAME, "{gap:?}");
}
