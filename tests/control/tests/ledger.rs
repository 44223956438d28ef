//! The ledger: what brings it back after a wipe, and what moves tickets elsewhere.

#![recursion_limit = "256"]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the finding"
)]

use astral_control_tests::{Control, Relay, demo, eventually, pass};
use astral_proto::message::{ListTickets, SwitchTicket};
use astral_proto::model::{Role, Ticket};
use astral_proto::{Code, NodeId, TicketId};
use std::collections::BTreeSet;
use std::time::Duration;

const UPSTREAM: u32 = 100_000;

async fn tickets(control: &Control) -> Vec<Ticket> {
    control
        .ask(ListTickets {
            slug: None,
            cursor: None,
            limit: 1_000,
        })
        .await
        .unwrap()
        .items
}

/// What the ledger says is in use at a provider.
async fn in_use_at(control: &Control, provider: NodeId) -> Vec<TicketId> {
    let all = tickets(control).await;
    all.iter()
        .filter(|ticket| ticket.provider == provider && !ticket.standby)
        .map(|ticket| ticket.id)
        .collect()
}

/// An origin, two supernodes that carry its stream, and a child of the one told first.
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
    pass(Duration::from_secs(3)).await;
    let child = Relay::join(control, Role::Node, UPSTREAM).await.unwrap();
    child.pull(&demo(), &[]).await.unwrap();
    pass(Duration::from_secs(3)).await;
    let (primary, other) = if child.primary() == Some(left.id) {
        (left, right)
    } else {
        (right, left)
    };
    [origin, primary, other, child]
}

fn held(relay: &Relay) -> BTreeSet<TicketId> {
    let held = relay.tickets(&demo());
    held.iter()
        .flat_map(|held| std::iter::once(held.active.id).chain(held.standby.iter().map(|s| s.id)))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn after_a_wipe_the_ledger_equals_the_nodes_own_tables_within_a_lease_and_nothing_is_lost() {
    let control = Control::start(100, true).await;
    let relays = diamond(&control).await;
    let before: BTreeSet<TicketId> = relays.iter().flat_map(held).collect();
    assert_eq!(
        before.len(),
        4,
        "a ticket of each supernode, and the child's two"
    );
    control.wipe().await;
    assert!(tickets(&control).await.is_empty());
    pass(Duration::from_secs(6)).await;
    let after = tickets(&control).await;
    assert_eq!(
        after
            .iter()
            .map(|ticket| ticket.id)
            .collect::<BTreeSet<_>>(),
        before
    );
    for relay in &relays {
        let in_use: BTreeSet<_> = in_use_at(&control, relay.id).await.into_iter().collect();
        assert_eq!(in_use, relay.serves().into_iter().collect());
    }
    pass(Duration::from_secs(30)).await;
    assert!(
        relays
            .iter()
            .all(|relay| relay.lost().is_empty() && relay.revoked().is_empty())
    );
    assert_eq!(
        relays.iter().flat_map(held).collect::<BTreeSet<_>>(),
        before
    );
}

#[tokio::test(start_paused = true)]
async fn a_wiped_ledger_sells_nothing_that_its_provider_has_promised() {
    let control = Control::start(100, true).await;
    let origin = Relay::join(&control, Role::Node, 2_500).await.unwrap();
    origin.go_live(&demo(), None).await.unwrap();
    let [first, second] = [
        Relay::join(&control, Role::Node, 0).await.unwrap(),
        Relay::join(&control, Role::Node, 0).await.unwrap(),
    ];
    first.pull(&demo(), &[]).await.unwrap();
    control.wipe().await;
    for _ in 0..100 {
        let refused = second.pull(&demo(), &[]).await.unwrap_err();
        assert!(
            matches!(
                refused.code,
                Code::NotFound | Code::Unavailable | Code::Full
            ),
            "{refused}"
        );
        pass(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn children_and_standbys_of_a_draining_relay_go_elsewhere_before_it_leaves() {
    let control = Control::start(100, true).await;
    let [_, left, right, child] = diamond(&control).await;
    assert_eq!(child.tickets(&demo()).unwrap().active.provider, left.id);
    left.drain();
    let began = tokio::time::Instant::now();
    eventually("nobody pulls from it", async || {
        left.serves().is_empty().then_some(())
    })
    .await;
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );
    pass(Duration::from_secs(4)).await;
    let after = child.tickets(&demo()).unwrap();
    assert_eq!(after.active.provider, right.id);
    assert_ne!(after.standby.unwrap().provider, left.id);
    assert!(in_use_at(&control, left.id).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_bitrate_that_grows_moves_the_newest_ticket_away() {
    let control = Control::start(100, true).await;
    let origin = Relay::join(&control, Role::Node, 6_000).await.unwrap();
    origin.go_live(&demo(), None).await.unwrap();
    let [first, second] = [
        Relay::join(&control, Role::Node, UPSTREAM).await.unwrap(),
        Relay::join(&control, Role::Node, UPSTREAM).await.unwrap(),
    ];
    first.pull(&demo(), &[]).await.unwrap();
    pass(Duration::from_secs(3)).await;
    second.pull(&demo(), &[first.id]).await.unwrap();
    [&origin, &first, &second]
        .into_iter()
        .for_each(|relay| relay.measures(4_000));
    let moved =
        async || (second.tickets(&demo()).unwrap().active.provider == first.id).then_some(());
    eventually("the newest has moved", moved).await;
    assert_eq!(first.tickets(&demo()).unwrap().active.provider, origin.id);
    assert_eq!(origin.serves().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_carries_the_stream_no_more_is_replaced() {
    let control = Control::start(100, true).await;
    let relays = diamond(&control).await;
    let child = &relays[3];
    let holder = child.tickets(&demo()).unwrap().standby.unwrap().provider;
    let idle = relays.iter().find(|relay| relay.id == holder).unwrap();
    idle.let_go(&demo());
    let replaced = async || {
        let now = child.tickets(&demo())?.standby?;
        (now.provider != holder).then_some(now)
    };
    eventually("another stands by", replaced).await;
}

#[tokio::test(start_paused = true)]
async fn a_switch_told_twice_or_too_late_undoes_nothing() {
    let control = Control::start(100, true).await;
    let [_, left, _, child] = diamond(&control).await;
    let before = child.tickets(&demo()).unwrap();
    assert_eq!(before.active.provider, left.id);
    let after = child.fail_over(&demo()).await.unwrap();
    let tell = |active, left| SwitchTicket {
        slug: demo(),
        subscriber: child.id,
        active,
        left,
    };
    control
        .ask(tell(after.active.id, Some(before.active.id)))
        .await
        .unwrap();
    let late = control
        .ask(tell(before.active.id, Some(after.active.id)))
        .await
        .unwrap_err();
    assert_eq!(late.code, Code::NotFound);
    pass(Duration::from_secs(8)).await;
    let own = |ticket: &&Ticket| ticket.subscriber == child.id;
    let of_child: BTreeSet<_> = tickets(&control)
        .await
        .iter()
        .filter(own)
        .map(|ticket| ticket.id)
        .collect();
    assert_eq!(
        of_child,
        held(&child),
        "what the second answer offered has run out"
    );
    let stranger = SwitchTicket {
        subscriber: left.id,
        ..tell(after.active.id, None)
    };
    assert_eq!(
        control.ask(stranger).await.unwrap_err().code,
        Code::Forbidden
    );
}
