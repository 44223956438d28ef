//! A viewer joins, and one trace leads from its request to the origin.

use harness::collector::Span;
use harness::processes::Proxy;
use harness::{Collector, Deployment, Publisher, Viewer};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const RELAY: &str = "astral-media-forwarder";
const BROKER: &str = "astral-ticket-broker";
/// The name of the spans of a relay link.
const LINK: &str = "GET /relay/{slug}";
/// A key that only relays may know.
const SECRET: &str = "hush-hush-hush";
/// The delay of one link.
const DELAY: Duration = Duration::from_millis(200);
/// How much longer the span of that link may be on a busy machine.
const MORE_MAX: Duration = Duration::from_millis(600);

fn is_at<'a>(node: &'a str, name: &'a str, kind: SpanKind) -> impl Fn(&Span) -> bool + 'a {
    move |span| {
        let at = span.attributes.get("node.id").is_some_and(|id| id == node);
        span.trace == TRACE && span.name == name && span.kind == kind && at
    }
}

fn named(way: &[Span]) -> Vec<(&str, &str)> {
    way.iter()
        .map(|span| (span.service.as_str(), span.name.as_str()))
        .collect()
}

/// A leaf below a supernode below an origin, each of which exports its spans.
struct Tree {
    collector: Collector,
    /// The way to the origin's media port, which delays by [`DELAY`].
    wire: Proxy,
    origin: String,
    middle: String,
    leaf: String,
    /// The leaf's media port.
    media: SocketAddr,
    /// What must live as long as the tree.
    _parts: (Deployment, Publisher),
}

impl Tree {
    async fn start() -> Self {
        let collector = Collector::start().await;
        let mut deployment = Deployment::start_traced(1, &collector.endpoint()).await;
        let wire = Proxy::start().await;
        wire.delay(DELAY);
        let relay = deployment.add_relay("middle", "supernode", &[]).await;
        let middle = relay.node().to_string();
        let advertise = wire.address().to_string();
        let flags = ["--advertise", &advertise];
        let relay = deployment.add_relay("origin", "node", &flags).await;
        let origin = relay.node().to_string();
        let rtmp = relay.door("rtmp");
        let at_origin = relay.door("media");
        wire.lead_to(at_origin);
        let relay = deployment.add_relay("leaf", "node", &[]).await;
        let leaf = relay.node().to_string();
        let media = relay.door("media");
        let publisher = Publisher::start(rtmp, &format!("demo?key={SECRET}"));
        deployment.gateway().lists_live("demo").await;
        // Nothing that is measured waits for the publisher.
        Viewer::start(at_origin, "demo").sees_more(100).await;
        let _parts = (deployment, publisher);
        Self {
            collector,
            wire,
            origin,
            middle,
            leaf,
            media,
            _parts,
        }
    }

    /// The span of the viewer's request, and the two ways of spans that lead up to it: from the link that the origin
    /// serves, and from the link that the middle serves.
    async fn spans_of_a_join(&self) -> (Span, Vec<Span>, Vec<Span>) {
        let path = format!("/live/demo.flv?key={SECRET}");
        let viewer = Viewer::start_traced(self.media, &path, &format!("00-{TRACE}-{CALLER}-01"));
        viewer.sees_more(1).await;
        let collector = &self.collector;
        let served = is_at(&self.origin, LINK, SpanKind::Server);
        let by_origin = collector.takes("the origin serves", served).await;
        let served = is_at(&self.leaf, "GET /live/{slug}.flv", SpanKind::Server);
        let request = collector.takes("the viewer is served", served).await;
        let served = is_at(&self.middle, LINK, SpanKind::Server);
        let by_middle = collector.takes("the middle serves", served).await;
        harness::eventually("the whole way is exported", || async {
            (collector.way_up(&by_origin).last()?.id == request.id).then_some(())
        })
        .await;
        let long = collector.way_up(&by_origin);
        let short = collector.way_up(&by_middle);
        (request, long, short)
    }
}

fn check_names(request: &Span, long: &[Span], short: &[Span]) {
    let expected = [
        (RELAY, LINK),
        (RELAY, LINK),
        (RELAY, "join"),
        (RELAY, "process astral.node.*.fetch"),
        (BROKER, "request astral.node.*.fetch"),
        (BROKER, "process astral.ticket-broker.request"),
        (RELAY, "request astral.ticket-broker.request"),
        (RELAY, "request tickets"),
        (RELAY, "join"),
        (RELAY, "GET /live/{slug}.flv"),
    ];
    assert_eq!(named(long), expected);
    assert!(
        long.iter().all(|span| span.trace == TRACE),
        "one trace id throughout"
    );
    assert_eq!(request.parent, CALLER);
    let expected = [
        (RELAY, LINK),
        (RELAY, LINK),
        (RELAY, "join"),
        (RELAY, "GET /live/{slug}.flv"),
    ];
    assert_eq!(named(short), expected);
}

fn check_slow_hop(tree: &Tree, request: &Span, slow: &Span, quick: &Span) {
    println!(
        "a hop that takes {DELAY:?} shows {:?}, one that takes nothing {:?}",
        slow.took, quick.took
    );
    assert!((DELAY..DELAY + MORE_MAX).contains(&slow.took), "{slow:?}");
    assert!(quick.took < DELAY, "{quick:?}");
    assert!(
        request.took >= slow.took,
        "the request contains the hop: {request:?}"
    );
    assert_eq!(slow.attributes["provider.id"], tree.origin);
    assert_eq!(slow.attributes["stream.hops"], 1);
    assert_eq!(quick.attributes["stream.hops"], 2);
    assert_eq!(slow.attributes["http.response.status_code"], 200);
    assert_eq!(slow.attributes["server.port"], tree.wire.address().port());
}

/// Goal: the trace shows which hop is slow. Method: a viewer with a trace asks a leaf whose supernode does not have the
/// stream yet, over a link that takes 200 ms; the spans of four processes are collected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_is_one_trace_from_the_viewer_to_the_origin_and_shows_which_hop_is_slow() {
    let tree = Tree::start().await;
    let (request, long, short) = tree.spans_of_a_join().await;
    check_names(&request, &long, &short);
    check_slow_hop(&tree, &request, &long[1], &short[1]);

    let is_state = |span: &Span| {
        span.trace == TRACE
            && span.service == BROKER
            && span.attributes.contains_key("db.operation.name")
    };
    let state = tree
        .collector
        .takes("the broker's state is seen", is_state)
        .await;
    assert_eq!(state.attributes["db.system.name"], "redis");
    let as_text = tree.collector.numbers_as_text();
    assert_eq!(as_text, BTreeSet::new(), "numbers are exported as numbers");
    assert!(
        !tree.collector.has_heard(SECRET),
        "no span contains a key or a query"
    );
    assert!(
        !tree.collector.has_heard("Bearer"),
        "no span contains a ticket"
    );
}
