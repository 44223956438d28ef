//! Who becomes a supernode when many come at once, and who is one no longer.

#![recursion_limit = "256"]

use astral_backend::Change;
use astral_control_tests::{Control, Relay, eventually, pass};
use astral_proto::NodeId;
use astral_proto::message::GetNode;
use astral_proto::model::Role;
use futures_util::future::join_all;
use std::time::Duration;

const UPSTREAM: u32 = 100_000;

#[tokio::test(start_paused = true)]
async fn a_crowd_that_registers_at_once_gets_as_many_supernodes_as_it_needs() {
    for (children_limit, needed) in [(100, 1), (9, 6)] {
        let control = Control::start(children_limit, true).await;
        let crowd: Vec<_> = (0..60)
            .map(|_| Relay::absent(&control, Role::Auto, UPSTREAM))
            .collect();
        let register = |relay: &Relay| {
            let relay = relay.clone();
            async move { relay.register(&format!("{}:1", relay.id)).await.unwrap() }
        };
        let placed = join_all(crowd.iter().map(register)).await;
        let supernodes = placed
            .iter()
            .filter(|placed| placed.role == Role::Supernode)
            .count();
        assert_eq!(supernodes, needed);
        assert!(
            placed
                .iter()
                .all(|p| p.role == Role::Supernode || p.primary_supernode.is_some())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_waits_while_another_is_promoted_and_hangs_off_it() {
    let control = Control::start(100, true).await;
    let state = &control.backend.state;
    let claim = |_: Option<NodeId>| Change::Put {
        value: NodeId::random(),
        ttl: None,
        result: (),
    };
    state.update("promotions", "now", claim).await.unwrap();
    let node = Relay::absent(&control, Role::Auto, UPSTREAM);
    let registering = node.clone();
    let waiting = tokio::spawn(async move { registering.register("node:1").await.unwrap() });
    pass(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    let promoted = Relay::join(&control, Role::Supernode, UPSTREAM)
        .await
        .unwrap();
    state.remove("promotions", "now").await.unwrap();
    let placed = waiting.await.unwrap();
    assert_eq!(
        (placed.role, placed.primary_supernode),
        (Role::Node, Some(promoted.id))
    );
}

#[tokio::test(start_paused = true)]
async fn a_promoted_supernode_that_nobody_needs_is_demoted_and_one_that_is_needed_stays() {
    let control = Control::start(2, true).await;
    let promoted = Relay::join(&control, Role::Auto, UPSTREAM).await.unwrap();
    let role = async || {
        control
            .ask(GetNode { node: promoted.id })
            .await
            .unwrap()
            .role
    };
    assert_eq!(role().await, Role::Supernode);
    pass(Duration::from_secs(90)).await;
    assert_eq!(role().await, Role::Supernode, "there is no other");
    let child = Relay::join(&control, Role::Node, UPSTREAM).await.unwrap();
    let born = Relay::join(&control, Role::Supernode, UPSTREAM)
        .await
        .unwrap();
    pass(Duration::from_secs(90)).await;
    assert_eq!(
        (role().await, child.primary()),
        (Role::Supernode, Some(promoted.id))
    );
    child.kill();
    pass(Duration::from_secs(60)).await;
    assert_eq!(role().await, Role::Supernode);
    let demoted =
        async || (role().await == Role::Node && promoted.primary() == Some(born.id)).then_some(());
    eventually("it hangs off the other", demoted).await;
}
