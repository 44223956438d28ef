//! Processes are cut off from the bus or from the state, closed off or without a word, or stand still: their streams go on.
//!
//! With `ASTRAL_CHAOS`, each is cut off for 40 s, in two rounds; otherwise the origin alone, for 20 s.

use crate::gaps::asked_for;
use astral_proto::model::{NodeState, Stream, StreamState};
use harness::chain::{Chain, Leaf, SECOND, SLUG};
use harness::processes::Proxy;
use harness::{Deployment, Gateway, Publisher, Viewer, assert_same_frames, eventually};
use std::time::Duration;
use tokio::time::Instant;

/// Rounds of all drills here, where they are asked for. They take long, and each is about rules and not about chance.
const ROUNDS: usize = 2;
/// For how long a process is cut off: longer than every lease and grace window together.
const AWAY_SECONDS: usize = 40;
/// The same where nobody asked for more: a lease and a grace window, and a little.
const AWAY_SECONDS_SHORT: usize = 20;
/// For how long a process stands still.
const FROZEN_SECONDS: usize = 110;
/// In which everything is as before once it is back.
const SETTLED_SECONDS: usize = 8;
/// The longest gap of an ordinary failover.
const GAP_MAX: Duration = Duration::from_millis(1_500);
/// The control services that keep state.
const SERVICES: [&str; 3] = ["directory-1", "supernode-coordinator-1", "ticket-broker-1"];
/// Half of all processes.
const HALF: [&str; 7] = [
    "origin",
    "middle",
    "leaf-1",
    "directory-1",
    "supernode-coordinator-1",
    "ticket-broker-1",
    "rest-gateway-1",
];

/// How a process is cut off.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Its connections are closed, and new ones too.
    Closed,
    /// Nothing arrives, and nobody is told.
    BlackHole,
}

/// What a process is cut off from.
#[derive(Clone, Copy, Debug)]
enum Outside {
    Bus,
    State,
}

/// An origin, two supernodes, and a leaf below each; two of each control service.
struct Network {
    chain: Chain,
    leaves: [Leaf; 2],
    /// Of the second supernode, so that it carries the stream.
    _viewer: Viewer,
}

impl Network {
    async fn start() -> Self {
        let mut chain = Chain::start_wired().await;
        let first = chain.leaf_below_the_middle().await;
        let media = chain
            .deployment
            .add_relay("second", "supernode", &[])
            .await
            .door("media");
        let viewer = Viewer::start(media, SLUG);
        viewer.sees_more(SECOND).await;
        let second = chain.leaf().await;
        Self {
            chain,
            leaves: [first, second],
            _viewer: viewer,
        }
    }

    /// The gateway that is never cut off.
    fn gateway(&mut self) -> Gateway {
        Gateway(self.chain.deployment.program("rest-gateway-2").door("http"))
    }

    fn wire(&self, process: &str, outside: Outside) -> &Proxy {
        match outside {
            Outside::Bus => self.chain.deployment.bus_wire(process),
            Outside::State => self.chain.deployment.state_wire(process),
        }
    }

    async fn stream(&mut self) -> Stream {
        let gateway = self.gateway();
        eventually("the stream is shown live", || async {
            gateway
                .stream(SLUG)
                .await
                .filter(|stream| stream.state == StreamState::Live)
        })
        .await
    }

    /// Cuts `processes` off for a while.
    async fn rides_through(
        &mut self,
        processes: &[&str],
        outside: Outside,
        cut: Cut,
        seconds: usize,
    ) {
        let since = Instant::now();
        let before = self.stream().await;
        for process in processes {
            let wire = self.wire(process, outside);
            match cut {
                Cut::Closed => wire.cut(),
                Cut::BlackHole => wire.part(),
            }
        }
        self.goes_on(&before, seconds).await;
        processes
            .iter()
            .for_each(|process| self.wire(process, outside).mend());
        self.is_as_before(&before, since).await;
        println!(
            "{processes:?} without {outside:?}, {cut:?}: {:?}",
            self.longest_gap(since)
        );
    }

    /// Has a process stand still for a while.
    async fn rides_through_a_frozen(&mut self, process: &str) {
        let since = Instant::now();
        let before = self.stream().await;
        self.chain.deployment.program(process).freeze();
        self.goes_on(&before, FROZEN_SECONDS).await;
        self.chain.deployment.program(process).thaw();
        self.is_as_before(&before, since).await;
        println!("{process} frozen: {:?}", self.longest_gap(since));
    }

    /// Has the bus take no more connections than there are while a process has lost its own.
    async fn rides_through_a_full_bus(&mut self, without: &str) {
        let since = Instant::now();
        let before = self.stream().await;
        let others = self.chain.deployment.programs().count() - 1;
        self.wire(without, Outside::Bus).cut();
        self.chain.deployment.nats.limit_connections(others);
        self.wire(without, Outside::Bus).mend();
        eventually("the bus refuses a process", || async {
            self.chain
                .deployment
                .nats
                .logged()
                .contains("maximum connections exceeded")
                .then_some(())
        })
        .await;
        self.goes_on(&before, AWAY_SECONDS).await;
        self.chain.deployment.nats.limits_connections_no_more();
        self.is_as_before(&before, since).await;
        println!(
            "{without} beyond the connections of the bus: {:?}",
            self.longest_gap(since)
        );
    }

