use super::*;
use crate::client::Client;
use crate::control::RestControlPlane;
use crate::upstream::Limit;
use astral_chassis::Context;
use astral_proto::model::Role;
use astral_proto::{Kbps, NodeId};
use astral_relay::node::{keep, statement};
use astral_relay::{Reach, RelayConfig};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use warp::test::RequestBuilder;

/// The API of a node whose gateway nobody has started.
fn local() -> Arc<Local> {
    let join = ["http://127.0.0.1:1".parse().unwrap()];
    let client = Arc::new(Client::new(&join, None).unwrap());
    let nowhere = ([127, 0, 0, 1], 1).into();
    let config = RelayConfig {
        node: NodeId::random(),
        reach: Reach::new(nowhere, nowhere, None, None),
        limit_kbps: 5_000,
        cache_bytes_max: 1 << 20,
        gateway_url: None,
        allow_drills: false,
        connect: astral_relay::Connect::Tcp,
        env: astral_relay::Env::system(),
    };
    let context = Context::detached();
    let control = Arc::new(RestControlPlane::new(client.clone()));
    let relay = astral_relay::start(
        config,
        control,
        CancellationToken::new(),
        context.scope.tasks.clone(),
    );
    let limit = Limit::new(relay.clone(), true);
    Arc::new(Local {
        relay,
        limit,
        context,
        client,
        role: Role::Auto,
    })
}

fn asking(method: &str, path: &str) -> RequestBuilder {
    warp::test::request()
        .method(method)
        .path(path)
        .header("host", "127.0.0.1:8000")
}

async fn reply(local: &Arc<Local>, request: RequestBuilder) -> (u16, Value) {
    let response = request.reply(&all(local.clone())).await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    (
        response.status().as_u16(),
        serde_json::from_slice(response.body()).unwrap_or_default(),
    )
}

#[tokio::test]
async fn a_node_shows_itself_and_nobody_else() {
    let local = local();
    let own = local.relay.node().to_string();
    let (status, nodes) = reply(&local, asking("GET", "/v1/nodes")).await;
    assert_eq!((status, &nodes["next_cursor"]), (200, &Value::Null));
    let node = &nodes["items"][0];
    let expected =
        json!({"uuid": own, "state": "up", "limit_kbps": 5_000, "joined": false, "streams": 0});
    expected
        .as_object()
        .unwrap()
        .iter()
        .for_each(|(name, value)| assert_eq!(&node[name], value, "{name}"));
    assert_eq!(
        reply(&local, asking("GET", &format!("/v1/nodes/{own}")))
            .await
            .1["uuid"],
        own
    );
    let (status, problem) = reply(
        &local,
        asking("GET", &format!("/v1/nodes/{}", NodeId::random())),
    )
    .await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
}

#[tokio::test]
async fn the_upstream_limit_is_changed_while_the_node_runs() {
    let local = local();
    let change = asking("PUT", "/v1/settings").json(&json!({"upstream_limit": 1_234}));
    let (status, settings) = reply(&local, change).await;
    assert_eq!((status, &settings["upstream_limit"]), (200, &json!(1_234)));
    assert_eq!(statement(&local.relay).limit_kbps, Kbps::new(1_234));
    for bad in [
        json!({"upstream_limit": -1}),
        json!({"upstream_limit": 1, "colour": "red"}),
        json!({}),
    ] {
        let (status, problem) = reply(&local, asking("PUT", "/v1/settings").json(&bad)).await;
        assert_eq!(
            (status, &problem["code"]),
            (400, &json!("bad_request")),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn a_stream_is_let_go_kept_out_and_taken_back_in() {
    let local = local();
    let (status, _) = reply(&local, asking("DELETE", "/v1/streams/demo")).await;
    assert_eq!(status, 404, "it is not here yet");
    keep(&local.relay, &"demo".parse().unwrap()).unwrap();
    let (status, stream) = reply(&local, asking("GET", "/v1/streams/demo")).await;
    assert_eq!(
        (status, &stream["kept"], &stream["state"]),
        (200, &json!(true), &json!("idle"))
    );
    assert_eq!(
        reply(&local, asking("DELETE", "/v1/streams/demo")).await.0,
        204
    );
    let put =
        |streaming: bool| asking("PUT", "/v1/streams/demo").json(&json!({"streaming": streaming}));
    let (status, stream) = reply(&local, put(false)).await;
    assert_eq!(
        (status, &stream["kept"], &stream["state"]),
        (200, &json!(false), &json!("paused"))
    );
    let (status, problem) = reply(&local, asking("POST", "/v1/streams/demo")).await;
    assert_eq!(status, 503);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("paused on this node"),
        "{problem}"
    );
    assert_eq!(reply(&local, put(true)).await.1["state"], "idle");
    keep(&local.relay, &"demo".parse().unwrap()).unwrap();
    assert_eq!(
        reply(&local, asking("GET", "/v1/streams")).await.1["items"][0]["slug"],
        "demo"
    );
}

#[tokio::test]
async fn a_node_that_is_told_to_leave_begins_its_drain() {
    let local = local();
    assert_eq!(reply(&local, asking("POST", "/v1/drain")).await.0, 202);
    assert!(local.context.scope.stopping.is_cancelled());
}

#[tokio::test]
async fn pages_from_elsewhere_change_nothing_and_names_pointed_here_see_nothing() {
    let local = local();
    let from = |origin: &str| asking("POST", "/v1/drain").header("origin", origin);
    assert_eq!(reply(&local, from("http://evil.example")).await.0, 403);
    assert_eq!(
        reply(&local, from("http://127.0.0.1:9000")).await.0,
        403,
        "another port is another origin"
    );
    for host in [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "",
    ] {
        let request = warp::test::request().path("/v1/nodes").header("host", host);
        assert_eq!(reply(&local, request).await.0, 403, "{host}");
    }
    assert!(!local.context.scope.stopping.is_cancelled());
    for host in ["localhost:8000", "[::1]:8000", "127.0.0.1"] {
        let request = warp::test::request().path("/v1/nodes").header("host", host);
        assert_eq!(reply(&local, request).await.0, 200, "{host}");
    }
    assert_eq!(reply(&local, from("http://127.0.0.1:8000")).await.0, 202);
}

#[tokio::test]
async fn what_is_not_there_and_what_is_too_much_is_a_problem_document() {
    let local = local();
    for (method, path) in [
        ("GET", "/v2"),
        ("PATCH", "/v1/settings"),
        ("DELETE", "/v1/nodes"),
        ("GET", "/../x"),
    ] {
        assert_eq!(
            reply(&local, asking(method, path)).await.1["code"],
            "not_found",
            "{method} {path}"
        );
    }
    let (status, problem) = reply(&local, asking("POST", "/v1/streams/a%20b")).await;
    assert_eq!((status, &problem["code"]), (400, &json!("bad_request")));
    let long = "x".repeat(BODY_BYTES_MAX + 1);
    let (status, problem) = reply(&local, asking("PUT", "/v1/settings").body(long)).await;
    assert_eq!(
        (
            status,
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("over the limit")
        ),
        (400, true)
    );
}

#[tokio::test]
async fn the_page_and_all_that_it_names_are_there() {
    let local = local();
    let page = asking("GET", "/").reply(&all(local.clone())).await;
    let text = String::from_utf8(page.body().to_vec()).unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    for asset in ["/style.css", "/page.js", "/logo.svg"] {
        assert!(text.contains(asset), "{asset}");
        assert_eq!(
            asking("GET", asset)
                .reply(&all(local.clone()))
                .await
                .status(),
            200,
            "{asset}"
        );
    }
}
