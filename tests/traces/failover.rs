//! A provider dies, and its subscriber's failover is a trace.

use harness::{Collector, Deployment, Publisher, Viewer};

/// Goal: a gap in somebody's playback can be looked up. Method: a leaf's provider is killed; the span of its failover
/// says why, from whom, to whom and for how long, and leads to the join.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_is_a_trace_of_its_own_linked_to_its_join() {
    let collector = Collector::start().await;
    let mut deployment = Deployment::start_traced(1, &collector.endpoint()).await;
    let middle = deployment.add_relay("middle", "supernode", &[]).await.node();
    let relay = deployment.add_relay("origin", "node", &[]).await;
    let (origin, rtmp) = (relay.node(), relay.door("rtmp"));
    let relay = deployment.add_relay("leaf", "node", &[]).await;
    let (leaf, media) = (relay.node(), relay.door("media"));
    let _publisher = Publisher::start(rtmp, "demo");
    deployment.gateway().lists_live("demo").await;
    let viewer = Viewer::start(media, "demo");
    viewer.sees_more(1).await;
    let gateway = deployment.gateway();
    let hangs = |relay: &astral_proto::model::TreeRelay| {
        relay.provider == Some(middle) && relay.standby == Some(origin)
    };
    gateway.stands("the leaf hangs off the middle with a standby", "demo", leaf, hangs).await;

    deployment.program("middle").kill();
    viewer.sees_more(100).await;

    let at = leaf.to_string();
    let failover = collector.takes("the failover is told", |span| {
        span.name == "failover" && span.attributes["astral.node.id"] == at
    });
    let failover = failover.await;
    let join = collector
        .takes("the join is told", |span| span.name == "join" && span.attributes["astral.node.id"] == at);
    let join = join.await;
    assert_eq!(failover.parent, "", "it is a root");
    assert_eq!(failover.links, [join.trace]);
    assert_eq!(failover.attributes["astral.failover.cause"], "closed");
    assert_eq!(failover.attributes["astral.failover.from"], middle.to_string());
    assert_eq!(failover.attributes["astral.failover.to"], origin.to_string());
    assert_eq!(failover.attributes["astral.slug"], "demo");
    let gap: u64 = failover.attributes["astral.failover.gap_ms"].parse().expect("milliseconds");
    assert!(gap < 10_000, "{gap} ms");
    let switch = collector.takes("the broker is told within it", |span| {
        span.trace == failover.trace && span.name == "process astral.ticket-broker.switch"
    });
    assert_eq!(switch.await.service, "astral-ticket-broker");
}
