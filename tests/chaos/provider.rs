//! The relay above a leaf is killed, frozen, or cut off.

use crate::gaps::{Harm, report, rounds};
use harness::chain::Chain;
use harness::processes::Proxy;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_provider_costs_no_frame() {
    let mut chain = Chain::start(1, &[]).await;
    let mut gaps = Vec::new();
    for _ in 0..rounds() {
        let leaf = chain.leaf_below_the_middle().await;
        let killed = chain.node("middle");
        let since = Instant::now();
        chain.deployment.program("middle").kill();
        gaps.push(chain.gap(&leaf, since).await);
        chain.is_given_up(killed).await;
        chain.has_lost_nothing(&leaf).await;
        chain.deployment.remove(&leaf.name);
        chain.deployment.program("middle").restart().await;
    }
    report("chain", Harm::Kill, gaps);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_provider_costs_no_frame() {
    let mut chain = Chain::start(1, &[]).await;
    let mut gaps = Vec::new();
    for _ in 0..rounds() {
        let leaf = chain.leaf_below_the_middle().await;
        let since = Instant::now();
        chain.deployment.program("middle").freeze();
        gaps.push(chain.gap(&leaf, since).await);
        chain.deployment.program("middle").thaw();
        chain.has_lost_nothing(&leaf).await;
        chain.deployment.remove(&leaf.name);
    }
    report("chain", Harm::Freeze, gaps);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_behind_a_partition_costs_no_frame() {
    let wire = Proxy::start().await;
    let mut chain = Chain::start(1, &["--advertise", &wire.address().to_string()]).await;
    wire.lead_to(chain.deployment.program("middle").door("media"));
    let mut gaps = Vec::new();
    for _ in 0..rounds() {
        let leaf = chain.leaf_below_the_middle().await;
        let since = Instant::now();
        wire.part();
        gaps.push(chain.gap(&leaf, since).await);
        wire.mend();
        chain.has_lost_nothing(&leaf).await;
        chain.deployment.remove(&leaf.name);
    }
    report("chain", Harm::Partition, gaps);
}
