//! A viewer joins, and one trace leads from its request to the origin.

use harness::collector::Span;
use harness::processes::Proxy;
use harness::{Collector, Deployment, Publisher, Viewer};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::collections::BTreeSet;
use std::time::Duration;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
/// Told by a publisher and a viewer to relays alone.
const SECRET: &str = "hush-hush-hush";
/// What is put on one link.
const DELAY: Duration = Duration::from_millis(200);
/// How much more a span may show of it on a busy machine.
const MORE_MAX: Duration = Duration::from_millis(600);

fn is_at<'a>(node: &'a str, name: &'a str, kind: SpanKind) -> impl Fn(&Span) -> bool + 'a {
    move |span| {
        let at = span.attributes.get("node.id").is_some_and(|id| id == node);
        span.trace == TRACE && span.name == name && span.kind == kind && at
    }
}

fn named(way: &[Span]) -> Vec<(&str, &str)> {
    way.iter().map(|span| (span.service.as_str(), span.name.as_str())).collect()
}

/// Goal: a slow hop is seen for what it is. Method: a viewer comes within a trace to a leaf whose supernode has yet to
/// fetch the stream, over a link that takes 200 ms; every span is taken in, over four processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_is_one_trace_from_the_viewer_to_the_origin_and_shows_which_hop_is_slow() {
    let collector = Collector::start().await;
    let mut deployment = Deployment::start_traced(1, &collector.endpoint()).await;
    let wire = Proxy::start().await;
    wire.delay(DELAY);
    let middle = deployment.add_relay("middle", "supernode", &[]).await.node().to_string();
    let advertise = wire.address().to_string();
    let relay = deployment.add_relay("origin", "node", &["--advertise", &advertise]).await;
    let origin = relay.node().to_string();
    let rtmp = relay.door("rtmp");
    let at_origin = relay.door("media");
    wire.lead_to(at_origin);
    let relay = deployment.add_relay("leaf", "node", &[]).await;
    let leaf = relay.node().to_string();
    let media = relay.door("media");
    let _publisher = Publisher::start(rtmp, &format!("demo?key={SECRET}"));
    deployment.gateway().lists_live("demo").await;
    // Nothing that is measured waits for the publisher.
    Viewer::start(at_origin, "demo").sees_more(100).await;

    let path = format!("/live/demo.flv?key={SECRET}");
    let viewer = Viewer::start_traced(media, &path, &format!("00-{TRACE}-{CALLER}-01"));
    viewer.sees_more(1).await;

    let link = "GET /relay/{slug}";
    let served = collector.takes("the origin serves", is_at(&origin, link, SpanKind::Server)).await;
    let request =
        collector.takes("the viewer is served", is_at(&leaf, "GET /live/{slug}.flv", SpanKind::Server));
    let request = request.await;
    let last = collector.takes("the middle serves", is_at(&middle, link, SpanKind::Server)).await;
    harness::eventually("the whole way is told", || async {
        (collector.way_up(&served).last()?.id == request.id).then_some(())
    })
    .await;

    let relay = "astral-media-forwarder";
    let broker = "astral-ticket-broker";
    let way = collector.way_up(&served);
    let expected = [
        (relay, link),
        (relay, link),
        (relay, "join"),
        (relay, "process astral.node.*.fetch"),
        (broker, "request astral.node.*.fetch"),
        (broker, "process astral.ticket-broker.request"),
        (relay, "request astral.ticket-broker.request"),
        (relay, "request tickets"),
        (relay, "join"),
        (relay, "GET /live/{slug}.flv"),
    ];
    assert_eq!(named(&way), expected);
    assert!(way.iter().all(|span| span.trace == TRACE), "one trace id throughout");
    assert_eq!(request.parent, CALLER);
    let expected = [(relay, link), (relay, link), (relay, "join"), (relay, "GET /live/{slug}.flv")];
    assert_eq!(named(&collector.way_up(&last)), expected);

    let is_state = |span: &Span| {
        span.trace == TRACE && span.service == broker && span.attributes.contains_key("db.operation.name")
    };
    let state = collector.takes("the broker's state is seen", is_state).await;
    assert_eq!(state.attributes["db.system.name"], "redis");

    let slow = &way[1];
    let quick = &collector.way_up(&last)[1];
    println!("a hop that takes {DELAY:?} shows {:?}, one that takes nothing {:?}", slow.took, quick.took);
    assert!((DELAY..DELAY + MORE_MAX).contains(&slow.took), "{slow:?}");
    assert!(quick.took < DELAY, "{quick:?}");
    assert!(request.took >= slow.took, "what is waited for is within: {request:?}");
    assert_eq!(slow.attributes["provider.id"], origin);
    assert_eq!(slow.attributes["stream.hops"], 1);
    assert_eq!(quick.attributes["stream.hops"], 2);
    assert_eq!(slow.attributes["http.response.status_code"], 200);
    assert_eq!(slow.attributes["server.port"], wire.address().port());
    assert_eq!(collector.numbers_as_text(), BTreeSet::new(), "numbers are numbers");
    assert!(!collector.has_heard(SECRET), "keys and queries stand in no span");
    assert!(!collector.has_heard("Bearer"), "tickets stand in no span");
}
