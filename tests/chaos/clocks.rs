//! Clocks that differ.

use crate::control::ledgers_agree_with_relays;
use harness::chain::{Chain, SECOND};
use std::time::Duration;

/// Replicas of a service differ, and so do relays; those that are not named, NATS and Redis are right.
const CLOCKS: [(&str, &str); 6] = [
    ("directory-2", "+60s"),
    ("supernode-coordinator-2", "-60s"),
    ("ticket-broker-2", "+60s"),
    ("rest-gateway-1", "-60s"),
    ("middle", "+60s"),
    ("origin", "-60s"),
];

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_by_a_minute_harm_nothing() {
    let mut chain = Chain::start_with_clocks(&CLOCKS).await;
    let leaf = chain.leaf_below_the_middle().await;
    chain.outlives_leases(&leaf).await;
    ledgers_agree_with_relays(&mut chain, &[leaf.node]).await;
    for name in ["middle", "origin", &leaf.name] {
        assert_eq!(
            chain.deployment.program(name).count_logged("registered"),
            1,
            "{name} was given up"
        );
    }
    chain.deployment.program("middle").kill();
    chain.has_lost_nothing(&leaf).await;
    chain.outlives_leases(&leaf).await;

    // The publisher goes on at a relay whose clock is a minute ahead of the origin's.
    let before = leaf.viewer.count();
    let rtmp = chain.deployment.program(&leaf.name).door("rtmp");
    chain.moves_its_publisher(rtmp);
    leaf.viewer.sees_more(2 * SECOND).await;
    let frames = leaf.viewer.frames();
    let steps = frames[before..]
        .windows(2)
        .map(|pair| pair[1].timestamp_ms.saturating_sub(pair[0].timestamp_ms));
    let longest = Duration::from_millis(steps.max().unwrap_or_default().into());
    assert!(
        longest < Duration::from_secs(30),
        "the stream went on {longest:?} later"
    );
}
