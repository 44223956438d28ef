//! The relay above a leaf is killed, frozen, or cut off, and a publisher holds its breath.

use crate::world::{Node, World};
use astral_control_tests::demo;
use astral_proto::NodeId;
use astral_proto::limits::LEASE;
use astral_proto::message::Inject;
use astral_proto::model::{Fault, Role};
use astral_relay::node::RelayRequest;
use harness::{Viewer, assert_same_frames, eventually};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Frames that a viewer gets in a second.
const SECOND: usize = 73;
/// Between two frames when nothing is wrong: pictures come 30 a second.
const FRAME: Duration = Duration::from_millis(34);
/// A provider is given up after half a second without a record; keep-alives are 100 ms apart.
const SILENCE: Duration = Duration::from_millis(500);

/// An origin, two supernodes, and a leaf with a viewer.
struct Chain {
    world: World,
    origin_node: Node,
    origin: Viewer,
    supernodes: Vec<Node>,
    leaf: Node,
    viewer: Viewer,
    publisher: crate::publisher::Publisher,
}

impl Chain {
    async fn start() -> Self {
        let world = World::start().await;
        let origin = world.join(Role::Node).await;
        let supernodes = vec![
            world.join(Role::Supernode).await,
            world.join(Role::Supernode).await,
        ];
        let leaf = world.join(Role::Node).await;
        let publisher = world.publish(&origin, &demo()).await;
        let at_origin = origin.watch(&demo());
        let viewer = leaf.watch(&demo());
        at_origin.sees_more(SECOND).await;
        viewer.sees_more(SECOND).await;
        Self {
            world,
            origin_node: origin,
            origin: at_origin,
            supernodes,
            leaf,
            viewer,
            publisher,
        }
    }

    /// The supernode that feeds the leaf; none if it is the origin.
    async fn middle(&self) -> Option<usize> {
        let provider = self.world.provider(&self.leaf, &demo()).await;
        self.supernodes
            .iter()
            .position(|supernode| supernode.relay.node() == provider)
    }

    /// A new leaf in place of the one there was.
    async fn moves_on(&mut self) {
        self.leaf.kill();
        self.leaf = self.world.join(Role::Node).await;
        self.viewer = self.leaf.watch(&demo());
        self.viewer.sees_more(SECOND).await;
    }

    /// The longest time without a frame at the leaf since `since`, of which none was lost.
    async fn gap(&self, since: Instant) -> Duration {
        self.viewer.sees_more(2 * SECOND).await;
        let seen = self.viewer.count();
        eventually("the origin's viewer is as far", || async {
            (self.origin.count() >= seen).then_some(())
        })
        .await;
        assert_same_frames(&self.viewer, &self.origin);
        self.viewer.longest_gap(since)
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_provider_costs_no_frame_and_no_time() {
    let chain = Chain::start().await;
    let middle = chain
        .middle()
        .await
        .expect("supernodes come before the origin");
    let since = Instant::now();
    chain.supernodes[middle].kill();
    let gap = chain.gap(since).await;
    assert!(gap <= 2 * FRAME, "{gap:?}");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_provider_costs_no_frame_and_half_a_second() {
    let chain = Chain::start().await;
    let middle = chain
        .middle()
        .await
        .expect("supernodes come before the origin");
    let since = Instant::now();
    let freeze = Inject {
        fault: Fault::Freeze,
        seconds: 30,
    };
    freeze
        .answer(&chain.supernodes[middle].relay)
        .await
        .expect("drills are allowed");
    let gap = chain.gap(since).await;
    assert!((SILENCE..=SILENCE + 2 * FRAME).contains(&gap), "{gap:?}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_behind_a_partition_costs_no_frame_and_half_a_second() {
    let chain = Chain::start().await;
    let middle = chain
        .middle()
        .await
        .expect("supernodes come before the origin");
    let since = Instant::now();
    chain.supernodes[middle].passes(false);
    let gap = chain.gap(since).await;
    assert!((SILENCE..=SILENCE + 2 * FRAME).contains(&gap), "{gap:?}");
    chain.supernodes[middle].passes(true);
    assert!(chain.gap(Instant::now()).await <= 2 * FRAME);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_holds_its_breath_moves_nobody() {
    let chain = Chain::start().await;
    let before = chain.middle().await;
    for seconds in [1, 3, 8] {
        chain.publisher.sends(false);
        sleep(Duration::from_secs(seconds)).await;
        chain.publisher.sends(true);
        chain.gap(Instant::now()).await;
        assert_eq!(chain.middle().await, before, "after {seconds} s");
    }
}

/// The process has crashed, and another one is at its address at once. Its encoder connects again after a second.
#[tokio::test(start_paused = true)]
async fn an_origin_that_crashes_and_starts_again_at_its_address_is_let_in_at_once() {
    let mut chain = Chain::start().await;
    let since = Instant::now();
    let address = chain.origin_node.address();
    chain.origin_node.kill();
    sleep(Duration::from_millis(500)).await;
    let again = chain
        .world
        .join_at(NodeId::random(), Role::Node, address)
        .await;
    assert!(
        since.elapsed() < Duration::from_secs(2),
        "it was refused for {:?}",
        since.elapsed()
    );
    sleep(Duration::from_millis(500)).await;
    chain.publisher = chain.world.publish(&again, &demo()).await;
    chain.viewer.sees_more(2 * SECOND).await;
    let gap = chain.viewer.longest_gap(since);
    assert!(gap < Duration::from_secs(4), "{gap:?}");
}

/// The relay that feeds the leaf dies again and again; the next standby is never the one that has just died.
#[tokio::test(start_paused = true)]
async fn a_new_standby_is_not_the_provider_that_has_just_died() {
    let mut chain = Chain::start().await;
    for _ in 0..2 {
        let middle = chain
            .middle()
            .await
            .expect("supernodes come before the origin");
        let since = Instant::now();
        let dead = chain.supernodes[middle].relay.node();
        chain.supernodes.remove(middle).kill();
        while since.elapsed() < 2 * LEASE {
            let standby = chain.leaf.tickets().1.map(|standby| standby.provider);
            let is_dead = standby == Some(dead) && since.elapsed() > SILENCE;
            assert!(!is_dead, "{:?} after its death", since.elapsed());
            sleep(FRAME).await;
        }
        chain
            .supernodes
            .push(chain.world.join(Role::Supernode).await);
        chain
            .supernodes
            .iter()
            .for_each(|supernode| drop(supernode.watch(&demo())));
        sleep(Duration::from_secs(20)).await;
        chain.moves_on().await;
    }
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_of_dying_supernodes_cost_no_frame() {
    let mut chain = Chain::start().await;
    for minute in 0..10 {
        let middle = chain
            .middle()
            .await
            .expect("supernodes come before the origin");
        let since = Instant::now();
        chain.supernodes.remove(middle).kill();
        chain
            .supernodes
            .push(chain.world.join(Role::Supernode).await);
        let gap = chain.gap(since).await;
        assert!(gap <= 2 * FRAME, "minute {minute}: {gap:?}");
        sleep(Duration::from_secs(60)).await;
        chain.moves_on().await;
    }
}
