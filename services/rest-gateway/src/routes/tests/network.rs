//! The network at a glance, the settings, and what changes of a stream.

use super::door::{Door, body, node};
use astral_proto::Kbps;
use astral_proto::message::ChangeStream;
use astral_proto::model::{Stream, StreamState, Viewers};
use serde_json::json;

#[tokio::test]
async fn topology_shows_nodes_and_the_trees_of_streams_on_air() {
    let carrier = node(1, 9000);
    let door = Door::new().with_directory().await;
    let door = door
        .with_nodes(vec![carrier.clone()])
        .await
        .with_tree(&carrier)
        .await;
    let seen = body(&door.get("/v1/topology").await);
    assert_eq!(seen["nodes"][0]["uuid"], carrier.uuid.to_string());
    assert_eq!(
        (&seen["more_nodes"], &seen["next_cursor"]),
        (&json!(false), &json!(null))
    );
    assert_eq!(seen["trees"][0]["slug"], "demo");
    assert_eq!(
        seen["trees"][0]["relays"][0]["node"],
        carrier.uuid.to_string()
    );
    let next = body(&door.get("/v1/topology?cursor=a").await);
    assert_eq!(
        (&next["nodes"], &next["next_cursor"]),
        (&json!([]), &json!("a"))
    );
}

#[tokio::test]
async fn settings_are_shown_without_secrets() {
    let settings = body(&Door::with_drills(true).get("/v1/settings").await);
    assert_eq!(
        (&settings["allow_drills"], &settings["api_tokens"]),
        (&json!(true), &json!(null))
    );
}

#[tokio::test]
async fn a_stream_is_paused_and_its_key_changed() {
    let door = Door::new();
    let stream = Stream {
        slug: "demo".parse().unwrap(),
        state: StreamState::Paused,
        epoch: 2,
        origin: None,
        kbps: Kbps::new(0),
        started_at: None,
        last_seen_at: None,
        viewers: Viewers::default(),
        warnings: vec![],
        last_refusal: None,
    };
    let mut asked = door.serving::<ChangeStream>(stream).await;
    let answer = door
        .put(
            "/v1/streams/demo",
            &json!({"streaming": false, "key": "next"}),
        )
        .await;
    assert_eq!(
        (answer.status().as_u16(), &body(&answer)["state"]),
        (200, &json!("paused"))
    );
    let ask = asked.recv().await.unwrap();
    assert_eq!(
        (ask.slug.as_str(), ask.streaming, ask.key.as_deref()),
        ("demo", Some(false), Some("next"))
    );
}
