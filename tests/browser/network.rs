//! The picture of the network in a real browser.

use crate::page::Page;
use astral_proto::model::StreamState;
use harness::{Cluster, Edge, Publisher, Viewer, http};

/// Relay 3 receives the stream from relay 2, the supernode, which receives it from relay 1, where
/// it is published. The page shows this, and changes by itself when the viewer has left and when
/// the stream is paused.
#[tokio::test(flavor = "multi_thread")]
async fn network_page_shows_who_feeds_whom_as_it_changes() {
    let cluster = Cluster::start(3).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    let viewer = Viewer::start(cluster.media(3), "demo");
    let page = Page::open("network", &format!("http://{}/network", cluster.http())).await;
    let [one, two, three] = [1, 2, 3].map(|number| cluster.node(number).to_string());
    let feeds = |from: &str, to: &str| {
        format!("document.querySelector('[data-id=\"feeds demo {from} {to}\"]')")
    };
    page.eventually(&feeds(&one, &two)).await;
    page.eventually(&feeds(&two, &three)).await;
    page.eventually(&format!(
        "document.querySelector('.relay.origin[data-id=\"{one}\"]')"
    ))
    .await;
    page.eventually("document.querySelector('#pulse').textContent === 'live'")
        .await;
    let place =
        format!("document.querySelector('[data-id=\"{three}\"] .figure').textContent === '1'");
    page.eventually(&place).await;
    drop(viewer);
    page.eventually(&format!("!{}", feeds(&two, &three))).await;
    let pause = "fetch('/v1/streams/demo', {method: 'PUT', body: '{\"streaming\":false}'})";
    page.evaluate(&format!("{pause}.then(({{ ok }}) => ok)"))
        .await;
    page.eventually(&format!("!{}", feeds(&one, &two))).await;
}

/// A relay called "venue" carries the stream without viewers, and is cut off from everyone.
#[tokio::test(flavor = "multi_thread")]
async fn network_page_shows_a_relay_that_receives_nothing_as_that() {
    let cluster = Cluster::start(2).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    let flags = [
        "--upstream-limit",
        "100000",
        "--name",
        "venue",
        "--allow-drills",
    ];
    let edge = Edge::start(cluster.http(), &flags).await;
    edge.has_joined().await;
    assert_eq!(edge.ask("POST", "/v1/streams/demo", "").await.status, 200);
    let page = Page::open("network-cut", &format!("http://{}/network", cluster.http())).await;
    let id = edge.started.relay.node;
    let row = format!("document.querySelector('#nodes tr[data-id=\"{id}\"]')");
    let feed = format!("document.querySelector('.link.feeds[data-id$=\" {id}\"]')");
    let moves = format!("getComputedStyle({feed}).animationName === 'flow'");
    let says = |words: &str| format!("/^{words}$/.test({row}.children[2].textContent)");
    let is_well = format!("{} && {moves}", says("up"));
    page.eventually(&is_well).await;
    page.eventually(&format!("{row}.children[0].textContent === 'venue'"))
        .await;
    let drill = r#"{"fault":"cut","seconds":12}"#;
    let answer = http::post(cluster.http(), &format!("/v1/nodes/{id}/drill"), drill)
        .await
        .expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.text());
    page.eventually(&says("receives nothing for \\d+ s")).await;
    let relay = format!("document.querySelector('.relay.cut[data-id=\"{id}\"]')");
    assert_eq!(
        page.evaluate(&format!("!!{relay} && !({moves})")).await,
        true,
        "it is not drawn as well"
    );
    page.eventually(&is_well).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docs_page_shows_every_operation_of_the_document() {
    let cluster = Cluster::start(1).await;
    let page = Page::open("docs", &format!("http://{}/docs", cluster.http())).await;
    let count = "Object.values((await (await fetch('/v1/openapi.json')).json()).paths).map((methods) => \
                 Object.keys(methods).length).reduce((sum, more) => sum + more)";
    page.eventually(&format!(
        "document.querySelectorAll('.docs details').length === {count}"
    ))
    .await;
}
