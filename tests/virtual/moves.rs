//! A leaf goes over to another provider though the one that it has is well: the next link is made before that one is
//! broken.

use crate::publisher::Publisher;
use crate::world::{Node, World};
use astral_control_tests::demo;
use astral_proto::limits::{LINK_SILENCE, OFFER};
use astral_proto::message::{Move, Offer, Replacement};
use astral_proto::model::{Role, TreeRelay};
use astral_proto::{NodeId, TicketId};
use astral_relay::node::{RelayRequest, drain_by};
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
/// In which a relay is back at its supernode, where few others move.
const HALF_A_MINUTE: Duration = Duration::from_secs(30);

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
        let at_origin = origin.watch(&demo());
        let viewer = leaf.watch(&demo());
        at_origin.sees_more(SECOND).await;
        viewer.sees_more(SECOND).await;
        let network = Self {
            world,
            origin,
            at_origin,
            supernode,
            leaf,
            viewer,
            _publisher,
        };
        assert_eq!(network.provider().await, network.supernode.relay.node());
        network
    }

    /// Another supernode, and a new leaf in place of the one there was.
    async fn with_a_leaf_below_two_supernodes(mut self) -> (Self, Node) {
        let other = self.world.join(Role::Supernode).await;
        other.watch(&demo()).sees_more(SECOND).await;
        self.leaf.kill();
        self.leaf = self.world.join(Role::Node).await;
        self.viewer = self.leaf.watch(&demo());
        self.viewer.sees_more(SECOND).await;
        (self, other)
    }

    async fn provider(&self) -> NodeId {
        self.world.provider(&self.leaf, &demo()).await
    }

    /// The ticket that the leaf pulls by.
    fn ticket(&self) -> TicketId {
        self.leaf.tickets().0.expect("it has one").id
    }

    /// Tells the leaf to go over from `left` to `by`.
    async fn replace(&self, left: TicketId, by: &Offer) {
        let request = Move {
            replaced: vec![Replacement {
                left,
                by: by.clone(),
            }],
        };
        let moved = request.answer(&self.leaf.relay).await;
        moved.expect("a relay takes every move");
    }

    async fn is_given_back(&self, id: TicketId) {
        let knows = || async { (!self.world.knows(&demo(), id).await).then_some(()) };
        eventually("a ticket is given back", knows).await;
    }

    /// The supernode dies, and the leaf goes to the origin.
    async fn loses_its_supernode(&self) {
        self.supernode.kill();
        self.viewer.sees_more(2 * SECOND).await;
        self.hangs_off(self.origin.relay.node()).await;
    }

    /// The supernode is back, with a viewer of its own, so that it carries the stream.
    async fn gets_its_supernode_back(&mut self) -> Viewer {
        self.supernode = self
            .world
            .join_as(self.supernode.relay.node(), Role::Supernode)
            .await;
        let viewer = self.supernode.watch(&demo());
        viewer.sees_more(SECOND).await;
        viewer
    }

    async fn hangs_off(&self, provider: NodeId) {
        let since = Instant::now();
        let leaf = self.leaf.relay.node();
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
async fn a_leaf_goes_back_within_half_a_minute_to_a_supernode_that_has_nobody_else_to_carry_the_stream_for()
 {
    let mut network = Network::start().await;
    for _ in 0..3 {
        let since = Instant::now();
        network.loses_its_supernode().await;
        network.supernode = network
            .world
            .join_as(network.supernode.relay.node(), Role::Supernode)
            .await;
        let returned = Instant::now();
        network.hangs_off(network.supernode.relay.node()).await;
        assert!(
            returned.elapsed() < HALF_A_MINUTE,
            "{:?}",
            returned.elapsed()
        );
        assert_eq!(
            network.provider().await,
            network.supernode.relay.node(),
            "it has a standby again"
        );
        let gap = network.gap(since).await;
        assert!(gap <= 2 * FRAME, "{gap:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leaf_whose_supernode_lets_the_stream_go_goes_back_to_it() {
    let network = Network::start().await;
    let supernode = network.supernode.relay.node();
    let since = Instant::now();
    network.supernode.is_reached(false);
    network.supernode.passes(false);
    let lets_go = || async {
        let tree = network.world.tree(&demo()).await;
        tree.iter()
            .all(|relay| relay.node != supernode)
            .then_some(())
    };
    eventually(
        "nobody can watch at the supernode, and it lets the stream go",
        lets_go,
    )
    .await;
    network.hangs_off(network.origin.relay.node()).await;
    network.supernode.passes(true);
    network.supernode.is_reached(true);
    network.hangs_off(supernode).await;
    let gap = network.gap(since).await;
    assert!(gap <= LINK_SILENCE + 2 * FRAME, "{gap:?}");
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
    let wires = network.supernode.wires();
    assert_eq!(network.provider().await, network.origin.relay.node());
    let since = Instant::now();
    while since.elapsed() < LONG {
        assert!(
            network.leaf.tickets().1.is_some(),
            "no standby after {:?}",
            since.elapsed()
        );
        sleep(FRAME).await;
    }
    let gap = network.gap(since).await;
    assert!(gap <= 2 * FRAME, "{gap:?}");
    let tried = network.supernode.wires() - wires;
    assert!(
        (1..=3).contains(&tried),
        "{tried} moves are tried in two minutes"
    );
    network.hangs_off(network.origin.relay.node()).await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_dies_while_the_next_link_is_made_is_left_for_the_standby() {
    let (network, other) = Network::start()
        .await
        .with_a_leaf_below_two_supernodes()
        .await;
    let provider = network.provider().await;
    let standby = network.leaf.tickets().1.expect("it has one").provider;
    let supernodes = [network.supernode.relay.node(), other.relay.node()];
    assert!(
        supernodes.contains(&standby),
        "the origin stands by only if nobody else does"
    );
    let by = network
        .world
        .offer(&network.leaf, &demo(), &supernodes)
        .await;
    let wires = network.origin.wires();
    let since = Instant::now();
    network.origin.opens_after(SLOW);
    network.replace(network.ticket(), &by).await;
    eventually("a move begins", || async {
        (network.origin.wires() > wires).then_some(())
    })
    .await;
    if provider == other.relay.node() {
        &other
    } else {
        &network.supernode
    }
    .kill();
    let gap = network.gap(since).await;
    assert!(gap <= 2 * FRAME, "{gap:?}");
    network.hangs_off(standby).await;
}

#[tokio::test(start_paused = true)]
async fn of_two_tickets_in_place_of_one_the_second_is_given_back() {
    let network = Network::start().await;
    let left = network.ticket();
    let exclude = [network.supernode.relay.node()];
    let first = network.world.offer(&network.leaf, &demo(), &exclude).await;
    let second = network.world.offer(&network.leaf, &demo(), &exclude).await;
    let wires = network.origin.wires();
    let since = Instant::now();
    network.replace(left, &first).await;
    network.replace(left, &second).await;
    eventually("the leaf moves", || async {
        (network.ticket() == first.id).then_some(())
    })
    .await;
    network.is_given_back(second.id).await;
    network.is_given_back(left).await;
    assert!(
        since.elapsed() < OFFER,
        "they end by themselves after {:?}",
        since.elapsed()
    );
    let late = network.world.offer(&network.leaf, &demo(), &exclude).await;
    let told = Instant::now();
    network.replace(left, &late).await;
    network.is_given_back(late.id).await;
    assert!(
        told.elapsed() < OFFER,
        "it ends by itself after {:?}",
        told.elapsed()
    );
    let gap = network.gap(since).await;
    assert!(gap <= 2 * FRAME, "{gap:?}");
    assert_eq!(
        (network.ticket(), network.origin.wires()),
        (first.id, wires + 1),
        "it moves once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_supernode_that_leaves_serves_until_the_next_link_is_made() {
    let network = Network::start().await;
    network.origin.opens_after(SLOW);
    let since = Instant::now();
    drain_by(&network.supernode.relay, since + Duration::from_secs(20)).await;
    network.hangs_off(network.origin.relay.node()).await;
    let gap = network.gap(since).await;
    assert!(gap <= 2 * FRAME, "{gap:?}");
}
