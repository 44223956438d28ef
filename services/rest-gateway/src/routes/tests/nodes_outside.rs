//! What a node outside the cluster does over REST, and what reaches it.

use super::door::{Door, body, header, problem};
use astral_proto::message::{
    CancelTicket, ConfirmTicket, GoLive, Grant, Heartbeat, HeartbeatReply, Leave, Offer,
    OriginState, Probe, Probed, PublisherGone, Register, Registered, RequestTicket, Standby,
    SwitchTicket, Tickets,
};
use astral_proto::model::Role;
use astral_proto::rest::{NodeAnswer, NodeAsk};
use astral_proto::{
    Code, FrameId, Incarnation, Kbps, Micros, NodeId, Problem, Slug, TicketId, UnixMillis,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;
use warp::test::WsClient;

const SOON: Duration = Duration::from_secs(2);

fn demo() -> Slug {
    "demo".parse().unwrap()
}

fn register(node: NodeId) -> Register {
    Register {
        node,
        name: String::new(),
        role: Role::Auto,
        media_url: "http://edge:8081".into(),
        rtmp_url: "rtmp://edge:1935/live".into(),
        advertise: "edge:8081".into(),
        limit_kbps: Kbps::new(20_000),
        rtts: vec![],
        process: 1,
        sent_at: UnixMillis::new(2),
    }
}

fn heartbeat(node: NodeId) -> Heartbeat {
    Heartbeat {
        node,
        draining: false,
        limit_kbps: Kbps::new(20_000),
        viewer_kbps: Kbps::new(0),
        streams: vec![],
        rtts: vec![],
        serves: vec![],
        holds: vec![],
        generation: 1,
        sent_at: UnixMillis::new(1),
        notices: vec![],
        process: 1,
    }
}

fn offer() -> Offer {
    let token = "a.b.c".into();
    Offer {
        id: TicketId::random(),
        provider: NodeId::random(),
        advertise: "a:1".into(),
        token,
    }
}

fn text(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

#[tokio::test]
async fn a_node_joins_says_how_it_is_and_leaves() {
    let door = Door::new();
    let node = NodeId::random();
    let registered = Registered {
        role: Role::Node,
        primary_supernode: None,
        ticket_keys: vec!["key".into()],
        generation: 1,
        supernodes: vec![],
        now: UnixMillis::new(5),
    };
    let mut joined = door.serving::<Register>(registered.clone()).await;
    let mut beats = door.serving::<Heartbeat>(HeartbeatReply::default()).await;
    let mut left = door.serving::<Leave>(()).await;
    let at = format!("/v1/node/{node}");
    let answer = door.post("/v1/node", &text(&register(node))).await;
    let shown_at = format!("/v1/nodes/{node}");
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "location")),
        (201, &*shown_at)
    );
    assert_eq!(
        (body(&answer), joined.recv().await.unwrap()),
        (text(&registered), register(node))
    );
    let answer = door.put(&at, &text(&heartbeat(node))).await;
    assert_eq!(
        (answer.status().as_u16(), body(&answer)),
        (200, text(&HeartbeatReply::default()))
    );
    assert_eq!(beats.recv().await.unwrap(), heartbeat(node));
    assert_eq!(door.delete(&at).await.status(), 204);
    assert_eq!(left.recv().await.unwrap(), Leave { node });
}

#[tokio::test]
async fn a_node_of_the_version_before_finds_everything_where_it_was() {
    let door = Door::new();
    let node = NodeId::random();
    let _beats = door.serving::<Heartbeat>(HeartbeatReply::default()).await;
    let _left = door.serving::<Leave>(()).await;
    let at = format!("/v1/nodes/{node}");
    assert_eq!(door.put(&at, &text(&heartbeat(node))).await.status(), 200);
    assert_eq!(door.delete(&at).await.status(), 204);
    for (path, method) in [
        ("/v1/nodes".to_owned(), "POST"),
        ("/v1/streams/demo/origin".to_owned(), "PUT"),
        ("/v1/streams/demo/origin/gone".to_owned(), "POST"),
        ("/v1/streams/demo/tickets".to_owned(), "POST"),
        (format!("/v1/streams/demo/tickets/{node}"), "PUT"),
    ] {
        let answer = door
            .send(warp::test::request().method(method).path(&path).body("{}"))
            .await;
        problem(&answer, 400, "bad_request");
    }
}

