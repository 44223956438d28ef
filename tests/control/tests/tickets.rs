//! Tickets: who provides, and what becomes of capacity.

#![recursion_limit = "256"]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the finding"
)]

use astral_control_tests::{Control, Relay, demo, eventually, pass};
use astral_proto::Code;
use astral_proto::message::{CancelTicket, GetTree, ListTickets, RequestTicket};
use astral_proto::model::{Role, TicketState};
use futures_util::future::join_all;
use std::time::Duration;

const UPSTREAM: u32 = 100_000;

/// Relay 1 an ordinary node and origin, relay 2 the supernode, relay 3 its child.
async fn chain(control: &Control) -> [Relay; 3] {
    let origin = Relay::join(control, Role::Node, UPSTREAM).await.unwrap();
    let supernode = Relay::join(control, Role::Supernode, UPSTREAM)
        .await
        .unwrap();
    let child = Relay::join(control, Role::Node, UPSTREAM).await.unwrap();
    origin.go_live(&demo(), None).await.unwrap();
    [origin, supernode, child]
}

#[tokio::test(start_paused = true)]
async fn a_child_gets_the_stream_through_its_supernode_and_stands_by_at_the_origin() {
    let control = Control::start(100, true).await;
    let [one, two, three] = chain(&control).await;
    assert_eq!(three.primary(), Some(two.id));
    // Nothing has told the broker of the origin yet: it finds it by the directory.
    let tickets = three.pull(&demo(), &[]).await.unwrap();
    assert_eq!(tickets.active.provider, two.id);
    assert_eq!(tickets.standby.unwrap().provider, one.id);
    assert_eq!(three.path(&demo()), [one.id, two.id, three.id]);
    let tree = eventually("the tree shows all three", async || {
        let tree = control.ask(GetTree { slug: demo() }).await.unwrap();
        (tree.relays.len() == 3).then_some(tree)
    });
    let shown: Vec<_> = tree
        .await
        .relays
        .iter()
        .map(|relay| (relay.node, relay.provider, relay.hops))
        .collect();
    assert_eq!(
        shown,
        [
            (one.id, None, 0),
            (two.id, Some(one.id), 1),
            (three.id, Some(two.id), 2)
        ]
    );
    let page = control
        .ask(ListTickets {
            slug: Some(demo()),
            cursor: None,
            limit: 10,
        })
        .await
        .unwrap();
    let active = page
        .items
        .iter()
        .find(|ticket| ticket.id == tickets.active.id)
        .unwrap();
    assert_eq!(
        (active.state, active.standby, active.hops),
        (TicketState::Confirmed, false, 2)
    );
    assert!(
        active
            .why
            .iter()
            .any(|line| line.contains("primary supernode, 1 hops")),
        "{:?}",
        active.why
    );
}

#[tokio::test(start_paused = true)]
async fn as_soon_as_an_origin_knows_its_bitrate_tickets_are_charged_that_and_those_before_them_too()
{
    let control = Control::start(100, true).await;
    let origin = Relay::join(&control, Role::Node, 7_000).await.unwrap();
    let mut subscribers = Vec::new();
    for _ in 0..4 {
        subscribers.push(Relay::join(&control, Role::Node, 1).await.unwrap());
    }
    let [first, second, third, fourth] = &subscribers[..] else {
        panic!("four have joined")
    };
    origin.measures(0);
    origin.go_live(&demo(), None).await.unwrap();
    origin.beat().await.unwrap();
    first.pull(&demo(), &[]).await.unwrap();
    let full = second.pull(&demo(), &[]).await.unwrap_err();
    assert_eq!(full.code, Code::Full, "each is charged what is assumed");

    // It has not told anybody yet. The next request is one that a relay repeats, after its shortest pause.
    origin.measures(2_100);
    pass(Duration::from_millis(50)).await;
    for subscriber in [second, third] {
        let tickets = subscriber.pull(&demo(), &[]).await.unwrap();
        assert_eq!(tickets.active.provider, origin.id);
    }
    let full = fourth.pull(&demo(), &[]).await.unwrap_err();
    assert_eq!(
        full.code,
        Code::Full,
        "three times the stream is all it may send"
    );
}

#[tokio::test(start_paused = true)]
async fn no_ticket_leads_round_to_who_asked() {
    let control = Control::start(100, true).await;
    let [one, two, three] = chain(&control).await;
    three.pull(&demo(), &[]).await.unwrap();
    let around = two.pull(&demo(), &[one.id]).await.unwrap_err();
    assert_eq!(around.code, Code::Unavailable);
    pass(Duration::from_secs(4)).await;
    let around = two.pull(&demo(), &[one.id]).await.unwrap_err();
    assert_eq!(around.code, Code::Unavailable);
    assert!(around.detail.contains("below the asker"), "{around}");
}

