//! Streams declared in a file: there from the start, back after a wipe, with the keys that the file says.

#![recursion_limit = "256"]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the finding"
)]

use astral_backend::{Backend, Change};
use astral_control_tests::{Control, Relay, demo, eventually, pass};
use astral_directory::Config;
use astral_proto::limits::{LEASE, PUBLISHER_GRACE};
use astral_proto::message::{
    ChangeStream, CreateStream, DeleteStream, GetStream, ListStreams, StreamChanged, event,
};
use astral_proto::model::{Role, StreamState};
use astral_proto::{Code, NodeId, Slug};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// The keys `first` and `second`, hashed with the salt `0123456789abcdef`.
const FIRST: &str =
    "0123456789abcdef:509553cd9fe3e08f74a345840d1489554da0503fdd1f4a0d40eb429f0987ca55";
const SECOND: &str =
    "0123456789abcdef:4991dd9dd36cb3ee51450d676fa897247eeff2171de7b2a608788ec1d0716c71";

/// A file that declares `demo`, gone with this.
struct File(PathBuf);

impl File {
    fn new(key: &str) -> Self {
        let file =
            Self(std::env::temp_dir().join(format!("astral-streams-{}.toml", NodeId::random())));
        file.declares(key, "");
        file
    }

    fn declares(&self, key: &str, more: &str) {
        let text = format!("[[stream]]\nslug = \"demo\"\nkey_sha256 = {key:?}\n{more}");
        std::fs::write(&self.0, text).unwrap();
    }

    fn config(&self) -> Config {
        Config {
            open_publishing: false,
            streams_file: Some(self.0.clone()),
        }
    }

