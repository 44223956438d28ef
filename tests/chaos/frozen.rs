//! One of two replicas of each control service is frozen, its connections open: nobody is refused, and it is named.
//!
//! It stays so for longer than every lease, or for 110 s with `ASTRAL_CHAOS`.

use crate::gaps::asked_for;
use astral_proto::limits::{LEASE, PUBLISHER_GRACE};
use astral_proto::model::NodeState;
use harness::Publisher;
use harness::chain::Chain;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SERVICES: [&str; 3] = ["directory", "supernode-coordinator", "ticket-broker"];
const STREAMS: usize = 8;
/// Between two questions to the gateway.
const ASK_EVERY: Duration = Duration::from_millis(500);
const SILENT: &str = "a replica does not answer, others are asked";
const BACK: &str = "a replica that did not answer answers again, or has gone";

async fn every_node_stays_up(chain: &mut Chain, nodes: usize, until: Instant) {
    let gateway = chain.gateway();
    while Instant::now() < until {
        let listed = gateway
            .nodes()
            .await
            .expect("the list of nodes is answered");
        let up = listed
            .iter()
            .filter(|node| node.state == NodeState::Up)
            .count();
        assert_eq!(up, nodes, "{listed:?}");
        sleep(ASK_EVERY).await;
    }
}

/// How often any process has logged `message`.
fn logged(chain: &mut Chain, message: &str) -> usize {
    let services = SERVICES.map(|service| format!("{service}-1"));
    let names = services
        .iter()
        .map(String::as_str)
        .chain(["origin", "middle", "rest-gateway-1"]);
    names
        .map(|name| chain.deployment.program(name).count_logged(message))
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_replica_of_each_control_service_refuses_nobody_and_is_named() {
    let mut chain = Chain::start(2, &[]).await;
    let leaf = chain.leaf_below_the_middle().await;
    for service in SERVICES {
        chain.deployment.program(&format!("{service}-2")).freeze();
    }
    let frozen_for = if asked_for().is_some() {
        Duration::from_secs(110)
    } else {
        LEASE + PUBLISHER_GRACE
    };
    let until = Instant::now() + frozen_for;

    let rtmp = chain.deployment.program("origin").door("rtmp");
    let slugs: Vec<String> = (0..STREAMS)
        .map(|number| format!("frozen-{number}"))
        .collect();
    let _publishers: Vec<Publisher> = slugs
        .iter()
        .map(|slug| Publisher::start(rtmp, slug))
        .collect();
    for slug in &slugs {
        chain.gateway().lists_live(slug).await;
    }
    let new = chain.leaf().await;
    // The origin, the middle and two leaves.
    every_node_stays_up(&mut chain, 4, until).await;
    for slug in &slugs {
        chain.gateway().lists_live(slug).await;
    }
    chain.has_lost_nothing(&new).await;
    chain.has_lost_nothing(&leaf).await;
    assert!(
        logged(&mut chain, SILENT) > 0,
        "nobody has named the frozen replicas"
    );

    for service in SERVICES {
        chain.deployment.program(&format!("{service}-2")).thaw();
    }
    chain.outlives_leases(&leaf).await;
    chain.has_lost_nothing(&new).await;
    assert!(
        logged(&mut chain, BACK) > 0,
        "nobody has said that they are back"
    );
    for slug in &slugs {
        chain.gateway().lists_live(slug).await;
    }
}