#[tokio::test(start_paused = true)]
async fn a_switch_makes_the_standby_active_and_gives_a_new_one() {
    let control = Control::start(100, true).await;
    let [one, two, three] = chain(&control).await;
    let other = Relay::join(&control, Role::Supernode, UPSTREAM)
        .await
        .unwrap();
    other.pull(&demo(), &[]).await.unwrap();
    pass(Duration::from_secs(3)).await;
    let before = three.pull(&demo(), &[]).await.unwrap();
    assert_eq!(before.active.provider, two.id);
    two.kill();
    let standby = before.standby.unwrap();
    let after = three.fail_over(&demo()).await.unwrap();
    assert_eq!(after.active, standby);
    let next = after.standby.unwrap();
    let expected = if standby.provider == one.id {
        other.id
    } else {
        one.id
    };
    assert_eq!(next.provider, expected);
    pass(Duration::from_secs(20)).await;
    let held: Vec<_> = control
        .ask(ListTickets {
            slug: None,
            cursor: None,
            limit: 100,
        })
        .await
        .unwrap()
        .items;
    let of_three: Vec<_> = held
        .iter()
        .filter(|ticket| ticket.subscriber == three.id)
        .collect();
    assert_eq!(
        of_three.len(),
        2,
        "heartbeats keep what is held, and nothing else"
    );
    assert!(
        of_three
            .iter()
            .any(|ticket| ticket.id == standby.id && !ticket.standby)
    );
    assert!(
        of_three
            .iter()
            .any(|ticket| ticket.id == next.id && ticket.standby)
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_node_held_is_free_again() {
    let control = Control::start(100, true).await;
    let origin = Relay::join(&control, Role::Node, 2_500).await.unwrap();
    origin.go_live(&demo(), None).await.unwrap();
    let [first, second] = [
        Relay::join(&control, Role::Node, UPSTREAM).await.unwrap(),
        Relay::join(&control, Role::Node, UPSTREAM).await.unwrap(),
    ];
    first.pull(&demo(), &[]).await.unwrap();
    pass(Duration::from_secs(30)).await;
    let from_origin = &[first.id];
    assert_eq!(
        second.pull(&demo(), from_origin).await.unwrap_err().code,
        Code::Full
    );
    first.kill();
    let got = async || second.pull(&demo(), from_origin).await.ok();
    let began = tokio::time::Instant::now();
    assert_eq!(
        eventually("its capacity is free", got)
            .await
            .active
            .provider,
        origin.id
    );
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_asks_at_once_gets_exactly_what_there_is() {
    let control = Control::start(100, true).await;
    let origin = Relay::join(&control, Role::Node, 25_000).await.unwrap();
    origin.go_live(&demo(), None).await.unwrap();
    let ask = || {
        let subscriber = astral_proto::NodeId::random();
        control.ask(RequestTicket {
            slug: demo(),
            subscriber,
            exclude: vec![],
            left: vec![],
        })
    };
    let answers = join_all((0..60).map(|_| ask())).await;
    let granted = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(granted, 10);
    assert!(
        answers
            .iter()
            .filter_map(|answer| answer.as_ref().err())
            .all(|error| error.code == Code::Full)
    );
    pass(Duration::from_secs(5)).await;
    assert!(
        ask().await.is_ok(),
        "offers that nobody confirmed are released"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_there_or_not_live_has_no_tickets() {
    let control = Control::start(100, true).await;
    let relay = Relay::join(&control, Role::Node, UPSTREAM).await.unwrap();
    assert_eq!(
        relay.pull(&demo(), &[]).await.unwrap_err().code,
        Code::NotFound
    );
    assert_eq!(
        control
            .ask(GetTree { slug: demo() })
            .await
            .unwrap_err()
            .code,
        Code::NotFound
    );
    let create = astral_proto::message::CreateStream {
        slug: demo(),
        key: None,
    };
    control.ask(create).await.unwrap();
    assert_eq!(
        relay.pull(&demo(), &[]).await.unwrap_err().code,
        Code::NotBegun
    );
    assert!(
        control
            .ask(GetTree { slug: demo() })
            .await
            .unwrap()
            .relays
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_cancelled_by_its_owner_or_provider_alone_and_its_link_closed() {
    let control = Control::start(100, true).await;
    let [one, two, three] = chain(&control).await;
    let id = three.pull(&demo(), &[]).await.unwrap().active.id;
    let stranger = control
        .ask(CancelTicket { id, node: one.id })
        .await
        .unwrap_err();
    assert_eq!(stranger.code, Code::Forbidden);
    pass(Duration::from_secs(1)).await;
    control
        .ask(CancelTicket { id, node: three.id })
        .await
        .unwrap();
    eventually("its provider is told", async || {
        two.revoked().contains(&id).then_some(())
    })
    .await;
    assert_eq!(
        control
            .ask(CancelTicket { id, node: three.id })
            .await
            .unwrap_err()
            .code,
        Code::NotFound
    );
    let lost = three.beat().await.unwrap().tickets.lost;
    assert_eq!(lost, [id]);
}