#[tokio::test]
async fn a_heartbeat_may_be_long_up_to_what_the_bus_takes() {
    let door = Door::new();
    let node = NodeId::random();
    let _beats = door.serving::<Heartbeat>(HeartbeatReply::default()).await;
    let mut long = text(&heartbeat(node));
    let held =
        json!({"id": TicketId::random(), "slug": "demo", "provider": node, "standby": false});
    long["holds"] = vec![held; 5_000].into();
    assert_eq!(
        door.put(&format!("/v1/node/{node}"), &long).await.status(),
        200
    );
    long["holds"] = vec![long["holds"][0].clone(); 10_000].into();
    problem(
        &door.put(&format!("/v1/node/{node}"), &long).await,
        413,
        "bad_request",
    );
}

#[tokio::test]
async fn a_body_that_is_about_another_node_or_stream_is_refused_with_both_names() {
    let door = Door::new();
    let node = NodeId::random();
    let other = NodeId::random();
    let detail = problem(
        &door
            .put(&format!("/v1/node/{node}"), &text(&heartbeat(other)))
            .await,
        400,
        "bad_request",
    );
    assert!(
        detail.contains(&node.to_string()) && detail.contains(&other.to_string()),
        "{detail}"
    );
    let ask = RequestTicket {
        slug: demo(),
        subscriber: node,
        exclude: vec![],
        left: vec![],
    };
    let detail = problem(
        &door
            .post("/v1/node/streams/else/tickets", &text(&ask))
            .await,
        400,
        "bad_request",
    );
    assert!(
        detail.contains("else") && detail.contains("demo"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_subscriber_requests_confirms_switches_and_cancels() {
    let door = Door::new();
    let node = NodeId::random();
    let tickets = Tickets {
        active: offer(),
        standby: Some(offer()),
    };
    let ask = RequestTicket {
        slug: demo(),
        subscriber: node,
        exclude: vec![NodeId::random()],
        left: vec![],
    };
    let mut requested = door.serving::<RequestTicket>(tickets.clone()).await;
    let answer = door
        .post("/v1/node/streams/demo/tickets", &text(&ask))
        .await;
    let at = format!("/v1/node/streams/demo/tickets/{node}");
    let shown_at = format!("/v1/streams/demo/tickets/{node}");
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "location")),
        (201, &*shown_at)
    );
    assert_eq!(
        (body(&answer), requested.recv().await.unwrap()),
        (text(&tickets), ask)
    );

    let id = tickets.standby.unwrap().id;
    let left = Some(tickets.active.id);
    let mut confirmed = door.serving::<ConfirmTicket>(()).await;
    let answer = door.put(&at, &json!({ "confirm": id })).await;
    assert_eq!(
        (answer.status().as_u16(), body(&answer)),
        (200, json!({"standby": null}))
    );
    assert_eq!(
        confirmed.recv().await.unwrap(),
        ConfirmTicket {
            id,
            subscriber: node
        }
    );

    let next = Standby {
        standby: Some(offer()),
    };
    let mut switched = door.serving::<SwitchTicket>(next.clone()).await;
    let answer = door
        .put(&at, &json!({"switch": {"active": id, "left": left}}))
        .await;
    assert_eq!(body(&answer), text(&next));
    let expected = SwitchTicket {
        slug: demo(),
        subscriber: node,
        active: id,
        left,
    };
    assert_eq!(switched.recv().await.unwrap(), expected);

    let mut cancelled = door.serving::<CancelTicket>(()).await;
    assert_eq!(door.delete(&format!("{at}?id={id}")).await.status(), 204);
    assert_eq!(cancelled.recv().await.unwrap(), CancelTicket { id, node });
    problem(&door.delete(&at).await, 400, "bad_request");
}