    /// Every viewer sees every frame, and the stream is neither ended nor another publish.
    async fn goes_on(&mut self, before: &Stream, seconds: usize) {
        let gateway = self.gateway();
        for second in 0..seconds {
            self.chain.origin.sees_more(SECOND).await;
            if let Some(stream) = gateway.stream(SLUG).await {
                assert!(
                    matches!(stream.state, StreamState::Live | StreamState::Grace),
                    "{second} s: {stream:?}"
                );
                assert_eq!(stream.epoch, before.epoch, "{second} s");
            }
        }
        self.has_lost_nothing().await;
    }

    async fn has_lost_nothing(&self) {
        for leaf in &self.leaves {
            self.chain.has_lost_nothing(leaf).await;
        }
    }

    /// It is live in the same epoch, every node is up, and no viewer has waited longer than in a failover.
    async fn is_as_before(&mut self, before: &Stream, since: Instant) {
        self.goes_on(before, SETTLED_SECONDS).await;
        assert_eq!(self.stream().await.epoch, before.epoch);
        let gateway = self.gateway();
        eventually("every node is up", || async {
            let nodes = gateway.nodes().await?;
            let up = nodes
                .iter()
                .filter(|node| node.state == NodeState::Up)
                .count();
            (up == 5).then_some(())
        })
        .await;
        if asked_for().is_some() {
            let gap = self.longest_gap(since);
            assert!(gap <= GAP_MAX, "{gap:?}");
        }
    }

    fn longest_gap(&self, since: Instant) -> Duration {
        self.leaves
            .iter()
            .map(|leaf| leaf.viewer.longest_gap(since))
            .max()
            .unwrap_or_default()
    }

    async fn rides_through_everything(&mut self) {
        let relays = ["origin", "middle", "leaf-1"];
        for cut in [Cut::Closed, Cut::BlackHole] {
            for process in relays.into_iter().chain(SERVICES).chain(["rest-gateway-1"]) {
                self.rides_through(&[process], Outside::Bus, cut, AWAY_SECONDS)
                    .await;
            }
            self.rides_through(&HALF, Outside::Bus, cut, AWAY_SECONDS)
                .await;
            for process in SERVICES {
                self.rides_through(&[process], Outside::State, cut, AWAY_SECONDS)
                    .await;
            }
        }
        self.rides_through_a_full_bus("leaf-1").await;
        for process in SERVICES.into_iter().chain(["rest-gateway-1"]) {
            self.rides_through_a_frozen(process).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_are_cut_off_or_stand_still_end_no_stream() {
    let mut network = Network::start().await;
    if asked_for().is_none() {
        return network
            .rides_through(&["origin"], Outside::Bus, Cut::Closed, AWAY_SECONDS_SHORT)
            .await;
    }
    for _ in 0..ROUNDS {
        network.rides_through_everything().await;
    }
}

/// Both of its gateways stand still, so that nobody hears it. A relay in the cluster carries its stream.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_publishes_streams_on_while_its_gateways_are_away() {
    let mut deployment = Deployment::start(2).await;
    deployment.add_relay("middle", "supernode", &[]).await;
    let gateways = ["rest-gateway-1", "rest-gateway-2"];
    let doors = gateways.map(|gateway| deployment.program(gateway).door("http"));
    let join = doors.map(|door| format!("http://{door}")).join(",");
    let edge = deployment.add_edge_joining("edge", "node", &join).await;
    let rtmp = edge.door("rtmp");
    let media = edge.door("media");
    let _publisher = Publisher::start(rtmp, SLUG);
    Gateway(doors[0]).lists_live(SLUG).await;
    let at_edge = Viewer::start(media, SLUG);
    let far = Viewer::start(deployment.program("middle").door("media"), SLUG);
    far.sees_more(SECOND).await;
    gateways
        .iter()
        .for_each(|gateway| deployment.program(gateway).freeze());
    let seconds = if asked_for().is_some() {
        AWAY_SECONDS
    } else {
        AWAY_SECONDS_SHORT
    };
    for _ in 0..seconds {
        far.sees_more(SECOND).await;
    }
    gateways
        .iter()
        .for_each(|gateway| deployment.program(gateway).thaw());
    let epoch = eventually("the stream is shown live", || async {
        let stream = Gateway(doors[0]).stream(SLUG).await?;
        (stream.state == StreamState::Live).then_some(stream.epoch)
    });
    assert_eq!(epoch.await, 1);
    far.sees_more(SECOND).await;
    let seen = far.count();
    eventually("the edge's viewer is as far", || async {
        (at_edge.count() >= seen).then_some(())
    })
    .await;
    assert_same_frames(&far, &at_edge);
}
