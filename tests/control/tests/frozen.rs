//! One of two replicas of each control service is frozen: half of what is sent to its group goes nowhere.

#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use astral_backend::Backend;
use astral_control_tests::{Control, Relay, demo, pass};
use astral_proto::Slug;
use astral_proto::limits::{LEASE, PUBLISHER_GRACE};
use astral_proto::message::{CreateStream, DeleteStream, GetStream, ListNodes};
use astral_proto::model::{NodeState, Role, StreamState};
use astral_runtime::TaskScope;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

/// A second replica of each service on a runtime of its own, which stands still from the start.
struct Frozen(Option<Runtime>);

impl Frozen {
    async fn beside(control: &Control) -> Self {
        let backend = control.backend.clone();
        let start = move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let bus = backend.bus.as_another_process().await.unwrap();
                start_each(Backend {
                    bus,
                    state: backend.state,
                    env: backend.env,
                })
                .await;
            });
            runtime
        };
        Self(Some(tokio::task::spawn_blocking(start).await.unwrap()))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.0
            .take()
            .into_iter()
            .for_each(Runtime::shutdown_background);
    }
}

async fn start_each(backend: Backend) {
    let serving = TaskScope::default();
    let directory = astral_directory::Config {
        open_publishing: true,
        streams_file: None,
    };
    astral_directory::start(directory, backend.clone(), serving.clone())
        .await
        .unwrap();
    let config = astral_supernode_coordinator::Config {
        children_limit: 100,
    };
    astral_supernode_coordinator::start(config, backend.clone(), serving.clone())
        .await
        .unwrap();
    let config = astral_ticket_broker::Config {
        ticket_key_file: None,
    };
    astral_ticket_broker::start(config, backend, serving)
        .await
        .unwrap();
}

fn numbered(number: usize) -> Slug {
    format!("demo-{number}").parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_frozen_replica_ends_no_lease_and_no_stream() {
    let control = Control::start(100, true).await;
    let mut relays = Vec::new();
    for _ in 0..8 {
        relays.push(Relay::join(&control, Role::Node, 100_000).await.unwrap());
    }
    relays[0].go_live(&demo(), None).await.unwrap();
    let _frozen = Frozen::beside(&control).await;
    let until = Instant::now() + Duration::from_secs(110);
    let mut gop = 0;
    while Instant::now() < until {
        gop += 1;
        relays[0].publish(&demo(), gop);
        pass(Duration::from_secs(1)).await;
        let nodes = control
            .ask(ListNodes {
                cursor: None,
                limit: 100,
            })
            .await
            .unwrap()
            .items;
        let up = nodes
            .iter()
            .filter(|node| node.state == NodeState::Up)
            .count();
        assert_eq!(up, relays.len(), "after {gop} s");
        let stream = control.ask(GetStream { slug: demo() }).await.unwrap();
        assert_eq!(
            (stream.state, stream.epoch),
            (StreamState::Live, 1),
            "after {gop} s"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_replica_refuses_no_publisher_and_no_subscriber_and_none_waits_long() {
    let control = Control::start(100, true).await;
    let origin = Relay::join(&control, Role::Node, 1_000_000).await.unwrap();
    let edge = Relay::join(&control, Role::Node, 1_000_000).await.unwrap();
    let _frozen = Frozen::beside(&control).await;
    for number in 0..8 {
        let slug = numbered(number);
        let asked = Instant::now();
        let grant = origin.go_live(&slug, None).await.unwrap();
        assert!(
            asked.elapsed() < Duration::from_secs(1),
            "{number}: {:?}",
            asked.elapsed()
        );
        assert_eq!(grant.epoch, 1, "it is granted once");
        origin.beat().await.unwrap();
        let asked = Instant::now();
        edge.pull(&slug, &[]).await.unwrap();
        assert!(
            asked.elapsed() < Duration::from_secs(1),
            "{number}: {:?}",
            asked.elapsed()
        );
    }
    let longest = LEASE + PUBLISHER_GRACE;
    pass(longest).await;
    assert_eq!(edge.lost(), []);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_made_and_removed_once_beside_a_frozen_replica() {
    let control = Control::start(100, true).await;
    let _frozen = Frozen::beside(&control).await;
    for number in 0..8 {
        control
            .ask(CreateStream {
                slug: numbered(number),
                key: None,
            })
            .await
            .unwrap();
    }
    for number in 0..8 {
        control
            .ask(DeleteStream {
                slug: numbered(number),
            })
            .await
            .unwrap();
    }
}
