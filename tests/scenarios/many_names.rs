//! More names of streams than any list shows at once.

use astral_proto::message::CreateStream;
use astral_proto::model::{Page, Stream};
use futures_util::{StreamExt, stream};
use harness::processes::Server;
use harness::{Cluster, Publisher, eventually, http};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// More than the web application ever read of all names.
const IDLE: u32 = 2_100;
/// Names made at once.
const MADE_AT_ONCE: usize = 32;
/// Longest one of them may take.
const MADE_WITHIN: Duration = Duration::from_secs(10);
/// The last of all names.
const LAST: &str = "zz-last";

async fn make_idle_names(cluster: &Cluster) {
    let bus = &cluster.network.backend.bus;
    let making = (0..IDLE).map(|number| async move {
        let slug = format!("idle-{number:04}").parse().expect("a slug");
        bus.request(&CreateStream { slug, key: None }, MADE_WITHIN)
            .await
            .expect("it is made");
    });
    stream::iter(making)
        .buffer_unordered(MADE_AT_ONCE)
        .collect::<()>()
        .await;
}

/// Waits until exactly `wanted` are listed in `state`, all on the first page.
async fn listed(cluster: &Cluster, state: &str, wanted: &[&str]) {
    eventually(&format!("{wanted:?} are listed as {state}"), || async {
        let page: Page<Stream> = cluster
            .get(&format!("/v1/streams?state={state}"))
            .await
            .json();
        let names: Vec<_> = page
            .items
            .iter()
            .map(|stream| stream.slug.as_str())
            .collect();
        (names == wanted && page.next_cursor.is_none()).then_some(())
    })
    .await;
}

/// The streams whose trees are on the first page of the topology.
async fn drawn(cluster: &Cluster, wanted: &[&str]) {
    eventually(&format!("the trees of {wanted:?} are drawn"), || async {
        let topology: Value = cluster.get("/v1/topology").await.json();
        let trees = topology["trees"].as_array()?;
        let names: Vec<_> = trees
            .iter()
            .filter_map(|tree| tree["slug"].as_str())
            .collect();
        (names == wanted && topology["next_cursor"].is_null()).then_some(())
    })
    .await;
}

async fn live_streams_are_found(cluster: &Cluster) -> Publisher {
    make_idle_names(cluster).await;
    let first = Publisher::start(cluster.rtmp(1), "aa-first");
    let last = Publisher::start(cluster.rtmp(1), LAST);
    listed(cluster, "live", &["aa-first", LAST]).await;
    listed(cluster, "live,grace", &["aa-first", LAST]).await;
    drawn(cluster, &["aa-first", LAST]).await;
    first.kill().await;
    listed(cluster, "grace", &["aa-first"]).await;
    listed(cluster, "live", &[LAST]).await;
    let deleted = http::send(cluster.http(), "DELETE", "/v1/streams/aa-first", "")
        .await
        .expect("an answer");
    assert_eq!(deleted.status, 204);
    listed(cluster, "live,grace", &[LAST]).await;
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_names_hide_no_live_stream() {
    let cluster = Cluster::start(1).await;
    let publisher = live_streams_are_found(&cluster).await;
    publisher.kill().await;
    listed(&cluster, "grace", &[LAST]).await;
    listed(&cluster, "live,grace", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_names_in_redis_hide_no_live_stream_nor_does_its_wipe() {
    let redis = Server::redis(Path::new(env!("CARGO_TARGET_TMPDIR")), None).await;
    let cluster = Cluster::start_with(1, &["--state-url", &redis.url()]).await;
    let _publisher = live_streams_are_found(&cluster).await;
    redis.flush().await;
    listed(&cluster, "live", &[LAST]).await;
}
