//! An astralnode beside the cluster: what is above it dies, what steers it dies, it is told to stop.

use crate::chain::{Chain, Kind};
use harness::processes::RELAY_GRACE_SECONDS;
use std::time::Duration;

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

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_is_told_to_stop_hands_on_what_hangs_off_it() {
    let mut chain = Chain::start(1, &[]).await;
    chain.deployment.add_edge("edge", "supernode").await;
    let gone = chain.node("middle");
    chain.deployment.remove("middle");
    chain.is_given_up(gone).await;
    let leaf = chain.leaf_below("edge", Kind::Relay).await;
    let stopped = chain.deployment.program("edge").terminate().await;
    assert_eq!(stopped.code, Some(0), "it ended so after {:?}", stopped.took);
    let grace = Duration::from_secs(RELAY_GRACE_SECONDS);
    assert!(stopped.took < grace, "it took {:?} of {grace:?}", stopped.took);
    chain.has_lost_nothing(&leaf).await;
}