#[tokio::test]
async fn a_node_becomes_origin_and_tells_that_its_publisher_has_gone() {
    let door = Door::new();
    let node = NodeId::random();
    let grant = Grant {
        incarnation: Incarnation::from_bits(7),
        epoch: 3,
        first_gop: 7,
        first_dts: Micros::new(1),
        discontinuity: 2,
        target_duration_seconds: Some(4),
    };
    let ask = GoLive {
        slug: demo(),
        key: Some("k".into()),
        node,
        newest: None,
        newest_dts: None,
        incarnation: Incarnation::default(),
        epoch: 0,
    };
    let mut asked = door.serving::<GoLive>(grant.clone()).await;
    let answer = door.put("/v1/node/streams/demo/origin", &text(&ask)).await;
    assert_eq!(
        (answer.status().as_u16(), body(&answer)),
        (200, text(&grant))
    );
    assert_eq!(asked.recv().await.unwrap(), ask);
    let origin = OriginState {
        newest: FrameId::new(7, 1),
        newest_dts: Micros::new(1),
        discontinuity: 0,
        target_duration_seconds: None,
        silent_ms: 5,
    };
    let gone = PublisherGone {
        slug: demo(),
        incarnation: Incarnation::from_bits(7),
        epoch: 3,
        node,
        ended: false,
        origin,
    };
    let mut told = door.serving::<PublisherGone>(()).await;
    assert_eq!(
        door.post("/v1/node/streams/demo/origin/gone", &text(&gone))
            .await
            .status(),
        204
    );
    assert_eq!(told.recv().await.unwrap(), gone);
}

async fn socket(door: &Door, node: NodeId) -> WsClient {
    let request = warp::test::ws().path(&format!("/v1/node/{node}/requests"));
    request.handshake(door.routes()).await.unwrap()
}

async fn asked(socket: &mut WsClient) -> NodeAsk {
    loop {
        let message = socket.recv().await.unwrap();
        if let Ok(text) = message.to_str() {
            return serde_json::from_str(text).unwrap();
        }
    }
}

/// Whether the node can be asked yet: its socket is served by a task of its own.
async fn until_asked(door: &Door, node: NodeId, probe: &Probe) -> Result<Probed, Problem> {
    loop {
        match door.bus().request_node(node, probe, SOON).await {
            Err(problem) if problem.code == Code::Unavailable => tokio::task::yield_now().await,
            answer => return answer,
        }
    }
}

#[tokio::test]
async fn requests_to_a_node_go_down_its_socket_and_its_answers_come_up() {
    let door = Door::new();
    let node = NodeId::random();
    let mut socket = socket(&door, node).await;
    let probe = Probe { slug: demo() };
    let probed = Probed {
        carried: None,
        publisher_silent_ms: Some(7),
        process: 1,
    };
    let answering = async {
        let ask = asked(&mut socket).await;
        assert_eq!(ask.read::<Probe>().unwrap(), probe);
        socket
            .send_text(text(&NodeAnswer::new(ask.id, Ok(&probed))).to_string())
            .await;
        let ask = asked(&mut socket).await;
        let draining = Problem::new(Code::Unavailable, "draining, by its own word");
        socket
            .send_text(text(&NodeAnswer::new::<()>(ask.id, Err(draining))).to_string())
            .await;
    };
    let asking = async {
        assert_eq!(until_asked(&door, node, &probe).await, Ok(probed.clone()));
        let refused = door
            .bus()
            .request_node(node, &probe, SOON)
            .await
            .unwrap_err();
        assert_eq!(refused.detail, "draining, by its own word");
    };
    tokio::join!(answering, asking);
}

#[tokio::test]
async fn a_newer_socket_of_a_node_takes_over() {
    let door = Door::new();
    let node = NodeId::random();
    let mut old = socket(&door, node).await;
    let mut new = socket(&door, node).await;
    while let Ok(message) = old.recv().await {
        if message.is_close() {
            break;
        }
    }
    let probe = Probe { slug: demo() };
    let answering = async {
        let ask = asked(&mut new).await;
        let probed = Probed {
            carried: None,
            publisher_silent_ms: None,
            process: 1,
        };
        new.send_text(text(&NodeAnswer::new(ask.id, Ok(&probed))).to_string())
            .await;
    };
    let (answer, ()) = tokio::join!(until_asked(&door, node, &probe), answering);
    assert!(answer.is_ok());
}

#[tokio::test]
async fn a_node_that_talks_nonsense_loses_its_socket() {
    let door = Door::new();
    let node = NodeId::random();
    let mut socket = socket(&door, node).await;
    socket.send_text("nonsense").await;
    let closed = async {
        while let Ok(message) = socket.recv().await {
            if message.is_close() {
                break;
            }
        }
    };
    timeout(SOON, closed)
        .await
        .expect("the gateway closes the socket");
}

#[tokio::test]
async fn the_socket_wants_an_upgrade() {
    let door = Door::new();
    let plain = door
        .get(&format!("/v1/node/{}/requests", NodeId::random()))
        .await;
    problem(&plain, 426, "bad_request");
}
