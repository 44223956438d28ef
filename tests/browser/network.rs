//! The picture of the network in a real browser.

use crate::page::Page;
use astral_proto::model::StreamState;
use harness::{Cluster, Publisher, Viewer};

/// Relay 3 gets the stream from relay 2, the supernode, and that from relay 1, where it is published: so the picture says,
/// and it changes by itself when the viewer has gone and when the stream is paused.
#[tokio::test(flavor = "multi_thread")]
async fn network_page_shows_who_feeds_whom_as_it_changes() {
    let cluster = Cluster::start(3).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    let viewer = Viewer::start(cluster.media(3), "demo");
    let page = Page::open("network", &format!("http://{}/network", cluster.http())).await;
    let [one, two, three] = [1, 2, 3].map(|number| cluster.node(number).to_string());
    let feeds =
        |from: &str, to: &str| format!("document.querySelector('[data-id=\"feeds demo {from} {to}\"]')");
    page.eventually(&feeds(&one, &two)).await;
    page.eventually(&feeds(&two, &three)).await;
    page.eventually(&format!("document.querySelector('.relay.origin[data-id=\"{one}\"]')")).await;
    page.eventually("document.querySelector('#pulse').textContent === 'live'").await;
    let place = format!("document.querySelector('[data-id=\"{three}\"] .figure').textContent === '1'");
    page.eventually(&place).await;
    drop(viewer);
    page.eventually(&format!("!{}", feeds(&two, &three))).await;
    let pause = "fetch('/v1/streams/demo', {method: 'PUT', body: '{\"streaming\":false}'})";
    page.evaluate(&format!("{pause}.then(({{ ok }}) => ok)")).await;
    page.eventually(&format!("!{}", feeds(&one, &two))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docs_page_shows_every_operation_of_the_document() {
    let cluster = Cluster::start(1).await;
    let page = Page::open("docs", &format!("http://{}/docs", cluster.http())).await;
    let count = "Object.values((await (await fetch('/v1/openapi.json')).json()).paths).map((methods) => \
                 Object.keys(methods).length).reduce((sum, more) => sum + more)";
    page.eventually(&format!("document.querySelectorAll('.docs details').length === {count}")).await;
}
