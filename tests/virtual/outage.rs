//! The only provider of a relay is away for longer than anybody waits for a publisher. Once it is back, so is the stream.

use crate::publisher::Publisher;
use crate::world::{Node, World};
use astral_control_tests::demo;
use astral_proto::message::{DeleteStream, GetStream, Inject};
use astral_proto::model::{Fault, Role, StreamState, Ticket};
use astral_relay::node::RelayRequest;
use harness::{Viewer, eventually};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Frames that a viewer gets in a second.
const SECOND: usize = 73;
/// Longer than the grace window and a lease together, after which relays used to call the stream ended for ever.
const AWAY: Duration = Duration::from_secs(25);
/// In which a viewer must see the stream again.
const AGAIN: Duration = Duration::from_secs(4);

/// An origin, and relays of which each hangs off the one before.
struct Chain {
    world: World,
    relays: Vec<Node>,
    publisher: Option<Publisher>,
}

impl Chain {
    /// Of three relays below the origin at most: a supernode, its child, and whom nobody else has room for.
    async fn start(below: usize) -> Self {
        let world = World::start().await;
        let origin = world.join(Role::Node).await;
        let publisher = Some(world.publish(&origin, &demo()).await);
        let mut chain = Self {
            world,
            relays: vec![origin],
            publisher,
        };
        for number in 0..below {
            let role = if number == 0 {
                Role::Supernode
            } else {
                Role::Node
            };
            chain.add(role).await;
        }
        chain
    }

    async fn add(&mut self, role: Role) {
        let relay = self.world.join(role).await;
        relay.watch(&demo()).sees_more(SECOND).await;
        self.relays.push(relay);
    }

    fn origin(&self) -> &Node {
        &self.relays[0]
    }

    fn last(&self) -> &Node {
        self.relays.last().expect("there is an origin")
    }

    /// A viewer of each relay below the origin sees the stream soon, whoever comes now.
    async fn is_seen_again(&self) {
        let since = Instant::now();
        let viewers: Vec<Viewer> = self.relays[1..]
            .iter()
            .map(|relay| relay.watch(&demo()))
            .collect();
        for viewer in &viewers {
            viewer.sees_more(SECOND).await;
            viewer.frames();
        }
        assert!(since.elapsed() < AGAIN, "{:?}", since.elapsed());
    }

    async fn is_live(&self) {
        let is_live = || async {
            let stream = self.world.ask(GetStream { slug: demo() }).await.ok()?;
            (stream.state == StreamState::Live).then_some(())
        };
        eventually("the stream is live", is_live).await;
    }

