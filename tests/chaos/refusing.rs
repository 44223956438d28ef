//! A Redis that is there and refuses writes: full, or a replica.
//!
//! With `ASTRAL_CHAOS` it refuses for longer than every list in it lives, 130 s; otherwise for longer than a lease.

use crate::gaps::asked_for;
use harness::chain::{Chain, SECOND, SLUG};
use harness::eventually;

/// Longer than the coordinator's list of nodes lives, which is 120 s.
const REFUSES_SECONDS: usize = 130;
/// The same where nobody asked for more: longer than a lease.
const REFUSES_SECONDS_SHORT: usize = 8;

/// Goal: a state that refuses writes costs no viewer a frame and turns none away, and is used again by itself. Method: it
/// refuses until what is in it has ended, while one viewer watches and others ask the gateway for a relay.
async fn refusal_harms_nobody(refuse: &[&str], allow: &[&str]) {
    let mut chain = Chain::start(1, &[]).await;
    let leaf = chain.leaf_below_the_middle().await;
    let gateway = chain.gateway();
    let path = format!("/live/{SLUG}/index.m3u8");
    let sent_on = async || {
        gateway
            .get(&path)
            .await
            .filter(|answer| answer.status == 307)
    };
    eventually("a new viewer is sent to a relay", sent_on).await;
    chain.deployment.redis.redis_cli(refuse);
    let seconds = asked_for().map_or(REFUSES_SECONDS_SHORT, |_| REFUSES_SECONDS);
    for _ in 0..seconds {
        leaf.viewer.sees_more(SECOND).await;
        assert!(sent_on().await.is_some(), "a new viewer is turned away");
    }
    chain.has_lost_nothing(&leaf).await;
    chain.deployment.redis.redis_cli(allow);
    chain.is_whole_again(&leaf).await;
    chain.outlives_leases(&leaf).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_is_full_costs_no_frame_and_turns_no_viewer_away() {
    let full = ["CONFIG", "SET", "maxmemory", "1"];
    refusal_harms_nobody(&full, &["CONFIG", "SET", "maxmemory", "0"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_is_a_replica_costs_no_frame_and_turns_no_viewer_away() {
    // Of a master that is not there: what it has stays, and ends.
    let follow = ["REPLICAOF", "127.0.0.1", "1"];
    refusal_harms_nobody(&follow, &["REPLICAOF", "NO", "ONE"]).await;
}
