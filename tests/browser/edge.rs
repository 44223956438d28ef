//! The page of an astralnode in a real browser.

use crate::page::Page;
use harness::{Cluster, Edge, Publisher, Viewer};

const HELPERS: &str = "
    window.text = (selector) => document.querySelector(selector).textContent;
    window.row = (slug) => [...document.querySelectorAll('tbody tr')].find(({ cells }) => cells[0].textContent === slug);
    window.press = (slug, label) => [...row(slug).querySelectorAll('button')]
        .find(({ textContent }) => textContent === label).click();
    window.fill = (selector, value) => {
        const input = document.querySelector(selector);
        input.value = value;
        input.form.requestSubmit();
    };
    true";

#[tokio::test(flavor = "multi_thread")]
async fn host_sees_the_node_and_steers_it() {
    let cluster = Cluster::start(3).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    let edge = Edge::join(cluster.http()).await;
    let page = Page::open("edge", &format!("http://{}/", edge.started.control_address)).await;
    page.eventually("document.querySelector('#standing').textContent === 'joined'")
        .await;
    page.evaluate(HELPERS).await;
    let supernode = cluster.node(2).to_string();
    assert_eq!(
        page.evaluate("text('#supernode')").await,
        supernode.as_str()
    );
    assert_eq!(
        page.evaluate("text('#gateway')").await,
        format!("http://{}", cluster.http()).as_str()
    );

    page.evaluate("fill('#slug', 'demo')").await;
    page.eventually("row('demo').cells[1].textContent === 'live, kept'")
        .await;
    page.eventually(&format!(
        "row('demo').cells[2].textContent === '{}'",
        &supernode[..8]
    ))
    .await;
    assert_eq!(page.evaluate("row('demo').cells[4].textContent").await, "2");
    let viewer = Viewer::start(edge.started.relay.media_address, "demo");
    page.eventually("row('demo').cells[5].textContent === '1'")
        .await;
    page.eventually("text('#used') !== '0 kbit/s'").await;

    page.evaluate("press('demo', 'Pause')").await;
    page.eventually("row('demo').cells[1].textContent === 'paused'")
        .await;
    drop(viewer);
    page.evaluate("press('demo', 'Resume')").await;
    page.eventually("row('demo').cells[1].textContent === 'idle'")
        .await;
    page.evaluate("fill('#slug', 'nothing')").await;
    page.eventually("text('#notice').includes('nothing')").await;
    page.evaluate("fill('#kbps', '4321')").await;
    page.eventually("text('#limit') === '4,321 kbit/s' && text('#source') === 'As you told it.'")
        .await;

    page.evaluate("window.confirm = () => true; document.querySelector('#drain').click()")
        .await;
    page.eventually("text('#standing') === 'has left'").await;
}
