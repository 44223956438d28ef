//! Nodes: roles, primary supernodes, leases.

#![recursion_limit = "256"]

use astral_control_tests::{Control, Relay, eventually, pass};
use astral_proto::message::{GetNode, Leave, ListNodes, NodeGone, event};
use astral_proto::model::{NodeState, Role};
use astral_proto::{Code, ticket};
use std::time::Duration;

const UPSTREAM: u32 = 100_000;

#[tokio::test(start_paused = true)]
async fn a_node_hangs_off_a_supernode_and_is_promoted_when_none_has_room() {
    let control = Control::start(1, true).await;
    let supernode = Relay::join(&control, Role::Supernode, UPSTREAM)
        .await
        .unwrap();
    let child = Relay::absent(&control, Role::Auto, UPSTREAM);
    let placed = child.register("child:8081").await.unwrap();
    assert_eq!(
        (placed.role, placed.primary_supernode),
        (Role::Node, Some(supernode.id))
    );
    assert!(ticket::decode_key(&placed.ticket_keys[0]).is_some());
    let orphan = Relay::absent(&control, Role::Node, UPSTREAM)
        .register("orphan:8081")
        .await
        .unwrap();
    assert_eq!((orphan.role, orphan.primary_supernode), (Role::Node, None));
    let promoted = Relay::absent(&control, Role::Auto, UPSTREAM)
        .register("promoted:8081")
        .await
        .unwrap();
    assert_eq!(
        (promoted.role, promoted.primary_supernode),
        (Role::Supernode, None)
    );
    let again = child.register("child:8081").await.unwrap();
    assert_eq!(
        again.primary_supernode,
        Some(supernode.id),
        "a node that comes again keeps its seat"
    );
}

#[tokio::test(start_paused = true)]
async fn children_of_a_dead_supernode_are_homed_elsewhere() {
    let control = Control::start(100, true).await;
    let first = Relay::join(&control, Role::Supernode, UPSTREAM)
        .await
        .unwrap();
    let child = Relay::join(&control, Role::Node, UPSTREAM).await.unwrap();
    let second = Relay::join(&control, Role::Supernode, UPSTREAM)
        .await
        .unwrap();
    assert_eq!(child.primary(), Some(first.id));
    let mut deaths = control
        .backend
        .bus
        .subscribe::<NodeGone>(event::NODE_GONE, None)
        .await
        .unwrap();
    first.kill();
    assert_eq!(deaths.next().await.unwrap().node, first.id);
    assert_eq!(
        control.ask(GetNode { node: first.id }).await.unwrap().state,
        NodeState::Lost
    );
    let homed = async || (child.primary() == Some(second.id)).then_some(());
    eventually("the child hangs off the other supernode", homed).await;
    let forgotten = async || control.ask(GetNode { node: first.id }).await.err();
    pass(Duration::from_secs(60)).await;
    assert_eq!(
        eventually("the lost node is forgotten", forgotten)
            .await
            .code,
        Code::NotFound
    );
}

