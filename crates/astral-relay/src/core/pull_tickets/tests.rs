//! Which tickets are held, and which are cancelled.

use super::*;

const DEMO: &str = "demo";

fn offer(id: u128) -> Offer {
    let id = uuid::Uuid::from_u128(id);
    Offer {
        id: TicketId(id),
        provider: NodeId(id),
        advertise: "127.0.0.1:1".into(),
        token: "old".into(),
    }
}

fn id(number: u128) -> TicketId {
    offer(number).id
}

/// Ticket 1 is in use, and 2 is the standby.
fn held() -> PullTickets {
    let held = PullTickets::default();
    held.set(offer(1), Some(offer(2)));
    held
}

fn replaced(left: u128, by: Offer) -> [Replacement; 1] {
    [Replacement { left: id(left), by }]
}

fn move_to(held: &PullTickets) -> Option<TicketId> {
    lock(&held.inner).move_to.as_ref().map(|offer| offer.id)
}

fn tickets(held: &PullTickets) -> Vec<(TicketId, bool)> {
    held.held(&DEMO.parse().unwrap())
        .iter()
        .map(|held| (held.id, held.standby))
        .collect()
}

fn cancels(held: &PullTickets) -> Vec<TicketId> {
    lock(&held.inner).cancels.drain(..).collect()
}

#[test]
fn a_lost_standby_is_dropped_and_the_link_of_a_lost_active_ticket_is_told() {
    let held = held();
    let lost = held.lost(id(1));
    held.apply_renewal(&Renewed {
        lost: vec![id(2)],
        ..Renewed::default()
    });
    assert!(!held.has_standby() && !lost.is_cancelled());
    held.apply_renewal(&Renewed {
        lost: vec![id(1)],
        ..Renewed::default()
    });
    assert!(lost.is_cancelled());
}

#[test]
fn a_ticket_that_is_signed_again_replaces_the_old_one() {
    let held = held();
    let fresh = Offer {
        token: "new".into(),
        ..offer(2)
    };
    held.apply_renewal(&Renewed {
        resigned: vec![fresh],
        ..Renewed::default()
    });
    assert_eq!(held.use_standby().unwrap().token, "new".into());
    assert_eq!(held.drop_all(), [id(1), id(2)]);
}

#[test]
fn a_standby_is_replaced_at_once_but_only_while_it_is_held() {
    let held = held();
    held.apply_renewal(&Renewed {
        replaced: replaced(2, offer(3)).into(),
        ..Renewed::default()
    });
    held.replace(&replaced(2, offer(4)));
    assert_eq!(tickets(&held), [(id(1), false), (id(3), true)]);
    assert_eq!((move_to(&held), cancels(&held)), (None, vec![]));
}

#[test]
fn a_standby_is_kept_until_a_better_one_comes() {
    let held = held();
    held.set_standby(None);
    assert!(held.has_standby() && cancels(&held).is_empty());
    held.set_standby(Some(offer(3)));
    assert_eq!(
        (tickets(&held), cancels(&held)),
        (vec![(id(1), false), (id(3), true)], vec![id(2)])
    );
}

#[test]
fn a_move_keeps_the_standby_and_cancels_the_ticket_that_was_active() {
    let held = held();
    held.replace(&replaced(1, offer(5)));
    assert_eq!(move_to(&held), Some(id(5)));
    assert_eq!(tickets(&held), [(id(1), false), (id(2), true)]);
    held.complete_move(&offer(5));
    assert_eq!((move_to(&held), cancels(&held)), (None, vec![id(1)]));
    assert_eq!(tickets(&held), [(id(5), false), (id(2), true)]);
}

#[test]
fn a_standby_at_the_new_provider_is_cancelled() {
    let held = held();
    let there = Offer {
        provider: offer(2).provider,
        ..offer(5)
    };
    held.replace(&replaced(1, there.clone()));
    assert!(held.has_standby(), "the move may fail");
    held.complete_move(&there);
    assert_eq!(
        (held.has_standby(), cancels(&held)),
        (false, vec![id(1), id(2)])
    );
}

#[test]
fn the_second_replacement_of_a_ticket_is_cancelled_whenever_it_comes() {
    let held = held();
    held.replace(&replaced(1, offer(5)));
    held.replace(&replaced(1, offer(6)));
    assert_eq!((move_to(&held), cancels(&held)), (Some(id(5)), vec![id(6)]));
    held.complete_move(&offer(5));
    assert_eq!((move_to(&held), cancels(&held)), (None, vec![id(1)]));
    held.replace(&replaced(1, offer(7)));
    assert_eq!((move_to(&held), cancels(&held)), (None, vec![id(7)]));
    held.replace(&replaced(1, offer(5)));
    assert_eq!(
        cancels(&held),
        [],
        "a ticket in use is never cancelled because it was offered twice"
    );
}

#[test]
fn a_failover_during_a_move_uses_the_standby_and_cancels_the_move() {
    let held = held();
    held.replace(&replaced(1, offer(5)));
    assert_eq!(held.use_standby().map(|offer| offer.id), Some(id(2)));
    assert_eq!((move_to(&held), cancels(&held)), (None, vec![id(5)]));
    held.replace(&replaced(2, offer(6)));
    assert_eq!(held.use_standby(), None, "there is no other standby");
    assert_eq!((move_to(&held), cancels(&held)), (None, vec![id(6)]));
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_move_its_provider_is_avoided_for_a_minute() {
    let held = held();
    let again = |id| Offer {
        provider: offer(5).provider,
        ..offer(id)
    };
    held.replace(&replaced(1, offer(5)));
    held.abandon_move(&offer(5));
    assert_eq!((move_to(&held), cancels(&held)), (None, vec![id(5)]));
    held.replace(&replaced(1, again(6)));
    assert_eq!((move_to(&held), cancels(&held)), (None, vec![id(6)]));
    assert_eq!(tickets(&held), [(id(1), false), (id(2), true)]);
    held.replace(&replaced(1, offer(7)));
    assert_eq!(move_to(&held), Some(id(7)), "another may do better");
    held.abandon_move(&offer(7));
    tokio::time::advance(AVOID_FOR).await;
    held.replace(&replaced(1, again(8)));
    assert_eq!(move_to(&held), Some(id(8)));
}

#[tokio::test]
async fn each_ticket_to_cancel_is_handed_out_once() {
    let held = held();
    let cancelled = async { [held.next_cancel().await, held.next_cancel().await] };
    let changes = async {
        held.replace(&replaced(1, offer(5)));
        held.replace(&replaced(1, offer(6)));
        tokio::task::yield_now().await;
        held.complete_move(&offer(5));
    };
    assert_eq!(tokio::join!(cancelled, changes).0, [id(6), id(1)]);
}
