//! A provider dies, and its subscriber's failover is a trace.

use harness::collector::Span;
use harness::{Collector, Deployment, Publisher, Viewer};
use std::collections::BTreeSet;

/// A leaf whose provider has died while a viewer watched.
struct FailedOver {
    leaf: String,
    middle: String,
    origin: String,
    _network: (Deployment, Publisher, Viewer),
}

impl FailedOver {
    /// In a network that sends `ratio` of its traces to `collector`.
    async fn sampled(collector: &Collector, ratio: f64) -> Self {
        let mut deployment = Deployment::start_sampled(1, &collector.endpoint(), ratio).await;
        let middle = deployment
            .add_relay("middle", "supernode", &[])
            .await
            .node();
        let relay = deployment.add_relay("origin", "node", &[]).await;
        let origin = relay.node();
        let rtmp = relay.door("rtmp");
        let relay = deployment.add_relay("leaf", "node", &[]).await;
        let leaf = relay.node();
        let media = relay.door("media");
        let publisher = Publisher::start(rtmp, "demo");
        deployment.gateway().lists_live("demo").await;
        let viewer = Viewer::start(media, "demo");
        viewer.sees_more(1).await;
        let hangs = |relay: &astral_proto::model::TreeRelay| {
            relay.provider == Some(middle) && relay.standby == Some(origin)
        };
        let what = "the leaf hangs off the middle with a standby";
        deployment.gateway().stands(what, "demo", leaf, hangs).await;
        deployment.program("middle").kill();
        viewer.sees_more(100).await;
        Self {
            leaf: leaf.to_string(),
            middle: middle.to_string(),
            origin: origin.to_string(),
            _network: (deployment, publisher, viewer),
        }
    }

    /// The span `name` of the leaf.
    async fn span(&self, collector: &Collector, name: &str) -> Span {
        let what = format!("{name} is told");
        collector
            .takes(&what, |span| {
                span.name == name && span.attributes["node.id"] == self.leaf
            })
            .await
    }
}

/// Goal: a gap in somebody's playback can be looked up. Method: a leaf's provider is killed; the span of its failover
/// says why, from whom, to whom and for how long, and leads to the join.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_is_a_trace_of_its_own_linked_to_its_join() {
    let collector = Collector::start().await;
    let network = FailedOver::sampled(&collector, 1.0).await;
    let failover = network.span(&collector, "failover").await;
    let join = network.span(&collector, "join").await;
    assert_eq!(failover.parent, "", "it is a root");
    assert_eq!(failover.links, [join.trace]);
    assert_eq!(failover.attributes["failover.cause"], "closed");
    assert_eq!(failover.attributes["provider.left"], network.middle);
    assert_eq!(failover.attributes["provider.id"], network.origin);
    assert_eq!(failover.attributes["stream.slug"], "demo");
    let gap = failover.attributes["failover.gap_ms"]
        .as_u64()
        .expect("a number");
    assert!(gap < 10_000, "{gap} ms");
    told_to_the_broker(&collector, &failover).await;
    assert_eq!(
        collector.numbers_as_text(),
        BTreeSet::new(),
        "numbers are numbers"
    );
}

/// Goal: no failover is lost to sampling. Method: none of the traces is sampled, and the failover is there all the same,
/// with what the broker did of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_is_traced_whatever_is_sampled() {
    let collector = Collector::start().await;
    let network = FailedOver::sampled(&collector, 0.0).await;
    let failover = network.span(&collector, "failover").await;
    told_to_the_broker(&collector, &failover).await;
    let spans = collector.spans();
    let others: Vec<_> = spans
        .iter()
        .filter(|span| span.trace != failover.trace)
        .collect();
    assert!(
        others.iter().all(|span| span.name == "failover"),
        "nothing else is sent: {others:?}"
    );
}

async fn told_to_the_broker(collector: &Collector, failover: &Span) {
    let is_switch = |span: &Span| {
        span.trace == failover.trace && span.name == "process astral.ticket-broker.switch"
    };
    let switch = collector
        .takes("the broker is told within the failover", is_switch)
        .await;
    assert_eq!(switch.service, "astral-ticket-broker");
}
