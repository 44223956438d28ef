//! A stream is paused by its owner and goes on again.

#![recursion_limit = "256"]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the finding"
)]

use astral_control_tests::{Control, Relay, demo, eventually};
use astral_proto::message::{ChangeStream, StreamChanged, event};
use astral_proto::model::{Role, Stream, StreamState};
use astral_proto::{Code, Problem};

async fn streaming(control: &Control, wanted: bool) -> Result<Stream, Problem> {
    control
        .ask(ChangeStream {
            slug: demo(),
            streaming: Some(wanted),
            key: None,
        })
        .await
}

#[tokio::test(start_paused = true)]
async fn a_paused_stream_loses_its_publisher_and_takes_none_until_it_goes_on() {
    let control = Control::start(100, true).await;
    let relay = Relay::join(&control, Role::Supernode, 100_000)
        .await
        .unwrap();
    relay.go_live(&demo(), None).await.unwrap();
    let mut changes = control
        .backend
        .bus
        .subscribe(event::STREAM_CHANGED, None)
        .await
        .unwrap();
    assert_eq!(
        streaming(&control, false).await.unwrap().state,
        StreamState::Paused
    );
    let told: StreamChanged = changes.next().await.unwrap();
    assert_eq!(told.stream.unwrap().state, StreamState::Paused);
    eventually("the origin gives up", async || {
        relay.fenced().first().cloned()
    })
    .await;
    assert_eq!(relay.fenced()[0].epoch, 2);
    let refused = relay.go_live(&demo(), None).await.unwrap_err();
    assert_eq!(refused.code, Code::Forbidden);
    assert!(refused.detail.contains("paused"), "{refused}");

    assert_eq!(
        streaming(&control, true).await.unwrap().state,
        StreamState::Ended
    );
    let grant = relay.go_live(&demo(), None).await.unwrap();
    assert_eq!(grant.epoch, 3, "the pause has used one up");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_there_cannot_be_paused() {
    let control = Control::start(100, true).await;
    assert_eq!(
        streaming(&control, false).await.unwrap_err().code,
        Code::NotFound
    );
}
