//! An astralnode beside the cluster: what is above it dies, what steers it dies, it is told to stop.

use astral_proto::limits::LEASE;
use astral_proto::model::NodeState;
use harness::chain::{Chain, Kind, Leaf, SECOND, SLUG};
use harness::processes::RELAY_GRACE_SECONDS;
use harness::{Gateway, Viewer, eventually};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_whose_provider_is_killed_loses_no_frame() {
    let mut chain = Chain::start(1, &[]).await;
    let edge = chain.leaf_below("middle", Kind::Edge).await;
    let killed = chain.node("middle");
    chain.deployment.program("middle").kill();
    chain.has_lost_nothing(&edge).await;
    chain.is_given_up(killed).await;
    chain.is_shown_with(&edge).await;
    chain.has_lost_nothing(&edge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_streams_on_when_the_gateway_and_all_behind_it_are_killed() {
    let mut chain = Chain::start(1, &[]).await;
    let edge = chain.leaf_below("middle", Kind::Edge).await;
    chain.deployment.kill_control();
    chain.outlives_leases(&edge).await;
}

/// The first gateway of its list was never there, the second dies under it, the third is left.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_goes_from_gateway_to_gateway_and_its_lease_never_ends() {
    let mut chain = Chain::start(2, &[]).await;
    let edge = edge_joining(&mut chain, "http://127.0.0.1:1,").await;
    chain.deployment.program("rest-gateway-1").kill();
    keeps_its_lease(&mut chain, &edge).await;
    chain.has_lost_nothing(&edge).await;
}

/// Its first gateway takes connections and says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_whose_gateway_freezes_keeps_its_lease_by_the_next() {
    let mut chain = Chain::start(2, &[]).await;
    let edge = edge_joining(&mut chain, "").await;
    chain.deployment.program("rest-gateway-1").freeze();
    keeps_its_lease(&mut chain, &edge).await;
    chain.has_lost_nothing(&edge).await;
}

/// An edge with a viewer that joins by the gateways `before`, then by the two that there are.
async fn edge_joining(chain: &mut Chain, before: &str) -> Leaf {
    let gateways = [1, 2].map(|number| {
        chain
            .deployment
            .program(&format!("rest-gateway-{number}"))
            .door("http")
    });
    let join = format!("{before}http://{},http://{}", gateways[0], gateways[1]);
    let edge = chain
        .deployment
        .add_edge_joining("edge", "node", &join)
        .await;
    let node = edge.node();
    let media = edge.door("media");
    let viewer = Viewer::start(media, SLUG);
    viewer.sees_more(SECOND).await;
    Leaf {
        name: "edge".to_owned(),
        node,
        viewer,
    }
}

/// By the second gateway, for twice as long as a lease lasts.
async fn keeps_its_lease(chain: &mut Chain, edge: &Leaf) {
    let left = Gateway(chain.deployment.program("rest-gateway-2").door("http"));
    let since = Instant::now();
    while since.elapsed() < 2 * LEASE {
        let nodes = eventually("the gateway that is left lists nodes", || left.nodes()).await;
        let known = nodes.iter().find(|known| known.uuid == edge.node);
        assert_eq!(
            known.map(|known| known.state),
            Some(NodeState::Up),
            "{:?}",
            since.elapsed()
        );
        edge.viewer.sees_more(SECOND / 4).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_is_told_to_stop_hands_on_what_hangs_off_it() {
    let mut chain = Chain::start(1, &[]).await;
    chain.deployment.add_edge("edge", "supernode").await;
    let gone = chain.node("middle");
    chain.deployment.remove("middle");
    chain.is_given_up(gone).await;
    let leaf = chain.leaf_below("edge", Kind::Relay).await;
    let stopped = chain.deployment.program("edge").terminate().await;
    assert_eq!(
        stopped.code,
        Some(0),
        "it ended so after {:?}",
        stopped.took
    );
    let grace = Duration::from_secs(RELAY_GRACE_SECONDS);
    assert!(
        stopped.took < grace,
        "it took {:?} of {grace:?}",
        stopped.took
    );
    chain.has_lost_nothing(&leaf).await;
}
