//! Nodes and relays of another version than this one, over real sockets.

use astral_media::record::{self, Record, VERSIONS_FIELD};
use astral_proto::model::{NodeState, StreamState};
use astral_proto::ticket::{Claims, sign};
use astral_proto::{Kbps, NodeId, TicketId, UnixMillis};
use bytes::BytesMut;
use harness::{Cluster, Gateway, Publisher, http};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SLUG: &str = "demo";

async fn network() -> (Cluster, Publisher) {
    let cluster = Cluster::start(2).await;
    let publisher = Publisher::start(cluster.rtmp(1), SLUG);
    cluster.is_listed(SLUG, StreamState::Live).await;
    (cluster, publisher)
}

/// Sends `body` with a field that no version knows, in each object of it.
async fn send(cluster: &Cluster, method: &str, path: &str, body: &Value) -> http::Answer {
    let body = extended(body).to_string();
    http::send(cluster.http(), method, path, &body)
        .await
        .unwrap_or_else(|| panic!("the gateway answers {method} {path}"))
}

fn extended(message: &Value) -> Value {
    match message {
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), extended(value)));
            let new = ("region".to_owned(), json!({"name": "eu"}));
            Value::Object(fields.chain([new]).collect())
        }
        Value::Array(elements) => elements.iter().map(extended).collect(),
        other => other.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_a_later_version_joins_beats_and_gets_a_ticket() {
    let (cluster, _publisher) = network().await;
    let node = NodeId::random();
    let register = json!({
        "node": node, "role": "node", "limit_kbps": 10_000, "rtts": [],
        "media_url": "http://127.0.0.1:9", "rtmp_url": "rtmp://127.0.0.1:9/live", "advertise": "127.0.0.1:9",
    });
    let registered = send(&cluster, "POST", "/v1/node", &register).await;
    assert_eq!(registered.status, 201, "{}", registered.text());
    let request = json!({"slug": SLUG, "subscriber": node, "exclude": []});
    let path = format!("/v1/node/streams/{SLUG}/tickets");
    let offered = send(&cluster, "POST", &path, &request).await;
    assert_eq!(offered.status, 201, "{}", offered.text());
    let ticket = offered.json::<Value>()["active"].clone();
    let heartbeat = json!({
        "node": node, "draining": false, "limit_kbps": 10_000, "viewer_kbps": 0, "rtts": [], "serves": [], "sent_at": 1,
        "generation": registered.json::<Value>()["generation"],
        "streams": [{
            "slug": SLUG, "epoch": 1, "path": [ticket["provider"], node], "kbps": 300,
            "viewers": {"flv": 0, "rtmp": 0, "hls": 0},
        }],
        "holds": [{"id": ticket["id"], "slug": SLUG, "provider": ticket["provider"], "standby": false, "flows": true}],
    });
    let answer = send(&cluster, "PUT", &format!("/v1/node/{node}"), &heartbeat).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let lost = answer.json::<Value>()["tickets"]["lost"].clone();
    assert_eq!(lost, json!([]), "the broker knows the ticket");
    let nodes = Gateway(cluster.http()).nodes().await.expect("nodes");
    let known = nodes.iter().find(|known| known.uuid == node);
    assert_eq!(known.map(|known| known.state), Some(NodeState::Up));
}

/// The first records of a link whose request has these fields.
async fn first_records(cluster: &Cluster, fields: &str, count: usize) -> Vec<Record> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let claims = Claims {
        id: TicketId::random(),
        slug: SLUG.parse().expect("a slug"),
        provider: cluster.node(1),
        subscriber: NodeId::random(),
        standby: false,
        kbps: Kbps::new(100),
        expires_at: UnixMillis::from_secs(now.expect("it is after 1970").as_secs() + 60),
    };
    let token = sign(&claims, &Cluster::ticket_key());
    let mut socket = TcpStream::connect(cluster.media(1))
        .await
        .expect("it listens");
    let request = format!(
        "GET /relay/{SLUG} HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {token}\r\n{fields}\r\n"
    );
    socket
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut bytes = BytesMut::new();
    let head_end = b"\r\n\r\n";
    let head = loop {
        let end = bytes
            .windows(head_end.len())
            .position(|window| window == head_end);
        if let Some(end) = end {
            break bytes.split_to(end + head_end.len());
        }
        assert!(socket.read_buf(&mut bytes).await.expect("it answers") > 0);
    };
    assert!(head.starts_with(b"HTTP/1.1 200"), "{head:?}");
    let mut parameters = None;
    let mut records = Vec::new();
    while records.len() < count {
        if let Some(record) = record::read(&mut bytes, &mut parameters).expect("records") {
            records.push(record);
            continue;
        }
        assert!(socket.read_buf(&mut bytes).await.expect("it streams") > 0);
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_offers_versions_is_told_the_chosen_one_and_another_is_told_none() {
    let (cluster, _publisher) = network().await;
    let old = first_records(&cluster, "", 30).await;
    assert!(matches!(old[0], Record::Path(_)), "{:?}", old[0]);
    let told = old
        .iter()
        .any(|record| matches!(record, Record::Version(_)));
    assert!(!told, "an old subscriber does not know the record");
    let later = first_records(&cluster, &format!("{VERSIONS_FIELD}: 1-7\r\n"), 2).await;
    assert_eq!(later[0], Record::Version(1));
    assert!(matches!(later[1], Record::Path(_)), "{:?}", later[1]);
}
