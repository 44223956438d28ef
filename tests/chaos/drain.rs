//! Every relay but the origin is told to stop and started again, one after another.

use harness::chain::{Chain, Leaf};
use harness::processes::RELAY_GRACE_SECONDS;
use harness::{Ending, eventually};
use std::time::Duration;
use tokio::time::Instant;

/// Tells the relay `name` to stop; it ends by itself, within its grace and without complaint.
async fn is_rolled(chain: &mut Chain, name: &str) {
    let stopped = chain.deployment.program(name).terminate().await;
    assert_eq!(
        stopped.code,
        Some(0),
        "{name} ended so after {:?}",
        stopped.took
    );
    let grace = Duration::from_secs(RELAY_GRACE_SECONDS);
    assert!(
        stopped.took < grace,
        "{name} took {:?} of {grace:?}",
        stopped.took
    );
    chain.deployment.program(name).restart().await;
}

async fn have_lost_nothing(chain: &Chain, leaves: &[Leaf], since: Instant) {
    for leaf in leaves {
        println!(
            "{}: the longest gap is {:?}",
            leaf.name,
            chain.gap(leaf, since).await
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_that_are_rolled_one_after_another_cost_no_frame_below_them() {
    let mut chain = Chain::start(1, &[]).await;
    chain.deployment.add_relay("second", "supernode", &[]).await;
    let mut leaves = Vec::new();
    for _ in 0..2 {
        leaves.push(chain.leaf().await);
    }
    for name in ["middle", "second"] {
        let since = Instant::now();
        is_rolled(&mut chain, name).await;
        have_lost_nothing(&chain, &leaves, since).await;
    }
    while let Some(leaf) = leaves.pop() {
        let since = Instant::now();
        is_rolled(&mut chain, &leaf.name).await;
        let ending = eventually("its viewer's connection ends", || async {
            leaf.viewer.ending()
        })
        .await;
        assert_eq!(ending, Ending::AtTagBorder);
        have_lost_nothing(&chain, &leaves, since).await;
    }
}
