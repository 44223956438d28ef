//! Viewers that are refused, in a real browser: the page says why, waits as long as it is told, and
//! then plays.

use crate::page::Page;
use crate::{HELPERS, plays_on};
use astral_backend::Backend;
use astral_chassis::Context;
use astral_proto::Kbps;
use astral_proto::model::StreamState;
use harness::processes::Proxy;
use harness::viewer::fill;
use harness::{Cluster, Publisher, eventually};

/// Retry-After of the problem `full`, milliseconds.
const RETRY_AFTER_MS: f64 = 5_000.0;
/// The number of refusals after which the pauses between requests are checked.
const REFUSALS: usize = 2;

/// Returns when the page requested media, in milliseconds since it was opened.
async fn requests(page: &Page) -> Vec<f64> {
    let times = "performance.getEntriesByType('resource').filter(({ name }) => name.includes('/live/')) \
                 .map(({ startTime }) => startTime)";
    let times = page.evaluate(times).await;
    times
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(serde_json::Value::as_f64)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn page_says_that_all_is_full_waits_as_told_and_plays_when_there_is_room() {
    let cluster = Cluster::start_with(1, &["--upstream-limit", "3000"]).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    eventually("the rate is known", || async {
        (cluster.streams().await[0].kbps > Kbps::new(0)).then_some(())
    })
    .await;
    let crowd = fill(cluster.media(1), "demo").await;
    let page = Page::open("full", &format!("http://{}/watch/demo", cluster.http())).await;
    let says = "/^all relays are full right now, trying again in [1-7] s…$/";
    for place in ["#status", "#veil"] {
        page.eventually(&format!(
            "{says}.test(document.querySelector('{place}').textContent)"
        ))
        .await;
    }
    page.eventually(&format!(
        "astralPlayer.events.filter(({{ kind }}) => kind === 'refused').length >= {REFUSALS}"
    ))
    .await;
    let asked = requests(&page).await;
    let early = asked
        .windows(2)
        .filter(|pair| pair[1] - pair[0] < RETRY_AFTER_MS)
        .count();
    assert!(
        asked.len() >= REFUSALS && early == 0,
        "the page asked at {asked:?}"
    );
    drop(crowd);
    page.eventually("astralPlayer.state === 'playing'").await;
    page.evaluate(HELPERS).await;
    plays_on(&page, 2).await;
    page.eventually("document.querySelector('#status').textContent.startsWith('live')")
        .await;
    assert_eq!(
        page.evaluate("astralPlayer.refusal").await,
        serde_json::Value::Null
    );
    assert_eq!(page.evaluate("astralPlayer.fatalErrors").await, 0);
}

/// The page finds the relays with room behind one public URL. One of three relays is full.
#[tokio::test(flavor = "multi_thread")]
async fn page_plays_behind_a_balancer_although_one_relay_is_full() {
    let balancer = Proxy::start().await;
    let door = Proxy::start().await;
    let public = format!("http://{}", balancer.address());
    let gateway = format!("http://{}", door.address());
    let flags = [
        "--public-url",
        &public,
        "--gateway-url",
        &gateway,
        "--upstream-limit",
        "4000",
    ];
    let cluster = Cluster::start_with(3, &flags).await;
    balancer.spread_over(&[3, 1, 2].map(|number| cluster.media(number)));
    door.lead_to(cluster.http());
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    eventually("the rate is known", || async {
        (cluster.streams().await[0].kbps > Kbps::new(0)).then_some(())
    })
    .await;
    let _crowd = fill(cluster.media(3), "demo").await;
    let page = Page::open("balancer", &format!("{gateway}/watch/demo")).await;
    page.eventually("astralPlayer.state === 'playing'").await;
    page.evaluate(HELPERS).await;
    plays_on(&page, 5).await;
    let refused = "astralPlayer.events.filter(({ kind }) => kind === 'refused').length";
    assert_eq!(page.evaluate(refused).await, 0);
    assert_eq!(page.evaluate("astralPlayer.fatalErrors").await, 0);
}

/// A gateway without any relay or stream, because nothing else runs.
#[tokio::test(flavor = "multi_thread")]
async fn pages_say_that_the_control_plane_is_away() {
    let context = Context::detached();
    let config = astral_rest_gateway::Config {
        http_listen: ([127, 0, 0, 1], 0).into(),
        allow_drills: false,
        api_tokens_file: None,
        publish_url: None,
        allow_open: false,
    };
    let started = astral_rest_gateway::start(config, Backend::local(), context.clone()).await;
    let http = started.expect("the gateway starts").address;
    let page = Page::open("away", &format!("http://{http}/watch/demo")).await;
    let says = "/^the network is unreachable right now, trying again/";
    page.eventually(&format!(
        "{says}.test(document.querySelector('#status').textContent)"
    ))
    .await;
    assert_eq!(
        page.evaluate("astralPlayer.refusal.code").await,
        "control_plane_away"
    );
    page.goto(&format!("http://{http}/")).await;
    page.eventually(
        "document.querySelector('#notice').textContent.startsWith('The control plane is unreachable')",
    )
    .await;
    context.stop();
}
