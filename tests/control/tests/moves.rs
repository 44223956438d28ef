//! Tickets that give way to better ones: back to the right supernode, and at once away from who leaves.

#![recursion_limit = "256"]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the finding"
)]

use astral_control_tests::{Control, Relay, demo, eventually, pass};
use astral_proto::NodeId;
use astral_proto::message::{Heartbeat, ListTickets, event};
use astral_proto::model::Role;
use std::time::Duration;

const UPSTREAM: u32 = 100_000;
/// A heartbeat and some.
const A_WORD: Duration = Duration::from_secs(3);

/// An origin, two supernodes that pull from it, and a child of one of them: the origin, its supernode, the other one and
/// the child.
async fn diamond(control: &Control) -> [Relay; 4] {
    let origin = Relay::join(control, Role::Node, UPSTREAM).await.unwrap();
    let [left, right] = [
        Relay::join(control, Role::Supernode, UPSTREAM)
            .await
            .unwrap(),
        Relay::join(control, Role::Supernode, UPSTREAM)
            .await
            .unwrap(),
    ];
    origin.go_live(&demo(), None).await.unwrap();
    left.pull(&demo(), &[right.id]).await.unwrap();
    right.pull(&demo(), &[left.id]).await.unwrap();
    pass(A_WORD).await;
    let child = Relay::join(control, Role::Node, UPSTREAM).await.unwrap();
    child.pull(&demo(), &[]).await.unwrap();
    pass(A_WORD).await;
    let (primary, other) = if child.primary() == Some(left.id) {
        (left, right)
    } else {
        (right, left)
    };
    [origin, primary, other, child]
}

fn provider(relay: &Relay) -> NodeId {
    relay.tickets(&demo()).unwrap().active.provider
}

#[tokio::test(start_paused = true)]
async fn a_leaf_that_failed_over_is_back_under_its_supernode_within_half_a_minute_and_stays() {
    let control = Control::start(100, true).await;
    let [_origin, primary, _other, child] = diamond(&control).await;
    assert_eq!(provider(&child), primary.id);
    let elsewhere = child.fail_over(&demo()).await.unwrap().active.provider;
    assert_ne!(elsewhere, primary.id);
    pass(Duration::from_secs(9)).await;
    assert_eq!(
        provider(&child),
        elsewhere,
        "a ticket that works stays for ten seconds"
    );
    pass(Duration::from_secs(21)).await;
    let back = child.tickets(&demo()).unwrap().active;
    assert_eq!(back.provider, primary.id);
    assert_eq!(child.path(&demo()).len(), 3);
    let tickets = control
        .ask(ListTickets {
            slug: None,
            cursor: None,
            limit: 100,
        })
        .await
        .unwrap()
        .items;
    let why = &tickets
        .iter()
        .find(|ticket| ticket.id == back.id)
        .unwrap()
        .why;
    assert!(
        why[0].ends_with("has served it, and another is better"),
        "{why:?}"
    );
    pass(Duration::from_secs(300)).await;
    assert_eq!(
        child.tickets(&demo()).unwrap().active.id,
        back.id,
        "it moves no more"
    );
}

#[tokio::test(start_paused = true)]
async fn a_supernode_that_failed_over_to_another_is_back_at_the_origin_within_half_a_minute() {
    let control = Control::start(100, true).await;
    let [origin, primary, other, child] = diamond(&control).await;
    primary.let_go(&demo());
    let elsewhere = primary
        .pull(&demo(), &[origin.id])
        .await
        .unwrap()
        .active
        .provider;
    assert_eq!(elsewhere, other.id);
    pass(Duration::from_secs(30)).await;
    assert_eq!(provider(&primary), origin.id);
    assert_eq!(
        provider(&child),
        primary.id,
        "who hangs below moves along and not by itself"
    );
}

#[tokio::test(start_paused = true)]
async fn subscribers_of_a_relay_that_drains_are_told_at_once() {
    let control = Control::start(100, true).await;
    let [_origin, primary, _other, child] = diamond(&control).await;
    // All beat together: the next heartbeats are far away.
    pass(Duration::from_millis(500)).await;
    primary.drain();
    let told = tokio::time::Instant::now();
    primary.beat().await.unwrap();
    eventually("the child has gone elsewhere", async || {
        (provider(&child) != primary.id).then_some(())
    })
    .await;
    assert!(
        told.elapsed() < Duration::from_millis(500),
        "{:?}",
        told.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_relay_with_dozens_of_tickets_says_as_many_heartbeats_as_one_with_none() {
    let control = Control::start(100, true).await;
    let [_origin, primary, other, _child] = diamond(&control).await;
    for _ in 0..30 {
        Relay::join(&control, Role::Node, UPSTREAM)
            .await
            .unwrap()
            .pull(&demo(), &[other.id])
            .await
            .unwrap();
    }
    let mut heard = control
        .backend
        .bus
        .subscribe::<Heartbeat>(event::NODE_HEARTBEAT, None)
        .await
        .unwrap();
    let listened = tokio::time::Instant::now() + Duration::from_secs(20);
    let mut said = std::collections::BTreeMap::<NodeId, usize>::new();
    while let Ok(Some(heartbeat)) = tokio::time::timeout_at(listened, heard.next()).await {
        *said.entry(heartbeat.node).or_default() += 1;
    }
    assert!(primary.serves().len() + other.serves().len() >= 30);
    assert!(
        said.values().all(|count| (9..=10).contains(count)),
        "{said:?}"
    );
    assert_eq!(said.len(), 34);
}