    async fn control(&self) -> Control {
        Control::start_with(Backend::local(), 100, self.config()).await
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

async fn relay(control: &Control) -> Relay {
    Relay::join(control, Role::Supernode, 100_000)
        .await
        .unwrap()
}

async fn names(control: &Control) -> Vec<Slug> {
    let list = control
        .ask(ListStreams {
            cursor: None,
            limit: 10,
            states: vec![],
        })
        .await
        .unwrap();
    list.items.into_iter().map(|stream| stream.slug).collect()
}

async fn refused(relay: &Relay, key: Option<&str>) -> Code {
    relay.go_live(&demo(), key).await.unwrap_err().code
}

#[tokio::test(start_paused = true)]
async fn a_declared_stream_is_there_from_the_start_and_takes_its_key_alone() {
    let file = File::new(FIRST);
    let control = file.control().await;
    let relay = relay(&control).await;
    assert_eq!(names(&control).await, [demo()]);
    assert_eq!(refused(&relay, None).await, Code::Unauthenticated);
    assert_eq!(refused(&relay, Some("second")).await, Code::Unauthenticated);
    assert_eq!(
        relay.go_live(&demo(), Some("first")).await.unwrap().epoch,
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_declared_stream_is_back_within_a_second_of_a_wipe() {
    let file = File::new(FIRST);
    let control = file.control().await;
    let mut told = control
        .backend
        .bus
        .subscribe(event::STREAM_CREATED, None)
        .await
        .unwrap();
    control.wipe().await;
    pass(Duration::from_millis(1_100)).await;
    assert_eq!(names(&control).await, [demo()]);
    let told: StreamChanged = told.next().await.unwrap();
    assert_eq!(
        told.slug,
        demo(),
        "it was gone, and whoever looks on hears that it is back"
    );
    control.wipe().await;
    assert_eq!(
        control.ask(GetStream { slug: demo() }).await.unwrap().state,
        StreamState::Idle,
        "asked for, at once"
    );
    control.wipe().await;
    let made = control
        .ask(CreateStream {
            slug: demo(),
            key: Some("mine".into()),
        })
        .await;
    assert_eq!(
        made.unwrap_err().code,
        Code::Conflict,
        "nobody gets in between"
    );
    control.wipe().await;
    let relay = relay(&control).await;
    control.wipe().await;
    assert_eq!(refused(&relay, Some("guess")).await, Code::Unauthenticated);
    control.wipe().await;
    relay.go_live(&demo(), Some("first")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_live_through_a_wipe_keeps_its_key_and_goes_on() {
    let file = File::new(FIRST);
    let control = file.control().await;
    let origin = relay(&control).await;
    let other = relay(&control).await;
    origin.go_live(&demo(), Some("first")).await.unwrap();
    pass(Duration::from_secs(5)).await;
    control.wipe().await;
    eventually("its origin tells of it", async || {
        let stream = control.ask(GetStream { slug: demo() }).await.unwrap();
        (stream.state == StreamState::Live).then_some(())
    })
    .await;
    let stream = control.ask(GetStream { slug: demo() }).await.unwrap();
    assert_eq!((stream.origin, stream.epoch), (Some(origin.id), 1));
    assert_eq!(refused(&other, None).await, Code::Unauthenticated);
    assert_eq!(
        other.go_live(&demo(), Some("first")).await.unwrap().epoch,
        2
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_declared_is_changed_in_the_file_alone() {
    let file = File::new(FIRST);
    let control = file.control().await;
    let gone = control
        .ask(DeleteStream { slug: demo() })
        .await
        .unwrap_err();
    assert_eq!(gone.code, Code::Conflict);
    assert!(gone.detail.contains("declared in --streams-file"), "{gone}");
    let change = |key: Option<&str>| ChangeStream {
        slug: demo(),
        streaming: Some(false),
        key: key.map(Into::into),
    };
    assert_eq!(
        control.ask(change(Some("mine"))).await.unwrap_err().code,
        Code::Conflict
    );
    assert_eq!(
        control.ask(change(None)).await.unwrap().state,
        StreamState::Paused,
        "it may be paused"
    );
    let relay = relay(&control).await;
    file.declares(SECOND, "[[stream]]\nslug = \"hall\"\n");
    eventually("the file is read again", async || {
        (names(&control).await.len() == 2).then_some(())
    })
    .await;
    let change = ChangeStream {
        streaming: Some(true),
        ..change(None)
    };
    assert_eq!(
        control.ask(change).await.unwrap().state,
        StreamState::Idle,
        "a new key does not end a pause"
    );
    assert_eq!(refused(&relay, Some("first")).await, Code::Unauthenticated);
    relay.go_live(&demo(), Some("second")).await.unwrap();
    std::fs::write(&file.0, "").unwrap();
    eventually("what is no longer declared may go", async || {
        control.ask(DeleteStream { slug: demo() }).await.ok()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_starts_with_an_old_file_does_not_bring_an_old_key_back() {
    let old = File::new(FIRST);
    let new = File::new(SECOND);
    let dated = |file: &File, days: u64| {
        let date = SystemTime::UNIX_EPOCH + Duration::from_secs(days * 24 * 3600);
        std::fs::File::options()
            .append(true)
            .open(&file.0)
            .unwrap()
            .set_modified(date)
            .unwrap();
    };
    dated(&old, 20_000);
    dated(&new, 20_001);
    let control = new.control().await;
    let relay = relay(&control).await;
    let start = async |file: &File| {
        let backend = control.backend.clone();
        let serving = control.serving.clone();
        astral_directory::start(file.config(), backend, serving)
            .await
            .unwrap();
        pass(Duration::from_secs(5)).await;
    };
    start(&old).await;
    assert_eq!(refused(&relay, Some("first")).await, Code::Unauthenticated);
    dated(&old, 20_002);
    start(&old).await;
    assert_eq!(
        refused(&relay, Some("second")).await,
        Code::Unauthenticated,
        "it was changed meanwhile"
    );
    relay.go_live(&demo(), Some("first")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_thousand_declared_streams_are_back_with_the_next_sweep() {
    let file = File::new(FIRST);
    let more: String = (1..1_000)
        .map(|number| format!("[[stream]]\nslug = \"s{number}\"\n"))
        .collect();
    file.declares(FIRST, &more);
    let control = file.control().await;
    let count = async || {
        control
            .ask(ListStreams {
                cursor: None,
                limit: 1_000,
                states: vec![],
            })
            .await
            .unwrap()
            .items
            .len()
    };
    eventually("they are there", async || {
        (count().await == 1_000).then_some(())
    })
    .await;
    control.wipe().await;
    pass(Duration::from_millis(1_500)).await;
    assert_eq!(count().await, 1_000);
    file.declares(FIRST, &(more + "[[stream]]\nslug = \"s1000\"\n"));
    let backend = control.backend.clone();
    let serving = control.serving.clone();
    let refused = astral_directory::start(file.config(), backend, serving)
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .ends_with("1001 streams are over the limit of 1000"),
        "{refused}"
    );
}

/// What the state has under the name of one of them cannot be read.
#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_put_back_keeps_no_other_away_nor_the_dead_alive() {
    let file = File::new(FIRST);
    file.declares(
        FIRST,
        &format!(
            "[[stream]]\nslug = \"hall\"\nkey_sha256 = {SECOND:?}\n[[stream]]\nslug = \"room\"\n"
        ),
    );
    let control = file.control().await;
    let hall: Slug = "hall".parse().unwrap();
    let room: Slug = "room".parse().unwrap();
    let origin = relay(&control).await;
    origin.go_live(&hall, Some("second")).await.unwrap();
    pass(Duration::from_secs(10)).await;
    let state = &control.backend.state;
    let rubbish = |_: Option<String>| Change::Put {
        value: "rubbish".to_owned(),
        ttl: None,
        result: (),
    };
    state
        .update("removed-streams", "demo", rubbish)
        .await
        .unwrap();
    for slug in [demo(), room.clone()] {
        assert!(state.remove("streams", slug.as_str()).await.unwrap());
    }
    pass(Duration::from_millis(1_100)).await;
    assert_eq!(names(&control).await, [hall.clone(), room]);
    origin.kill();
    pass(LEASE + PUBLISHER_GRACE + Duration::from_secs(5)).await;
    assert_eq!(
        control.ask(GetStream { slug: hall }).await.unwrap().state,
        StreamState::Ended
    );
}

#[tokio::test(start_paused = true)]
async fn replicas_agree_and_one_that_starts_leaves_what_is_live_as_it_is() {
    let file = File::new(FIRST);
    let control = file.control().await;
    let origin = relay(&control).await;
    origin.go_live(&demo(), Some("first")).await.unwrap();
    let live = control.ask(GetStream { slug: demo() }).await.unwrap();
    let mut changes = control
        .backend
        .bus
        .subscribe::<StreamChanged>(event::STREAM_CHANGED, None)
        .await
        .unwrap();
    let mut made = control
        .backend
        .bus
        .subscribe::<StreamChanged>(event::STREAM_CREATED, None)
        .await
        .unwrap();
    for _ in 0..2 {
        let backend = control.backend.clone();
        let serving = control.serving.clone();
        astral_directory::start(file.config(), backend, serving)
            .await
            .unwrap();
    }
    pass(Duration::from_secs(5)).await;
    let now = control.ask(GetStream { slug: demo() }).await.unwrap();
    assert_eq!(
        (now.state, now.epoch, now.origin),
        (live.state, live.epoch, live.origin)
    );
    tokio::select! {
        biased;
        told = changes.next() => panic!("{told:?}"),
        told = made.next() => panic!("{told:?}"),
        () = pass(Duration::from_secs(5)) => {}
    }
    control
        .backend
        .state
        .remove("streams", "demo")
        .await
        .unwrap();
    tokio::select! {
        told = made.next() => assert_eq!(told.unwrap().slug, demo()),
        () = pass(Duration::from_secs(5)) => panic!("it is not put back"),
    }
    tokio::select! {
        told = made.next() => panic!("made twice: {told:?}"),
        () = pass(Duration::from_secs(5)) => {}
    }
}
