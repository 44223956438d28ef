//! Crowds that ask at once: all are served, nobody promises more than there is, the tree stays flat, and equals share.

#![recursion_limit = "256"]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the finding"
)]

#[allow(
    dead_code,
    reason = "shared with the tests of the backend, which do more with servers"
)]
#[path = "../../../crates/astral-backend/tests/contract/servers.rs"]
mod servers;

use astral_control_tests::{Control, Relay, demo, eventually, pass};
use astral_proto::NodeId;
use astral_proto::message::{ListNodes, RequestTicket};
use astral_proto::model::Role;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::time::Duration;

const STREAM_KBPS: u32 = 2_500;
/// Relays that one relay can serve.
const EACH: usize = 3;
/// The deepest tree against the least possible.
const DEPTH_TIMES: f64 = 1.3;
/// The most loaded of equals against the least loaded.
const SPREAD_TIMES: f64 = 1.5;
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

async fn relays(control: &Control, count: usize) -> Vec<Relay> {
    let limit = STREAM_KBPS * EACH as u32;
    let join = |_| async { Relay::join(control, Role::Node, limit).await.unwrap() };
    join_all((0..=count).map(join)).await
}

/// Asks as a relay does: again, ever later, until there is a ticket.
async fn pull_until_served(relay: &Relay) {
    let mut wait = RETRY_MIN;
    while relay.pull(&demo(), &[]).await.is_err() {
        pass(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

/// How many hops so many relays need at least below one that serves as many as they do.
fn least_hops(relays: usize) -> usize {
    let mut hops = 0;
    let mut reached = 0;
    let mut level = 1;
    while reached < relays {
        (hops, level) = (hops + 1, level * EACH);
        reached += level;
    }
    hops
}

async fn check_nobody_is_oversold(control: &Control, relays: &[Relay]) {
    for relay in relays {
        assert!(
            relay.serves().len() <= EACH,
            "{} serves {}",
            relay.id,
            relay.serves().len()
        );
    }
    for node in control
        .ask(ListNodes {
            cursor: None,
            limit: 1_000,
        })
        .await
        .unwrap()
        .items
    {
        assert!(node.promised_kbps <= node.limit_kbps, "{node:?}");
    }
}

async fn crowd_is_served_by_a_flat_tree(control: &Control, count: usize) {
    let all = relays(control, count).await;
    all[0].go_live(&demo(), None).await.unwrap();
    let served = join_all(all[1..].iter().map(pull_until_served));
    let watched = async {
        loop {
            check_nobody_is_oversold(control, &all).await;
            pass(Duration::from_millis(500)).await;
        }
    };
    tokio::select! {
        _ = served => {}
        () = watched => {}
    }
    check_nobody_is_oversold(control, &all).await;
    let hops = all
        .iter()
        .map(|relay| relay.path(&demo()).len() - 1)
        .max()
        .unwrap();
    let least = least_hops(count);
    assert!(
        hops as f64 <= DEPTH_TIMES * least as f64,
        "{hops} hops, the least possible is {least}"
    );
}

async fn equals_share_a_crowd(control: &Control) {
    let limit = 1_000_000;
    let origin = Relay::join(control, Role::Node, limit).await.unwrap();
    origin.go_live(&demo(), None).await.unwrap();
    let supernodes = join_all((0..10).map(|_| async {
        let supernode = Relay::join(control, Role::Supernode, limit).await.unwrap();
        supernode.pull(&demo(), &[]).await.unwrap();
        supernode
    }));
    let supernodes = supernodes.await;
    eventually("all are known to carry it", async || {
        let tree = control
            .ask(astral_proto::message::GetTree { slug: demo() })
            .await
            .unwrap();
        (tree.relays.len() == 11).then_some(())
    })
    .await;
    pass(Duration::from_secs(3)).await;
    let ask = |_| {
        control.ask(RequestTicket {
            slug: demo(),
            subscriber: NodeId::random(),
            exclude: vec![],
            left: vec![],
        })
    };
    let tickets = join_all((0..500).map(ask)).await;
    let mut load: BTreeMap<NodeId, usize> = supernodes
        .iter()
        .map(|supernode| (supernode.id, 0))
        .collect();
    for ticket in tickets {
        *load.entry(ticket.unwrap().active.provider).or_default() += 1;
    }
    assert_eq!(load.len(), 10, "the origin is kept for supernodes");
    let most = load.values().max().unwrap();
    let least = load.values().min().unwrap();
    assert!(
        *most as f64 <= SPREAD_TIMES * *least as f64,
        "{:?}",
        load.values()
    );
}

#[tokio::test(start_paused = true)]
async fn five_hundred_that_ask_at_once_are_all_served_by_a_flat_tree_of_narrow_relays() {
    crowd_is_served_by_a_flat_tree(&Control::start(100, true).await, 500).await;
}

#[tokio::test(start_paused = true)]
async fn ten_equal_supernodes_share_five_hundred_requests_that_come_at_once() {
    equals_share_a_crowd(&Control::start(100, true).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_real_servers_a_crowd_is_served_by_a_flat_tree_of_narrow_relays() {
    let (_servers, backend) = servers::start().await;
    crowd_is_served_by_a_flat_tree(&Control::start_on(backend, 100, true).await, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_real_servers_ten_equal_supernodes_share_five_hundred_requests() {
    let (_servers, backend) = servers::start().await;
    equals_share_a_crowd(&Control::start_on(backend, 100, true).await).await;
}
