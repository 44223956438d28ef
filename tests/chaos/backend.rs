//! Redis is emptied, Redis and NATS are away for a while.

use harness::chain::Chain;

async fn redis_is_emptied_and_then_lost() {
    let mut chain = Chain::start(1, &[]).await;
    let leaf = chain.leaf_below_the_middle().await;
    chain.deployment.redis.flush().await;
    chain.is_whole_again(&leaf).await;
    chain.deployment.redis.kill();
    chain.outlives_leases(&leaf).await;
    chain.deployment.redis.restart().await;
    chain.is_whole_again(&leaf).await;
    chain.outlives_leases(&leaf).await;
}

async fn nats_is_lost_and_then_frozen_with_redis() {
    let mut chain = Chain::start(1, &[]).await;
    let leaf = chain.leaf_below_the_middle().await;
    chain.deployment.nats.kill();
    chain.outlives_leases(&leaf).await;
    chain.deployment.nats.restart().await;
    chain.is_whole_again(&leaf).await;
    chain.deployment.nats.freeze();
    chain.deployment.redis.freeze();
    chain.outlives_leases(&leaf).await;
    chain.deployment.nats.thaw();
    chain.deployment.redis.thaw();
    chain.is_whole_again(&leaf).await;
    chain.outlives_leases(&leaf).await;
}

/// Two networks side by side, for most of this is waiting for leases.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_and_a_nats_that_are_away_cost_no_frame_and_are_found_again() {
    tokio::join!(
        redis_is_emptied_and_then_lost(),
        nats_is_lost_and_then_frozen_with_redis()
    );
}
