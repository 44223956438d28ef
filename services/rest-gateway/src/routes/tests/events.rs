//! Events over a WebSocket, and what of the bus is told on.

use super::door::Door;
use crate::events::sources::follow;
use astral_chassis::Context;
use astral_proto::message::{NodeGone, StreamChanged, TicketChanged, event};
use astral_proto::model::{Stream, StreamState, Viewers};
use astral_proto::{Kbps, NodeId, Slug, TicketId};
use serde_json::Value;
use warp::test::WsClient;

async fn told(socket: &mut WsClient) -> Value {
    loop {
        let message = socket.recv().await.unwrap();
        if let Ok(text) = message.to_str() {
            return serde_json::from_str(text).unwrap();
        }
    }
}

fn changed(slug: &str) -> StreamChanged {
    let slug: Slug = slug.parse().unwrap();
    let stream = Stream {
        slug: slug.clone(),
        state: StreamState::Live,
        epoch: 1,
        origin: None,
        kbps: Kbps::new(0),
        started_at: None,
        last_seen_at: None,
        viewers: Viewers::default(),
        warnings: vec![],
        last_refusal: None,
    };
    StreamChanged {
        slug,
        stream: Some(stream),
    }
}

#[tokio::test]
async fn what_the_bus_tells_is_told_on_and_resumed_by_id() {
    let door = Door::new();
    let context = Context::detached();
    follow(door.events(), door.bus(), &context).await.unwrap();
    let mut socket = warp::test::ws()
        .path("/v1/events")
        .handshake(door.routes())
        .await
        .unwrap();
    assert_eq!(told(&mut socket).await["type"], "ready");
    door.bus()
        .publish(event::STREAM_CREATED, &changed("demo"))
        .await
        .unwrap();
    let created = told(&mut socket).await;
    assert_eq!(
        (&created["type"], &created["stream"]["slug"]),
        (&"stream.created".into(), &"demo".into())
    );
    drop(socket);
    let node = NodeId::random();
    door.bus()
        .publish(event::NODE_GONE, &NodeGone { node, lost: true })
        .await
        .unwrap();
    let again = format!(
        "/v1/events?last_event_id={}",
        created["id"].as_str().unwrap()
    );
    let mut socket = warp::test::ws()
        .path(&again)
        .handshake(door.routes())
        .await
        .unwrap();
    let gone = told(&mut socket).await;
    assert_eq!(
        (&gone["type"], &gone["uuid"]),
        (&"node.gone".into(), &node.to_string().into())
    );
    let [provider, subscriber] = [NodeId::random(), NodeId::random()];
    let id = TicketId::random();
    let slug = "demo".parse().unwrap();
    let ticket = TicketChanged {
        id,
        slug,
        provider,
        subscriber,
        standby: true,
    };
    door.bus()
        .publish(event::TICKET_CREATED, &ticket)
        .await
        .unwrap();
    let offered = told(&mut socket).await;
    assert_eq!(
        (&offered["type"], &offered["ticket"]["standby"]),
        (&"ticket.created".into(), &true.into())
    );
    context.stop();
    assert!(context.drained().await);
}
