//! Relays that no control service hears: their streams go on for as long as frames flow.

use crate::publisher::Publisher;
use crate::world::{Node, World};
use astral_control_tests::demo;
use astral_proto::limits::LEASE;
use astral_proto::model::{NodeState, Role, StreamState};
use harness::{Viewer, assert_same_frames, eventually};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Frames that a viewer gets in a second.
const SECOND: usize = 73;
/// Between two frames when nothing is wrong: pictures come 30 a second.
const FRAME: Duration = Duration::from_millis(34);
/// For how long a relay reaches no control service: every lease and every grace window ends in it.
const AWAY: Duration = Duration::from_secs(40);

/// An origin, two supernodes, and two leaves with viewers.
struct Network {
    world: World,
    origin: Node,
    at_origin: Viewer,
    supernodes: [Node; 2],
    leaves: [Node; 2],
    viewers: [Viewer; 2],
    _publisher: Publisher,
}

impl Network {
    async fn start() -> Self {
        let world = World::start().await;
        let origin = world.join(Role::Node).await;
        let supernodes = [
            world.join(Role::Supernode).await,
            world.join(Role::Supernode).await,
        ];
        let leaves = [world.join(Role::Node).await, world.join(Role::Node).await];
        let _publisher = world.publish(&origin, &demo()).await;
        let at_origin = origin.watch(&demo());
        at_origin.sees_more(SECOND).await;
        let viewers = [leaves[0].watch(&demo()), leaves[1].watch(&demo())];
        for viewer in &viewers {
            viewer.sees_more(SECOND).await;
        }
        let network = Self {
            world,
            origin,
            at_origin,
            supernodes,
            leaves,
            viewers,
            _publisher,
        };
        for leaf in &network.leaves {
            network.world.provider(leaf, &demo()).await;
        }
        network
    }

    /// The supernode that feeds the first leaf.
    async fn feeding(&self) -> &Node {
        let provider = self.world.provider(&self.leaves[0], &demo()).await;
        let feeding = self
            .supernodes
            .iter()
            .find(|supernode| supernode.relay.node() == provider);
        feeding.expect("supernodes come before the origin")
    }

    /// Takes the control plane away from `nodes` for a while. No viewer loses a frame or waits for one, and the stream
    /// is live in the same epoch all the time.
    async fn goes_on_without_control_of(&self, nodes: &[&Node]) {
        let since = Instant::now();
        let before = self.world.stream(&demo()).await;
        nodes.iter().for_each(|node| node.loses_control_plane(true));
        while since.elapsed() < AWAY {
            sleep(Duration::from_secs(1)).await;
            self.is_live_in(before.epoch, since).await;
        }
        nodes
            .iter()
            .for_each(|node| node.loses_control_plane(false));
        while since.elapsed() < 2 * AWAY {
            sleep(Duration::from_secs(1)).await;
            self.is_live_in(before.epoch, since).await;
        }
        self.has_lost_nothing(since).await;
        for node in nodes {
            assert_eq!(self.world.state(node).await, Some(NodeState::Up));
        }
    }

    async fn is_live_in(&self, epoch: u64, since: Instant) {
        let stream = self.world.stream(&demo()).await;
        assert_eq!(
            (stream.state, stream.epoch),
            (StreamState::Live, epoch),
            "after {:?}",
            since.elapsed()
        );
    }

    async fn has_lost_nothing(&self, since: Instant) {
        for viewer in &self.viewers {
            viewer.sees_more(SECOND).await;
            let seen = viewer.count();
            let is_as_far = || async { (self.at_origin.count() >= seen).then_some(()) };
            eventually("the origin's viewer is as far", is_as_far).await;
            assert_same_frames(viewer, &self.at_origin);
            let gap = viewer.longest_gap(since);
            assert!(gap <= 2 * FRAME, "{gap:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_nobody_hears_stays_live_for_as_long_as_it_takes() {
    let network = Network::start().await;
    network.goes_on_without_control_of(&[&network.origin]).await;
}

#[tokio::test(start_paused = true)]
async fn a_supernode_that_nobody_hears_feeds_its_leaves_for_as_long_as_it_takes() {
    let network = Network::start().await;
    let supernode = network.feeding().await;
    network.goes_on_without_control_of(&[supernode]).await;
}

#[tokio::test(start_paused = true)]
async fn a_leaf_that_nobody_hears_keeps_its_picture_for_as_long_as_it_takes() {
    let network = Network::start().await;
    network
        .goes_on_without_control_of(&[&network.leaves[0]])
        .await;
}

#[tokio::test(start_paused = true)]
async fn relays_at_both_ends_of_a_link_that_nobody_hears_keep_it() {
    let network = Network::start().await;
    let supernode = network.feeding().await;
    network
        .goes_on_without_control_of(&[&network.origin, supernode, &network.leaves[0]])
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_nobody_hears_is_suspected_and_gets_no_viewer() {
    let network = Network::start().await;
    network.origin.loses_control_plane(true);
    sleep(LEASE + Duration::from_secs(2)).await;
    assert_eq!(
        network.world.state(&network.origin).await,
        Some(NodeState::Suspected)
    );
    network.origin.loses_control_plane(false);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(
        network.world.state(&network.origin).await,
        Some(NodeState::Up)
    );
}

/// Without a carrier there is nobody to ask whether it lives.
#[tokio::test(start_paused = true)]
async fn an_origin_without_carriers_that_nobody_hears_is_live_again_in_its_epoch_as_soon_as_it_is_heard()
 {
    let world = World::start().await;
    let origin = world.join(Role::Node).await;
    let _publisher = world.publish(&origin, &demo()).await;
    let viewer = origin.watch(&demo());
    viewer.sees_more(SECOND).await;
    let since = Instant::now();
    let epoch = world.stream(&demo()).await.epoch;
    origin.loses_control_plane(true);
    sleep(LEASE + Duration::from_secs(4)).await;
    assert_eq!(world.stream(&demo()).await.state, StreamState::Grace);
    sleep(AWAY).await;
    origin.loses_control_plane(false);
    sleep(Duration::from_secs(6)).await;
    let stream = world.stream(&demo()).await;
    assert_eq!((stream.state, stream.epoch), (StreamState::Live, epoch));
    viewer.sees_more(SECOND).await;
    assert!(viewer.longest_gap(since) <= 2 * FRAME);
}
