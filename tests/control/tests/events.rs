//! What the control services tell of nodes and tickets, for whoever listens.

#![recursion_limit = "256"]

use astral_control_tests::{Control, Relay, demo, pass};
use astral_proto::TicketId;
use astral_proto::message::{CancelTicket, NodeChanged, TicketChanged, event};
use astral_proto::model::Role;
use std::time::Duration;

const UPSTREAM: u32 = 100_000;

#[tokio::test(start_paused = true)]
async fn a_node_tells_that_it_has_come_and_that_it_hangs_off_another_supernode() {
    let control = Control::start(100, true).await;
    let bus = &control.backend.bus;
    let mut created = bus
        .subscribe::<NodeChanged>(event::NODE_CREATED, None)
        .await
        .unwrap();
    let mut changed = bus
        .subscribe::<NodeChanged>(event::NODE_CHANGED, None)
        .await
        .unwrap();
    let orphan = Relay::join(&control, Role::Node, UPSTREAM).await.unwrap();
    let told = created.next().await.unwrap().node;
    assert_eq!(
        (told.uuid, told.role, told.primary_supernode),
        (orphan.id, Role::Node, None)
    );
    let supernode = Relay::join(&control, Role::Supernode, UPSTREAM)
        .await
        .unwrap();
    assert_eq!(created.next().await.unwrap().node.uuid, supernode.id);
    let told = changed.next().await.unwrap().node;
    assert_eq!(
        (told.uuid, told.primary_supernode),
        (orphan.id, Some(supernode.id))
    );
    assert_eq!((created.lost(), changed.lost()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_ticket_tells_of_its_life() {
    let control = Control::start(100, true).await;
    let bus = &control.backend.bus;
    let origin = Relay::join(&control, Role::Node, UPSTREAM).await.unwrap();
    origin.go_live(&demo(), None).await.unwrap();
    let subscriber = Relay::join(&control, Role::Node, UPSTREAM).await.unwrap();
    let mut created = bus
        .subscribe::<TicketChanged>(event::TICKET_CREATED, None)
        .await
        .unwrap();
    let mut changed = bus
        .subscribe::<TicketChanged>(event::TICKET_CHANGED, None)
        .await
        .unwrap();
    let mut gone = bus
        .subscribe::<TicketChanged>(event::TICKET_GONE, None)
        .await
        .unwrap();
    let id = subscriber.pull(&demo(), &[]).await.unwrap().active.id;
    let expected = TicketChanged {
        id,
        slug: demo(),
        provider: origin.id,
        subscriber: subscriber.id,
        standby: false,
    };
    assert_eq!(created.next().await, Some(expected.clone()));
    assert_eq!(
        changed.next().await,
        Some(expected.clone()),
        "it is confirmed once its link is open"
    );
    control
        .ask(CancelTicket {
            id,
            node: subscriber.id,
        })
        .await
        .unwrap();
    assert_eq!(gone.next().await, Some(expected));

    let next: TicketId = subscriber.pull(&demo(), &[]).await.unwrap().active.id;
    subscriber.kill();
    pass(Duration::from_secs(15)).await;
    assert_eq!(
        gone.next().await.unwrap().id,
        next,
        "a ticket goes with its subscriber"
    );
}
