//! Redis is emptied, Redis and NATS are away for a while.

use crate::chain::{Chain, Leaf, SECOND};
use astral_proto::limits::LEASE;

/// Frames in which every lease that is not renewed ends.
const LONGER_THAN_A_LEASE: usize = (LEASE.as_secs() as usize + 2) * SECOND;

/// The leaf has lost nothing for longer than a lease, is shown again, and a viewer at a new relay is served.
async fn is_whole_again(chain: &mut Chain, leaf: &Leaf) {
    leaf.viewer.sees_more(LONGER_THAN_A_LEASE).await;
    chain.is_shown_with(leaf).await;
    let new = chain.leaf().await;
    chain.is_shown_with(&new).await;
    chain.has_lost_nothing(&new).await;
    chain.deployment.remove(&new.name);
    chain.has_lost_nothing(leaf).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_redis_costs_no_frame_and_is_filled_again() {
    let mut chain = Chain::start(1, &[]).await;
    let leaf = chain.leaf_below_the_middle().await;
    chain.deployment.redis.flush().await;
    is_whole_again(&mut chain, &leaf).await;
    chain.deployment.redis.kill();
    leaf.viewer.sees_more(LONGER_THAN_A_LEASE).await;
    chain.deployment.redis.restart().await;
    is_whole_again(&mut chain, &leaf).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nats_that_is_away_or_frozen_costs_no_frame_and_is_found_again() {
    let mut chain = Chain::start(1, &[]).await;
    let leaf = chain.leaf_below_the_middle().await;
    chain.deployment.nats.kill();
    leaf.viewer.sees_more(LONGER_THAN_A_LEASE).await;
    chain.deployment.nats.restart().await;
    is_whole_again(&mut chain, &leaf).await;
    chain.deployment.nats.freeze();
    chain.deployment.redis.freeze();
    leaf.viewer.sees_more(LONGER_THAN_A_LEASE).await;
    chain.deployment.nats.thaw();
    chain.deployment.redis.thaw();
    is_whole_again(&mut chain, &leaf).await;
}
