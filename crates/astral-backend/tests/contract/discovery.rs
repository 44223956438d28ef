//! What `nats micro` sees of a service.

use super::bus::{Double, WITHIN, serve_double};
use super::servers::start;
use serde_json::{Value, json};

async fn ask(client: &async_nats::Client, subject: &str) -> Value {
    let answer = client.request(subject.to_owned(), "".into()).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

#[tokio::test]
async fn service_is_found_by_all_by_name_and_by_id() {
    let ((nats, _redis), backend) = start().await;
    serve_double(&backend).await;
    let client = async_nats::connect(nats.url("")).await.unwrap();
    let ping = ask(&client, "$SRV.PING").await;
    assert_eq!(ping["type"], "io.nats.micro.v1.ping_response");
    assert_eq!(ping["name"], "test");
    let id = ping["id"].as_str().unwrap();
    assert_eq!(ask(&client, "$SRV.PING.test").await, ping);
    assert_eq!(ask(&client, &format!("$SRV.PING.test.{id}")).await, ping);
    let other = client
        .request("$SRV.PING.other".to_owned(), "".into())
        .await;
    assert_eq!(
        other.unwrap_err().kind(),
        async_nats::RequestErrorKind::NoResponders
    );
}

#[tokio::test]
async fn service_tells_what_it_serves_and_how_often_it_has() {
    let ((nats, _redis), backend) = start().await;
    serve_double(&backend).await;
    backend
        .bus
        .request(&Double { number: 1 }, WITHIN)
        .await
        .unwrap();
    backend
        .bus
        .request(&Double { number: u32::MAX }, WITHIN)
        .await
        .unwrap_err();
    let client = async_nats::connect(nats.url("")).await.unwrap();
    let info = ask(&client, "$SRV.INFO.test").await;
    let endpoint = json!({ "name": "double", "subject": "astral.test.double", "queue_group": "test", "metadata": {} });
    assert_eq!(
        (&info["type"], &info["endpoints"]),
        (&json!("io.nats.micro.v1.info_response"), &json!([endpoint]))
    );
    let stats = ask(&client, "$SRV.STATS").await;
    let served = &stats["endpoints"][0];
    assert_eq!(stats["type"], "io.nats.micro.v1.stats_response");
    assert_eq!(
        (&served["num_requests"], &served["num_errors"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(served["last_error"], "full");
}