#[tokio::test(start_paused = true)]
async fn an_orphan_gets_the_first_supernode_that_comes() {
    let control = Control::start(100, true).await;
    let orphan = Relay::join(&control, Role::Node, UPSTREAM).await.unwrap();
    assert_eq!(orphan.primary(), None);
    let supernode = Relay::join(&control, Role::Supernode, UPSTREAM)
        .await
        .unwrap();
    eventually("it hangs off it", async || {
        (orphan.primary() == Some(supernode.id)).then_some(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_automatic_node_whose_only_supernode_died_is_asked_to_register_and_promoted() {
    let control = Control::start(100, true).await;
    let supernode = Relay::join(&control, Role::Supernode, UPSTREAM)
        .await
        .unwrap();
    let child = Relay::join(&control, Role::Auto, UPSTREAM).await.unwrap();
    assert!(!child.beat().await.unwrap().register);
    supernode.kill();
    let asked = async || child.beat().await.unwrap().register.then_some(());
    eventually("it is asked to register", asked).await;
    assert_eq!(
        child.register("child:1").await.unwrap().role,
        Role::Supernode
    );
}

#[tokio::test(start_paused = true)]
async fn of_two_nodes_at_one_address_the_living_one_stays() {
    let control = Control::start(100, true).await;
    let [first, second] = std::array::from_fn(|_| Relay::absent(&control, Role::Node, UPSTREAM));
    first.register("host:1").await.unwrap();
    assert_eq!(
        second.register("host:1").await.unwrap_err().code,
        Code::Conflict
    );
    pass(Duration::from_secs(6)).await;
    second.register("host:1").await.unwrap();
    let old = control.ask(GetNode { node: first.id }).await;
    assert!(old.is_err() || old.unwrap().state == NodeState::Lost);
    assert!(
        first.beat().await.unwrap().register,
        "the other must register, and will be refused"
    );
    assert_eq!(
        first.register("host:1").await.unwrap_err().code,
        Code::Conflict
    );
}

#[tokio::test(start_paused = true)]
async fn of_two_nodes_with_one_id_the_living_one_stays_and_one_that_crashed_is_followed_at_once() {
    let control = Control::start(100, true).await;
    let first = Relay::join(&control, Role::Node, UPSTREAM).await.unwrap();
    let second = first.twin();
    for address in ["host:2", &format!("{}:8081", first.id)] {
        let refused = second.register(address).await.unwrap_err();
        assert_eq!(refused.code, Code::Conflict);
        assert!(
            refused
                .detail
                .contains(&format!("is alive at {}:8081", first.id)),
            "{refused}"
        );
        assert!(
            refused.detail.contains(&format!("the node at {address}")),
            "{refused}"
        );
    }
    assert!(
        second.beat().await.unwrap().register,
        "what it says counts for nothing"
    );
    assert!(!first.beat().await.unwrap().register);
    first
        .register("host:3")
        .await
        .expect("the same process at a new address");
    first.kill();
    second
        .register("host:2")
        .await
        .expect("the first has crashed");
    assert_eq!(
        control
            .ask(GetNode { node: first.id })
            .await
            .unwrap()
            .advertise,
        "host:2"
    );
    assert!(
        first.beat().await.unwrap().register,
        "it is back, and another has its place"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_is_told_the_time_that_tickets_go_by() {
    let control = Control::start(100, true).await;
    let node = Relay::join(&control, Role::Node, UPSTREAM).await.unwrap();
    let now = control.backend.state.now();
    assert!(node.register("host:1").await.unwrap().now.abs_diff(now) < Duration::from_secs(1));
    assert!(node.beat().await.unwrap().now.abs_diff(now) < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_stranger_must_register_and_one_that_leaves_is_gone_at_once() {
    let control = Control::start(100, true).await;
    assert!(
        Relay::absent(&control, Role::Node, UPSTREAM)
            .beat()
            .await
            .unwrap()
            .register
    );
    let node = Relay::absent(&control, Role::Node, UPSTREAM);
    node.register("host:1").await.unwrap();
    assert_eq!(
        control
            .ask(ListNodes {
                cursor: None,
                limit: 10
            })
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    let mut deaths = control
        .backend
        .bus
        .subscribe::<NodeGone>(event::NODE_GONE, None)
        .await
        .unwrap();
    control.ask(Leave { node: node.id }).await.unwrap();
    assert_eq!(deaths.next().await.unwrap().node, node.id);
    assert_eq!(
        control
            .ask(GetNode { node: node.id })
            .await
            .unwrap_err()
            .code,
        Code::NotFound
    );
    assert!(
        Relay::absent(&control, Role::Node, UPSTREAM)
            .register("host:1")
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_is_told_supernodes_to_measure_and_hangs_off_the_nearest_it_told_of() {
    let control = Control::start(1, true).await;
    let [first, near, far] = [
        Relay::join(&control, Role::Supernode, UPSTREAM)
            .await
            .unwrap(),
        Relay::join(&control, Role::Supernode, UPSTREAM)
            .await
            .unwrap(),
        Relay::join(&control, Role::Supernode, UPSTREAM)
            .await
            .unwrap(),
    ];
    pass(Duration::from_secs(2)).await;
    let node = Relay::join(&control, Role::Node, UPSTREAM).await.unwrap();
    pass(Duration::from_millis(100)).await;
    let told = node.beat().await.unwrap().supernodes;
    let told: std::collections::BTreeSet<_> = told.iter().map(|supernode| supernode.node).collect();
    assert_eq!(told, [first.id, near.id, far.id].into());
    let primary = node.primary().unwrap();
    let others: Vec<_> = [first, near, far]
        .into_iter()
        .filter(|supernode| supernode.id != primary)
        .collect();
    node.measured(vec![(others[0].id, 90_000), (others[1].id, 1_000)]);
    pass(Duration::from_millis(100)).await;
    node.beat().await.unwrap();
    control.ask(Leave { node: primary }).await.unwrap();
    let homed = async || {
        node.beat()
            .await
            .ok()
            .and_then(|said| said.primary_supernode)
            .filter(|now| *now != primary)
    };
    assert_eq!(
        eventually("it has another supernode", homed).await,
        others[1].id
    );
}
