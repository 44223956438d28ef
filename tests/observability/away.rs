//! What callers get while the control plane is away: the same answer everywhere, and when to try again.

use harness::http::{self, Answer};
use harness::processes::Deployment;
use harness::{Gateway, eventually};
use std::net::SocketAddr;

const NODE: &str = "6b1e4c8a-3b0f-4f5e-9b60-0d3cfd6d2d55";

/// All that the gateway asks the control services for.
fn requests() -> Vec<(&'static str, String, String)> {
    let get = |path: &str| ("GET", path.replace("NODE", NODE), String::new());
    let gets = [
        "/v1/streams",
        "/v1/streams?state=live",
        "/v1/streams/demo",
        "/v1/streams/demo/tree",
        "/v1/streams/demo/tickets",
        "/v1/streams/demo/tickets/NODE",
        "/v1/tickets",
        "/v1/nodes",
        "/v1/nodes/NODE",
        "/v1/topology",
        "/live/demo/index.m3u8",
        "/live/demo.flv",
    ];
    let changes = [
        ("POST", "/v1/streams", r#"{"slug":"demo"}"#),
        ("PUT", "/v1/streams/demo", r#"{"streaming":false}"#),
        ("DELETE", "/v1/streams/demo", ""),
        ("DELETE", "/v1/nodes/NODE", ""),
        (
            "POST",
            "/v1/streams/demo/tickets",
            r#"{"slug":"demo","subscriber":"NODE","exclude":[]}"#,
        ),
        (
            "PUT",
            "/v1/streams/demo/origin",
            r#"{"slug":"demo","key":null,"node":"NODE","newest":null,"newest_dts":null}"#,
        ),
    ];
    let changes = changes.map(|(method, path, body)| {
        (
            method,
            path.replace("NODE", NODE),
            body.replace("NODE", NODE),
        )
    });
    gets.into_iter().map(get).chain(changes).collect()
}

fn is_away(what: &str, answer: Option<Answer>) {
    let answer = answer.unwrap_or_else(|| panic!("{what} is not answered"));
    let text = answer.text();
    assert_eq!(
        (answer.status, answer.field("retry-after")),
        (503, Some("1")),
        "{what}: {text}"
    );
    assert!(text.contains("\"control_plane_away\""), "{what}: {text}");
    assert!(
        !text.contains("127.0.0.1"),
        "strangers need not know where bus and state are: {what}: {text}"
    );
}

/// Everything at once: where a server stands still, each waits for as long as it may.
async fn gateway_says_so(gateway: Gateway) {
    let asking = requests()
        .into_iter()
        .map(|(method, path, body)| async move {
            let answer = http::send(gateway.0, method, &path, &body).await;
            is_away(&format!("{method} {path}"), answer);
        });
    futures_util::future::join_all(asking).await;
}

/// Streams that the relay does not carry.
async fn relay_says_so(media: SocketAddr) {
    let asking = [
        "/live/other/index.m3u8",
        "/live/other/media.m3u8",
        "/live/other.flv",
    ];
    let asking = asking.map(|path| async move { is_away(path, http::get(media, path).await) });
    futures_util::future::join_all(asking).await;
}

async fn everybody_says_so(deployment: &mut Deployment) {
    let gateway = deployment.gateway();
    let media = deployment.program("relay").door("media");
    tokio::join!(gateway_says_so(gateway), relay_says_so(media));
}

async fn is_back(deployment: &mut Deployment) {
    let gateway = deployment.gateway();
    eventually("the control plane is back", || async {
        gateway.nodes().await
    })
    .await;
}

/// Goal: while NATS or Redis is away, every caller gets `control_plane_away` and when to try again. Method: each of them is
/// killed and then frozen, under a gateway that has never heard of a relay and a relay that carries nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bus_or_state_that_is_away_is_told_as_such_on_every_path() {
    let mut deployment = Deployment::start(1).await;
    deployment.add_relay("relay", "supernode", &[]).await;
    deployment.nats.kill();
    everybody_says_so(&mut deployment).await;
    deployment.nats.restart().await;
    is_back(&mut deployment).await;
    deployment.redis.kill();
    everybody_says_so(&mut deployment).await;
    deployment.redis.restart().await;
    is_back(&mut deployment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bus_or_state_that_stands_still_is_told_as_such_on_every_path() {
    let mut deployment = Deployment::start(1).await;
    deployment.add_relay("relay", "supernode", &[]).await;
    deployment.redis.freeze();
    everybody_says_so(&mut deployment).await;
    deployment.redis.thaw();
    is_back(&mut deployment).await;
    deployment.nats.freeze();
    everybody_says_so(&mut deployment).await;
    deployment.nats.thaw();
    is_back(&mut deployment).await;
}