    async fn freezes_its_origin(&self) {
        let freeze = Inject {
            fault: Fault::Freeze,
            seconds: AWAY.as_secs() as u32,
        };
        freeze
            .answer(&self.origin().relay)
            .await
            .expect("drills are allowed");
        sleep(AWAY).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_relay_whose_only_provider_froze_shows_the_stream_again() {
    let chain = Chain::start(1).await;
    let viewer = chain.last().watch(&demo());
    viewer.sees_more(SECOND).await;
    chain.freezes_its_origin().await;
    let since = Instant::now();
    viewer.sees_more(SECOND).await;
    assert!(since.elapsed() < AGAIN, "{:?}", since.elapsed());
    chain.is_seen_again().await;
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_could_not_reach_its_only_provider_shows_the_stream_again() {
    let chain = Chain::start(1).await;
    let viewer = chain.last().watch(&demo());
    viewer.sees_more(SECOND).await;
    chain.origin().passes(false);
    sleep(AWAY).await;
    chain.origin().passes(true);
    let since = Instant::now();
    viewer.sees_more(SECOND).await;
    assert!(since.elapsed() < AGAIN, "{:?}", since.elapsed());
    chain.is_seen_again().await;
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_three_relays_shows_the_stream_again() {
    let chain = Chain::start(2).await;
    let viewers: Vec<Viewer> = chain.relays[1..]
        .iter()
        .map(|relay| relay.watch(&demo()))
        .collect();
    for viewer in &viewers {
        viewer.sees_more(SECOND).await;
    }
    let wires = chain.relays[1].wires();
    chain.freezes_its_origin().await;
    let since = Instant::now();
    for viewer in &viewers {
        viewer.sees_more(SECOND).await;
    }
    assert!(since.elapsed() < AGAIN, "{:?}", since.elapsed());
    chain.is_seen_again().await;
    let wires = chain.relays[1].wires() - wires;
    assert!(
        wires < 30,
        "{wires} links were made to a relay that had nothing to give"
    );
}

/// Whatever fails, a relay has one ticket in use and one standby at most, so that nothing is reserved for links that
/// nobody makes.
async fn reserves_once(world: &World, subscriber: &Node, time: Duration) {
    let since = Instant::now();
    while since.elapsed() < time {
        let tickets = world.tickets(&demo()).await;
        let own = |ticket: &&Ticket| ticket.subscriber == subscriber.relay.node();
        let standbys = tickets
            .iter()
            .filter(own)
            .filter(|ticket| ticket.standby)
            .count();
        let in_use = tickets.iter().filter(own).count() - standbys;
        assert!(
            in_use <= 1 && standbys <= 1,
            "after {:?}: {tickets:#?}",
            since.elapsed()
        );
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_relay_whose_links_fail_at_each_attempt_reserves_what_one_link_takes() {
    let mut chain = Chain::start(1).await;
    chain.add(Role::Supernode).await;
    let viewer = chain.last().watch(&demo());
    viewer.sees_more(SECOND).await;
    for providers in [&chain.relays[..2], &chain.relays[..1]] {
        let above = || providers.iter();
        above().for_each(|provider| provider.is_reached(false));
        above().for_each(|provider| provider.passes(false));
        reserves_once(&chain.world, chain.last(), AWAY).await;
        above().for_each(|provider| provider.is_reached(true));
        above().for_each(|provider| provider.passes(true));
        viewer.sees_more(10 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_relay_whose_links_close_as_soon_as_they_open_reserves_what_one_link_takes() {
    let chain = Chain::start(1).await;
    let viewer = chain.last().watch(&demo());
    viewer.sees_more(SECOND).await;
    chain.origin().opens_after(Duration::from_secs(1));
    chain.origin().passes(false);
    sleep(Duration::from_millis(600)).await;
    chain.origin().passes(true);
    reserves_once(&chain.world, chain.last(), AWAY).await;
    chain.origin().opens_after(Duration::ZERO);
    viewer.sees_more(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn relays_of_a_stream_that_ended_show_it_when_it_is_published_again_at_any_of_them() {
    let mut chain = Chain::start(2).await;
    for number in [0, 2, 1] {
        let viewers: Vec<Viewer> = chain.relays[1..]
            .iter()
            .map(|relay| relay.watch(&demo()))
            .collect();
        viewers[1].sees_more(SECOND).await;
        chain.publisher = None;
        sleep(AWAY).await;
        assert!(
            viewers.iter().all(|viewer| viewer.ending().is_some()),
            "the stream has ended"
        );
        chain.publisher = Some(chain.world.publish(&chain.relays[number], &demo()).await);
        chain.is_live().await;
        chain.is_seen_again().await;
    }
}

#[tokio::test(start_paused = true)]
async fn relays_show_a_stream_that_was_deleted_and_begins_anew() {
    let mut chain = Chain::start(2).await;
    let viewer = chain.last().watch(&demo());
    viewer.sees_more(20 * SECOND).await;
    chain
        .world
        .ask(DeleteStream { slug: demo() })
        .await
        .expect("it is there");
    chain.publisher = None;
    sleep(AWAY).await;
    let fresh = chain.world.join(Role::Node).await;
    chain.publisher = Some(chain.world.publish(&fresh, &demo()).await);
    chain.is_live().await;
    chain.is_seen_again().await;
}
