//! Streams declared in a file, over a real Redis that is emptied.

use astral_proto::model::{Stream, StreamState};
use harness::processes::Deployment;
use harness::{Gateway, Publisher, eventually, http};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The key `first`, hashed with a salt.
const FILE: &str = "[[stream]]\nslug = \"demo\"\nkey_sha256 = \
    \"0123456789abcdef:509553cd9fe3e08f74a345840d1489554da0503fdd1f4a0d40eb429f0987ca55\"\n";

async fn state(gateway: &Gateway) -> Option<Stream> {
    let answer = gateway.get("/v1/streams/demo").await?;
    (answer.status == 200).then(|| answer.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_streams_outlive_a_redis_that_is_emptied() {
    let mut deployment = Deployment::start_declaring(2, FILE).await;
    let rtmp = deployment
        .add_relay("relay", "supernode", &[])
        .await
        .door("rtmp");
    let gateway = deployment.gateway();
    eventually("the stream is there", || state(&gateway)).await;
    for _ in 0..3 {
        deployment.redis.flush().await;
        let since = Instant::now();
        while !listed(&gateway).await {
            assert!(
                since.elapsed() < Duration::from_secs(5),
                "it is not put back"
            );
            sleep(Duration::from_millis(50)).await;
        }
        for name in ["demo?key=guess", "demo"] {
            let said = Publisher::start(rtmp, name).gives_up().await;
            assert!(
                said.contains("stream \"demo\" is"),
                "whoever sends as {name}: {said}"
            );
        }
    }
    let answer = http::post(gateway.0, "/v1/streams", r#"{"slug":"demo"}"#)
        .await
        .expect("an answer");
    assert_eq!(answer.status, 409, "{}", answer.text());
    let _publisher = Publisher::start(rtmp, "demo?key=first");
    eventually("who has the key is taken", async || {
        state(&gateway)
            .await
            .filter(|stream| stream.state == StreamState::Live)
    })
    .await;
}

/// By the list, which puts nothing back itself.
async fn listed(gateway: &Gateway) -> bool {
    let answer = gateway.get("/v1/streams").await;
    answer.is_some_and(|answer| answer.text().contains("\"demo\""))
}
