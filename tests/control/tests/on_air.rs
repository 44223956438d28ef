//! The list of streams on air, which is found by an index and not among all other names.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the finding"
)]

use astral_backend::Change;
use astral_control_tests::{Control, Relay, demo, eventually, pass};
use astral_proto::message::{CreateStream, DeleteStream, ListStreams};
use astral_proto::model::{Role, StreamState};
use astral_proto::{Code, Slug};
use std::time::Duration;

const INDEX: &str = "streams-on-air";
const LIVE: &[StreamState] = &[StreamState::Live];
const GRACE: &[StreamState] = &[StreamState::Grace];
const ON_AIR: &[StreamState] = &[StreamState::Live, StreamState::Grace];

async fn started() -> (Control, Relay) {
    let control = Control::start(100, true).await;
    let relay = Relay::join(&control, Role::Supernode, 100_000)
        .await
        .unwrap();
    (control, relay)
}

/// Names in `states`, read in pages of `limit`.
async fn names(control: &Control, states: &[StreamState], limit: u32) -> Vec<String> {
    let mut names = Vec::new();
    let mut cursor = None;
    loop {
        let page = control
            .ask(ListStreams {
                cursor,
                limit,
                states: states.to_vec(),
            })
            .await
            .unwrap();
        assert!(page.items.len() <= limit as usize);
        names.extend(page.items.iter().map(|stream| stream.slug.to_string()));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return names;
        }
    }
}

async fn become_listed(control: &Control, states: &[StreamState], wanted: &[&str]) {
    eventually(&format!("{wanted:?} are {states:?}"), async || {
        (names(control, states, 100).await == wanted).then_some(())
    })
    .await;
}

async fn goes_live(relay: &Relay, name: &str) -> Slug {
    let slug: Slug = name.parse().unwrap();
    relay.go_live(&slug, None).await.unwrap();
    slug
}

#[tokio::test(start_paused = true)]
async fn two_thousand_idle_names_hide_no_live_stream() {
    let (control, relay) = started().await;
    for number in 0..2_100 {
        let slug = format!("idle-{number:04}").parse().unwrap();
        control.ask(CreateStream { slug, key: None }).await.unwrap();
    }
    for name in ["zz-last", "aa-first", "idle-1000-live"] {
        goes_live(&relay, name).await;
    }
    let live = ["aa-first", "idle-1000-live", "zz-last"];
    for limit in [1, 2, 3, 1_000] {
        assert_eq!(names(&control, LIVE, limit).await, live, "{limit} a page");
        assert_eq!(names(&control, ON_AIR, limit).await, live, "{limit} a page");
    }
    assert_eq!(names(&control, GRACE, 1_000).await, Vec::<String>::new());
    assert_eq!(
        names(&control, &[], 1_000).await.len(),
        2_103,
        "all are listed without a state"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_listed_by_the_state_that_it_is_in() {
    let (control, relay) = started().await;
    goes_live(&relay, "stays").await;
    let goes = goes_live(&relay, "goes").await;
    pass(Duration::from_secs(3)).await;
    relay.kill();
    become_listed(&control, GRACE, &["goes", "stays"]).await;
    become_listed(&control, LIVE, &[]).await;
    assert_eq!(names(&control, ON_AIR, 1).await, ["goes", "stays"]);
    become_listed(&control, ON_AIR, &[]).await;
    let other = Relay::join(&control, Role::Supernode, 100_000)
        .await
        .unwrap();
    other.go_live(&goes, None).await.unwrap();
    become_listed(&control, LIVE, &["goes"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_deleted_is_listed_no_more() {
    let (control, relay) = started().await;
    goes_live(&relay, "demo").await;
    control.ask(DeleteStream { slug: demo() }).await.unwrap();
    assert_eq!(names(&control, ON_AIR, 100).await, Vec::<String>::new());
    assert_eq!(
        control.backend.state.get::<bool>(INDEX, "demo").await,
        Ok(None)
    );
    goes_live(&relay, "demo").await;
    assert_eq!(names(&control, LIVE, 100).await, ["demo"]);
}

#[tokio::test(start_paused = true)]
async fn a_wipe_of_the_state_hides_a_live_stream_no_longer_than_its_next_heartbeat() {
    let (control, relay) = started().await;
    goes_live(&relay, "demo").await;
    pass(Duration::from_secs(3)).await;
    control.wipe().await;
    assert_eq!(names(&control, ON_AIR, 100).await, Vec::<String>::new());
    become_listed(&control, LIVE, &["demo"]).await;
}

/// A directory may die between the two writes of a change.
#[tokio::test(start_paused = true)]
async fn what_the_index_has_missed_a_sweep_mends() {
    let (control, relay) = started().await;
    goes_live(&relay, "demo").await;
    let state = &control.backend.state;
    state.remove(INDEX, "demo").await.unwrap();
    for stray in ["never-made", "idle", "no slug at all"] {
        let put = |_: Option<bool>| Change::Put {
            value: true,
            ttl: None,
            result: (),
        };
        state.update(INDEX, stray, put).await.unwrap();
    }
    control
        .ask(CreateStream {
            slug: "idle".parse().unwrap(),
            key: None,
        })
        .await
        .unwrap();
    assert_eq!(
        names(&control, ON_AIR, 100).await,
        Vec::<String>::new(),
        "what is not on air is not listed"
    );
    become_listed(&control, LIVE, &["demo"]).await;
    let indexed: Vec<(String, bool)> = state.list(INDEX, None, 100).await.unwrap();
    assert_eq!(indexed, [("demo".to_owned(), true)]);
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_not_on_air_are_not_listed_by_state() {
    let (control, _relay) = started().await;
    for states in [
        &[StreamState::Ended][..],
        &[StreamState::Live, StreamState::Idle],
    ] {
        let ask = ListStreams {
            cursor: None,
            limit: 10,
            states: states.to_vec(),
        };
        assert_eq!(
            control.ask(ask).await.unwrap_err().code,
            Code::BadRequest,
            "{states:?}"
        );
    }
    let none = ListStreams {
        cursor: None,
        limit: 0,
        states: LIVE.to_vec(),
    };
    assert_eq!(control.ask(none).await.unwrap_err().code, Code::BadRequest);
}
