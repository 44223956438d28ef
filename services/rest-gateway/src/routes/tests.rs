//! Requests through every filter, with small services answering on the bus.

mod door;
mod events;
mod network;
mod nodes_outside;
mod players;
mod table;

use astral_proto::limits::LEASE;
use astral_proto::message::{GetStream, Inject, ListStreams, ListTickets};
use astral_proto::model::{Fault, Page, Stream, StreamState};
use astral_proto::{Code, NodeId, Problem};
use door::{Door, body, header, node, problem};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc;

#[tokio::test]
async fn streams_are_listed_in_pages_for_pages_of_any_origin() {
    let door = Door::new().with_directory().await;
    let response = door.get("/v1/streams?limit=7&cursor=a").await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "access-control-allow-origin"), "*");
    let page = body(&response);
    assert_eq!(page["next_cursor"], "a");
    assert_eq!(page["items"][0]["kbps"], 7);
    assert_eq!(
        page["items"][0]["viewers"],
        json!({"flv": 1, "rtmp": 0, "hls": 2})
    );
    assert_eq!(
        body(&door.get("/v1/streams").await)["items"][0]["kbps"],
        100
    );
}

#[tokio::test]
async fn streams_are_listed_by_state() {
    let door = Door::new();
    let mut asked = door
        .serving::<ListStreams>(Page {
            items: vec![],
            next_cursor: None,
        })
        .await;
    let wanted = |limit, states: &[StreamState]| ListStreams {
        cursor: None,
        limit,
        states: states.to_vec(),
    };
    assert_eq!(
        door.get("/v1/streams?state=live&limit=7").await.status(),
        200
    );
    assert_eq!(asked.recv().await, Some(wanted(7, &[StreamState::Live])));
    assert_eq!(door.get("/v1/streams?state=live,grace").await.status(), 200);
    assert_eq!(
        asked.recv().await,
        Some(wanted(100, &[StreamState::Live, StreamState::Grace]))
    );
    assert_eq!(door.get("/v1/streams").await.status(), 200);
    assert_eq!(asked.recv().await, Some(wanted(100, &[])));
    for wrong in ["loud", "", "ended", "Live", "live,", "live,%20grace"] {
        problem(
            &door.get(&format!("/v1/streams?state={wrong}")).await,
            400,
            "bad_request",
        );
    }
}

#[tokio::test]
async fn a_page_of_any_origin_may_ask_how_to_play() {
    let door = Door::new();
    for path in ["/live/demo/index.m3u8", "/live/demo.flv", "/v1/streams"] {
        let request = warp::test::request()
            .method("OPTIONS")
            .path(path)
            .header("origin", "https://a.example");
        let answer = door.send(request).await;
        assert_eq!(answer.status(), 204, "{path}");
        assert_eq!(header(&answer, "access-control-allow-origin"), "*");
        assert!(
            header(&answer, "access-control-allow-methods").contains("GET"),
            "{path}"
        );
        assert_eq!(header(&answer, "access-control-allow-headers"), "*");
    }
    let closed = door
        .send(warp::test::request().method("OPTIONS").path("/v1/nodes"))
        .await;
    problem(&closed, 405, "bad_request");
}

#[tokio::test]
async fn anyone_may_ask_where_to_publish() {
    let told = body(&Door::new().get("/v1/ingest").await);
    assert_eq!(told, json!({"publish_url": "rtmp://publish.example/live"}));
}

