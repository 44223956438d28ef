//! Streams: who may publish, who takes over, how a stream ends.

#![recursion_limit = "256"]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the finding"
)]

use astral_control_tests::{Control, Relay, demo, eventually, pass};
use astral_proto::message::{
    ChangeStream, CreateStream, DeleteStream, FenceReason, GetStream, ListStreams, PublisherGone,
    StreamChanged, event,
};
use astral_proto::model::{Role, Stream, StreamState, Viewers};
use astral_proto::{Code, Micros, Problem};
use std::time::Duration;

const UPSTREAM: u32 = 100_000;

async fn relays<const N: usize>(control: &Control) -> [Relay; N] {
    let mut relays = Vec::new();
    for _ in 0..N {
        relays.push(
            Relay::join(control, Role::Supernode, UPSTREAM)
                .await
                .unwrap(),
        );
    }
    relays.try_into().ok().unwrap()
}

async fn state(control: &Control) -> StreamState {
    control.ask(GetStream { slug: demo() }).await.unwrap().state
}

async fn create(control: &Control, key: Option<&str>) -> Result<Stream, Problem> {
    let create = CreateStream {
        slug: demo(),
        key: key.map(Into::into),
    };
    control.ask(create).await
}

#[tokio::test(start_paused = true)]
async fn a_second_publisher_is_refused_while_the_first_sends_and_let_in_after_two_seconds_of_silence()
 {
    let control = Control::start(100, true).await;
    let [first, second] = relays(&control).await;
    let grant = first.go_live(&demo(), None).await.unwrap();
    assert_eq!(
        (grant.epoch, grant.first_gop, grant.first_dts),
        (1, 0, Micros::ZERO)
    );
    pass(Duration::from_millis(1_500)).await;
    let refused = second.go_live(&demo(), None).await.unwrap_err();
    assert_eq!(refused.code, Code::Conflict);
    assert!(
        refused
            .detail
            .contains("another publisher, which sent 1500 ms ago"),
        "{refused}"
    );
    pass(Duration::from_millis(1_500)).await;
    let grant = second.go_live(&demo(), None).await.unwrap();
    assert_eq!(
        (grant.epoch, grant.first_gop, grant.discontinuity),
        (2, 1, 1)
    );
    assert_eq!(grant.first_dts, Micros::new(3_000_000));
    let stream = control.ask(GetStream { slug: demo() }).await.unwrap();
    assert_eq!((stream.origin, stream.epoch), (Some(second.id), 2));
    let fenced = eventually("the old origin is fenced", async || {
        first.fenced().first().cloned()
    })
    .await;
    assert_eq!((fenced.slug, fenced.epoch), (demo(), 2));
    // The deposed origin goes on as before, and changes nothing by it but that it is told again.
    first.publish(&demo(), 50);
    eventually("it is fenced again", async || {
        (first.fenced().len() > 1).then_some(())
    })
    .await;
    assert_eq!(
        control
            .ask(GetStream { slug: demo() })
            .await
            .unwrap()
            .origin,
        Some(second.id)
    );
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_moves_goes_on_past_what_any_relay_carries() {
    let control = Control::start(100, true).await;
    let [origin, child, next] = relays(&control).await;
    origin.go_live(&demo(), None).await.unwrap();
    child.pull(&demo(), &[]).await.unwrap();
    pass(Duration::from_secs(4)).await;
    child.publish(&demo(), 77);
    origin.kill();
    let grant = next.go_live(&demo(), None).await.unwrap();
    assert_eq!((grant.epoch, grant.first_gop), (2, 78));
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_dies_leaves_a_grace_window_and_an_ended_stream() {
    let control = Control::start(100, true).await;
    let [origin] = relays(&control).await;
    origin.go_live(&demo(), None).await.unwrap();
    let mut changes = control
        .backend
        .bus
        .subscribe(event::STREAM_CHANGED, None)
        .await
        .unwrap();
    pass(Duration::from_secs(30)).await;
    assert_eq!(state(&control).await, StreamState::Live);
    origin.kill();
    for expected in [StreamState::Grace, StreamState::Ended] {
        let told: StreamChanged = changes.next().await.unwrap();
        assert_eq!(
            (told.slug, told.stream.map(|stream| stream.state)),
            (demo(), Some(expected))
        );
        assert_eq!(state(&control).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_publisher_back_within_the_grace_window_resumes() {
    let control = Control::start(100, true).await;
    let [origin, other] = relays(&control).await;
    let first = origin.go_live(&demo(), None).await.unwrap();
    pass(Duration::from_secs(3)).await;
    let newest = astral_proto::FrameId::new(5, 0);
    let origin_state = astral_proto::message::OriginState {
        newest,
        newest_dts: Micros::new(10_000_000),
        discontinuity: 0,
        target_duration_seconds: Some(4),
        silent_ms: 0,
    };
    let gone = PublisherGone {
        slug: demo(),
        incarnation: first.incarnation,
        epoch: 1,
        node: origin.id,
        ended: false,
        origin: origin_state,
    };
    control.ask(gone.clone()).await.unwrap();
    assert_eq!(state(&control).await, StreamState::Grace);
    pass(Duration::from_secs(8)).await;
    let grant = other.go_live(&demo(), None).await.unwrap();
    assert_eq!(
        (grant.epoch, grant.first_gop, grant.first_dts),
        (2, 6, Micros::from_secs(18))
    );
    assert_eq!(grant.target_duration_seconds, Some(4));
    control
        .ask(PublisherGone {
            ended: true,
            ..gone
        })
        .await
        .unwrap();
    assert_eq!(
        state(&control).await,
        StreamState::Live,
        "the old origin has no say any more"
    );
}

#[tokio::test(start_paused = true)]
async fn without_open_publishing_only_the_key_publishes() {
    let control = Control::start(100, false).await;
    let [relay] = relays(&control).await;
    let unknown = relay.go_live(&demo(), Some("secret")).await.unwrap_err();
    create(&control, Some("secret")).await.unwrap();
    let wrong = relay.go_live(&demo(), Some("guess")).await.unwrap_err();
    assert_eq!((unknown.code, &unknown), (Code::Unauthenticated, &wrong));
    assert!(relay.go_live(&demo(), Some("secret")).await.is_ok());
    let again = create(&control, None).await.unwrap_err();
    assert_eq!(again.code, Code::Conflict);
}

#[tokio::test(start_paused = true)]
async fn another_key_cuts_the_publisher_off_and_lets_the_owner_in_at_once() {
    let control = Control::start(100, true).await;
    let [old, other] = relays(&control).await;
    create(&control, Some("first")).await.unwrap();
    old.go_live(&demo(), Some("first")).await.unwrap();
    let change = |key: &str| ChangeStream {
        slug: demo(),
        streaming: None,
        key: Some(key.into()),
    };
    control.ask(change("first")).await.unwrap();
    assert!(
        old.fenced().is_empty(),
        "the same key again changes nothing"
    );
    control.ask(change("second")).await.unwrap();
    let fenced = old.fenced();
    let told: Vec<_> = fenced
        .iter()
        .map(|fence| (fence.epoch, fence.reason))
        .collect();
    assert_eq!(
        told,
        [(2, FenceReason::KeyChanged)],
        "by the time that the owner is answered"
    );
    assert_eq!(state(&control).await, StreamState::Grace);
    for key in ["first", "guess"] {
        let refused = other.go_live(&demo(), Some(key)).await.unwrap_err();
        assert_eq!(refused.code, Code::Unauthenticated);
    }
    assert_eq!(
        other.go_live(&demo(), Some("second")).await.unwrap().epoch,
        3
    );
    assert_eq!(state(&control).await, StreamState::Live);
}

/// Loses the stream as a Redis that evicts entries does, and lets the directory find that out.
async fn evict(control: &Control) {
    pass(Duration::from_secs(2)).await;
    assert_eq!(
        control.backend.state.remove("streams", "demo").await,
        Ok(true)
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_a_key_that_the_state_loses_is_not_an_open_one() {
    let control = Control::start(100, true).await;
    let [owner, stranger] = relays(&control).await;
    create(&control, Some("secret")).await.unwrap();
    let refused = async || {
        for key in [None, Some("guess")] {
            let refused = stranger.go_live(&demo(), key).await.unwrap_err();
            assert_eq!(refused.code, Code::Unauthenticated, "{refused}");
        }
    };
    evict(&control).await;
    refused().await;
    evict(&control).await;
    pass(Duration::from_secs(2)).await;
    refused().await;
    owner.go_live(&demo(), Some("secret")).await.unwrap();
    evict(&control).await;
    // Its heartbeats bring it back, with its key.
    pass(Duration::from_secs(4)).await;
    assert_eq!(state(&control).await, StreamState::Live);
    owner.kill();
    pass(Duration::from_secs(3)).await;
    refused().await;
    let paused = ChangeStream {
        slug: demo(),
        streaming: Some(false),
        key: None,
    };
    control.ask(paused).await.unwrap();
    evict(&control).await;
    let refused_paused = stranger.go_live(&demo(), Some("secret")).await.unwrap_err();
    assert_eq!(refused_paused.code, Code::Forbidden, "it is still paused");
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_a_key_that_was_deleted_stays_so() {
    let control = Control::start(100, true).await;
    let [relay] = relays(&control).await;
    create(&control, Some("secret")).await.unwrap();
    pass(Duration::from_secs(2)).await;
    control.ask(DeleteStream { slug: demo() }).await.unwrap();
    pass(Duration::from_secs(3)).await;
    assert_eq!(
        control
            .ask(GetStream { slug: demo() })
            .await
            .unwrap_err()
            .code,
        Code::NotFound
    );
    relay
        .go_live(&demo(), None)
        .await
        .expect("the name is free");
    // Made again with a key and lost within the time in which the deletion is remembered.
    control.ask(DeleteStream { slug: demo() }).await.unwrap();
    create(&control, Some("next")).await.unwrap();
    evict(&control).await;
    assert_eq!(
        relay.go_live(&demo(), None).await.unwrap_err().code,
        Code::Unauthenticated
    );
    relay.go_live(&demo(), Some("next")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_taken_off_the_list_is_cut_off_and_its_epochs_are_not_used_again() {
    let control = Control::start(100, true).await;
    let [relay] = relays(&control).await;
    let first = relay.go_live(&demo(), None).await.unwrap();
    control.ask(DeleteStream { slug: demo() }).await.unwrap();
    let fenced = eventually("the origin is fenced", async || {
        relay.fenced().first().cloned()
    })
    .await;
    assert_eq!(fenced.epoch, 2);
    pass(Duration::from_secs(10)).await;
    let absent = control.ask(GetStream { slug: demo() }).await.unwrap_err();
    assert_eq!(
        absent.code,
        Code::NotFound,
        "its heartbeats do not bring it back"
    );
    assert_eq!(
        control
            .ask(DeleteStream { slug: demo() })
            .await
            .unwrap_err()
            .code,
        Code::NotFound
    );
    let again = relay.go_live(&demo(), None).await.unwrap();
    assert_eq!(again.epoch, 3);
    assert_ne!(
        again.incarnation, first.incarnation,
        "though this relay still holds the one before"
    );
}

#[tokio::test(start_paused = true)]
async fn viewers_add_up_over_relays_and_go_with_them() {
    let control = Control::start(100, true).await;
    let [origin, child] = relays(&control).await;
    origin.go_live(&demo(), None).await.unwrap();
    child.pull(&demo(), &[]).await.unwrap();
    origin.watched_by(Viewers {
        flv: 1,
        rtmp: 2,
        hls: 3,
    });
    child.watched_by(Viewers {
        flv: 10,
        rtmp: 0,
        hls: 0,
    });
    let viewers = |expected: u32| {
        let control = &control;
        async move || {
            let viewers = control
                .ask(GetStream { slug: demo() })
                .await
                .unwrap()
                .viewers;
            (viewers.total() == expected).then_some(viewers)
        }
    };
    let both = eventually("viewers of both relays", viewers(16)).await;
    assert_eq!(
        both,
        Viewers {
            flv: 11,
            rtmp: 2,
            hls: 3
        }
    );
    child.kill();
    eventually("viewers of one relay", viewers(6)).await;
}

#[tokio::test(start_paused = true)]
async fn streams_are_listed_by_name_in_pages() {
    let control = Control::start(100, true).await;
    for name in ["c", "a", "b"] {
        control
            .ask(CreateStream {
                slug: name.parse().unwrap(),
                key: None,
            })
            .await
            .unwrap();
    }
    let page = control
        .ask(ListStreams {
            cursor: None,
            limit: 2,
            states: vec![],
        })
        .await
        .unwrap();
    let names: Vec<_> = page
        .items
        .iter()
        .map(|stream| stream.slug.as_str())
        .collect();
    assert_eq!(
        (names, page.next_cursor.as_deref()),
        (vec!["a", "b"], Some("b"))
    );
    let last = control
        .ask(ListStreams {
            cursor: page.next_cursor,
            limit: 1,
            states: vec![],
        })
        .await
        .unwrap();
    assert_eq!((last.items[0].slug.as_str(), last.next_cursor), ("c", None));
    let refused = control
        .ask(ListStreams {
            cursor: None,
            limit: 0,
            states: vec![],
        })
        .await
        .unwrap_err();
    assert_eq!(refused.code, Code::BadRequest);
}

#[tokio::test(start_paused = true)]
async fn a_wipe_while_relays_carry_a_stream_changes_neither_its_incarnation_nor_its_numbers() {
    let control = Control::start(100, true).await;
    let [origin, child, other] = relays(&control).await;
    let first = origin.go_live(&demo(), None).await.unwrap();
    let second = origin.go_live(&demo(), None).await.unwrap();
    assert!(first.incarnation.is_known());
    assert_eq!((second.incarnation, second.epoch), (first.incarnation, 2));
    child.pull(&demo(), &[]).await.unwrap();
    control.wipe().await;
    let at_once = origin.go_live(&demo(), None).await.unwrap();
    assert_eq!(
        (at_once.incarnation, at_once.epoch),
        (first.incarnation, 3),
        "before any heartbeat"
    );
    control.wipe().await;
    eventually("heartbeats bring the stream back", async || {
        control.ask(GetStream { slug: demo() }).await.ok()
    })
    .await;
    let moved = other.go_live(&demo(), None).await.unwrap();
    assert_eq!((moved.incarnation, moved.epoch), (first.incarnation, 4));
}

#[tokio::test(start_paused = true)]
async fn a_wipe_that_nothing_survives_starts_another_incarnation() {
    let control = Control::start(100, true).await;
    let [before] = relays(&control).await;
    let first = before.go_live(&demo(), None).await.unwrap();
    before.kill();
    control.wipe().await;
    let [after] = relays(&control).await;
    let second = after.go_live(&demo(), None).await.unwrap();
    assert!(second.incarnation.differs_from(first.incarnation));
    assert_eq!(second.epoch, 1);
}