#[tokio::test]
async fn a_stream_is_created_read_and_deleted() {
    let door = Door::new().with_directory().await;
    let created = door
        .post("/v1/streams", &json!({"slug": "new", "key": "secret"}))
        .await;
    assert_eq!(
        (created.status().as_u16(), header(&created, "location")),
        (201, "/v1/streams/new")
    );
    problem(
        &door.post("/v1/streams", &json!({"slug": "demo"})).await,
        409,
        "conflict",
    );
    assert_eq!(body(&door.get("/v1/streams/demo").await)["state"], "live");
    let deleted = door
        .send(
            warp::test::request()
                .method("DELETE")
                .path("/v1/streams/demo"),
        )
        .await;
    assert_eq!(deleted.status(), 204);
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let door = Door::new().with_directory().await;
    assert!(
        problem(&door.get("/v1/streams/else").await, 404, "not_found").contains("no stream else")
    );
    assert!(problem(&door.get("/nowhere").await, 404, "not_found").contains("/nowhere"));
    problem(&door.get("/assets/none.js").await, 404, "not_found");
    problem(&door.get("/v1/streams/a%20b").await, 400, "bad_request");
    problem(&door.get("/v1/nodes/7").await, 400, "bad_request");
}

#[tokio::test]
async fn a_wrong_method_names_the_right_ones() {
    let door = Door::new();
    for (method, path, allow) in [
        ("PUT", "/v1/streams", "GET, HEAD, POST"),
        ("POST", "/v1/streams/demo", "GET, HEAD, PUT, DELETE"),
        ("GET", "/v1/nodes/7/drill", "POST"),
        ("POST", "/live/demo/index.m3u8", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
    ] {
        let response = door
            .send(warp::test::request().method(method).path(path))
            .await;
        problem(&response, 405, "bad_request");
        assert_eq!(header(&response, "allow"), allow, "{method} {path}");
    }
}

#[tokio::test]
async fn unknown_fields_are_refused_by_name() {
    let door = Door::with_drills(true).with_directory().await;
    for path in [
        "/v1/streams?colour=red",
        "/v1/streams/demo?colour=red",
        "/v1/nodes?colour=red",
        "/v1/ping?colour=1",
    ] {
        let detail = problem(&door.get(path).await, 400, "bad_request");
        assert!(detail.contains("colour"), "{detail}");
    }
    let drill = format!("/v1/nodes/{}/drill", NodeId::random());
    for (path, body) in [
        ("/v1/streams", json!({"slug": "x", "colour": "red"})),
        (&drill, json!({"fault": "cut", "seconds": 5, "colour": 1})),
    ] {
        let detail = problem(&door.post(path, &body).await, 400, "bad_request");
        assert!(detail.contains("colour"), "{detail}");
    }
}

#[tokio::test]
async fn pages_are_of_1_to_1000_items() {
    let door = Door::new().with_directory().await;
    for limit in ["0", "1001", "-1", "many"] {
        problem(
            &door.get(&format!("/v1/streams?limit={limit}")).await,
            400,
            "bad_request",
        );
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let door = Door::new().with_directory().await;
    let response = door
        .post("/v1/streams", &json!({"slug": "x".repeat(70 << 10)}))
        .await;
    assert!(problem(&response, 413, "bad_request").contains("65536"));
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing() {
    let door = Door::new().with_directory().await;
    let delete = |origin: &str| {
        let request = warp::test::request()
            .method("DELETE")
            .path("/v1/streams/demo");
        request
            .header("host", "localhost:8080")
            .header("origin", origin)
    };
    for origin in ["http://evil.example", "null", "http://localhost:80801"] {
        problem(&door.send(delete(origin)).await, 403, "forbidden");
    }
    assert_eq!(
        door.send(delete("http://localhost:8080")).await.status(),
        204
    );
}

#[tokio::test]
async fn without_a_control_plane_rest_says_so() {
    let door = Door::new();
    let id = NodeId::random();
    for path in [
        "/v1/streams".into(),
        "/v1/streams/demo".into(),
        "/v1/streams/demo/tree".into(),
        "/v1/streams/demo/tickets".into(),
        "/v1/tickets".into(),
        "/v1/nodes".into(),
        format!("/v1/nodes/{id}"),
        "/live/demo.flv".into(),
    ] {
        let response = door.get(&path).await;
        problem(&response, 503, "control_plane_away");
        assert_eq!(header(&response, "retry-after"), "1");
    }
}

#[tokio::test]
async fn tickets_of_one_stream_are_asked_for_by_its_name() {
    let door = Door::new();
    let list = |ask: ListTickets| async move {
        Ok(Page {
            items: vec![],
            next_cursor: ask.slug.map(|slug| slug.to_string()),
        })
    };
    door.bus()
        .serve("ticket-broker", &door.services, list)
        .await
        .unwrap();
    assert_eq!(
        body(&door.get("/v1/streams/demo/tickets").await)["next_cursor"],
        "demo"
    );
    assert_eq!(
        body(&door.get("/v1/tickets").await)["next_cursor"],
        Value::Null
    );
}

#[tokio::test]
async fn drills_are_forbidden_unless_allowed() {
    let response = Door::new()
        .post(
            &format!("/v1/nodes/{}/drill", NodeId::random()),
            &json!({"fault": "cut", "seconds": 5}),
        )
        .await;
    assert!(problem(&response, 403, "forbidden").contains("--allow-drills"));
}

#[tokio::test]
async fn a_drill_reaches_its_node_and_is_bounded() {
    let door = Door::with_drills(true);
    let id = NodeId::random();
    let (heard, mut drills) = mpsc::channel(1);
    let inject = move |inject: Inject| {
        let heard = heard.clone();
        async move {
            heard
                .send(inject)
                .await
                .map_err(|_| Problem::new(Code::Internal, "nobody listens"))
        }
    };
    door.bus()
        .serve_node(id, &door.services, inject)
        .await
        .unwrap();
    let path = format!("/v1/nodes/{id}/drill");
    for seconds in [0, 601] {
        problem(
            &door
                .post(&path, &json!({"fault": "freeze", "seconds": seconds}))
                .await,
            400,
            "bad_request",
        );
    }
    assert_eq!(
        door.post(&path, &json!({"fault": "freeze", "seconds": 600}))
            .await
            .status(),
        204
    );
    assert_eq!(
        drills.recv().await,
        Some(Inject {
            fault: Fault::Freeze,
            seconds: 600
        })
    );
}

#[tokio::test]
async fn probes_move_as_many_bytes_as_asked_for_up_to_4_mib() {
    let door = Door::new();
    assert_eq!(
        door.get("/v1/ping?bytes=100000").await.body().len(),
        100_000
    );
    assert!(door.get("/v1/ping").await.body().is_empty());
    problem(
        &door.get("/v1/ping?bytes=4194305").await,
        400,
        "bad_request",
    );
    let up = |bytes| {
        door.send(
            warp::test::request()
                .method("POST")
                .path("/v1/ping")
                .body(vec![0; bytes]),
        )
    };
    assert_eq!(body(&up(4 << 20).await), json!({"bytes": 4 << 20}));
    problem(&up((4 << 20) + 1).await, 413, "bad_request");
}

#[tokio::test]
async fn the_pages_come_with_assets_that_last_and_a_policy() {
    let door = Door::new();
    let page = door.get("/").await;
    assert_eq!(
        (page.status().as_u16(), header(&page, "cache-control")),
        (200, "no-cache")
    );
    assert!(header(&page, "content-security-policy").starts_with("default-src 'self'"));
    assert_eq!(header(&page, "x-content-type-options"), "nosniff");
    let html = String::from_utf8(page.body().to_vec()).unwrap();
    let script = html
        .split('"')
        .find(|text| text.starts_with("/assets/") && text.ends_with(".js"))
        .unwrap();
    let asset = door.get(script).await;
    assert_eq!(
        header(&asset, "content-type"),
        "text/javascript; charset=utf-8"
    );
    assert!(header(&asset, "cache-control").contains("immutable"));
    assert_eq!(door.get("/watch/demo").await.status(), 200);
    problem(&door.get("/watch/a%20b").await, 400, "bad_request");
}

#[tokio::test]
async fn a_page_that_the_caller_holds_is_not_sent_again() {
    let door = Door::new();
    let etag = header(&door.get("/").await, "etag").to_owned();
    let again = door
        .send(
            warp::test::request()
                .path("/")
                .header("if-none-match", etag),
        )
        .await;
    assert_eq!((again.status().as_u16(), again.body().len()), (304, 0));
}
