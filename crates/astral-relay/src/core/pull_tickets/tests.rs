//! What is held, and what is given back, as the broker and the links say.

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
fn held() -> Held {
    let held = Held::default();
    held.set(offer(1), Some(offer(2)));
    held
}

fn replaced(left: u128, by: Offer) -> [Replacement; 1] {
    [Replacement { left: id(left), by }]
}

fn to_move_to(held: &Held) -> Option<TicketId> {
    lock(&held.inner).move_to.as_ref().map(|offer| offer.id)
}

fn tickets(held: &Held) -> Vec<(TicketId, bool)> {
    held.tickets(&DEMO.parse().unwrap())
        .iter()
        .map(|held| (held.id, held.standby))
        .collect()
}

fn unwanted(held: &Held) -> Vec<TicketId> {
    lock(&held.inner).unwanted.drain(..).collect()
}

#[test]
fn a_lost_standby_is_dropped_and_a_lost_active_ticket_is_told() {
    let held = held();
    let revoked = held.revoked(id(1));
    held.heed(&Renewed {
        lost: vec![id(2)],
        ..Renewed::default()
    });
    assert!(!held.has_standby() && !revoked.is_cancelled());
    held.heed(&Renewed {
        lost: vec![id(1)],
        ..Renewed::default()
    });
    assert!(revoked.is_cancelled());
}

#[test]
fn a_ticket_signed_again_takes_the_place_of_the_old_one() {
    let held = held();
    let fresh = Offer {
        token: "new".into(),
        ..offer(2)
    };
    held.heed(&Renewed {
        resigned: vec![fresh],
        ..Renewed::default()
    });
    assert_eq!(held.fail_over().unwrap().token, "new".into());
    assert_eq!(held.clear(), [id(2)]);
}

#[test]
fn a_replaced_standby_is_kept_for_later_and_one_that_is_held_no_longer_is_not_replaced() {
    let held = held();
    held.heed(&Renewed {
        replaced: replaced(2, offer(3)).into(),
        ..Renewed::default()
    });
    held.replace(&replaced(2, offer(4)));
    assert_eq!(tickets(&held), [(id(1), false), (id(3), true)]);
    assert_eq!((to_move_to(&held), unwanted(&held)), (None, vec![]));
}

#[test]
fn a_standby_is_kept_until_a_better_one_comes() {
    let held = held();
    held.set_standby(None);
    assert!(held.has_standby() && unwanted(&held).is_empty());
    held.set_standby(Some(offer(3)));
    assert_eq!(
        (tickets(&held), unwanted(&held)),
        (vec![(id(1), false), (id(3), true)], vec![id(2)])
    );
}

#[test]
fn a_move_leaves_the_standby_alone_and_gives_back_what_was_in_use() {
    let held = held();
    held.replace(&replaced(1, offer(5)));
    assert_eq!(to_move_to(&held), Some(id(5)));
    assert_eq!(tickets(&held), [(id(1), false), (id(2), true)]);
    held.moved_to(&offer(5));
    assert_eq!((to_move_to(&held), unwanted(&held)), (None, vec![id(1)]));
    assert_eq!(tickets(&held), [(id(5), false), (id(2), true)]);
}

#[test]
fn a_standby_of_the_provider_moved_to_is_no_use_and_given_back() {
    let held = held();
    let there = Offer {
        provider: offer(2).provider,
        ..offer(5)
    };
    held.replace(&replaced(1, there.clone()));
    assert!(held.has_standby(), "the move may fail");
    held.moved_to(&there);
    assert_eq!(
        (held.has_standby(), unwanted(&held)),
        (false, vec![id(1), id(2)])
    );
}

#[test]
fn of_two_replacements_of_one_ticket_the_second_is_given_back_whenever_it_comes() {
    let held = held();
    held.replace(&replaced(1, offer(5)));
    held.replace(&replaced(1, offer(6)));
    assert_eq!(
        (to_move_to(&held), unwanted(&held)),
        (Some(id(5)), vec![id(6)])
    );
    held.moved_to(&offer(5));
    assert_eq!((to_move_to(&held), unwanted(&held)), (None, vec![id(1)]));
    held.replace(&replaced(1, offer(7)));
    assert_eq!((to_move_to(&held), unwanted(&held)), (None, vec![id(7)]));
    held.replace(&replaced(1, offer(5)));
    assert_eq!(
        unwanted(&held),
        [],
        "what is in use is never given back because it is told of twice"
    );
}

#[test]
fn a_failover_while_the_next_link_is_made_takes_the_standby_and_gives_the_other_back() {
    let held = held();
    held.replace(&replaced(1, offer(5)));
    assert_eq!(held.fail_over().map(|offer| offer.id), Some(id(2)));
    assert_eq!((to_move_to(&held), unwanted(&held)), (None, vec![id(5)]));
    held.replace(&replaced(2, offer(6)));
    assert_eq!(held.fail_over(), None, "there is no other standby");
    assert_eq!((to_move_to(&held), unwanted(&held)), (None, vec![id(6)]));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_a_move_has_failed_to_is_not_tried_again_for_a_minute() {
    let held = held();
    let again = |id| Offer {
        provider: offer(5).provider,
        ..offer(id)
    };
    held.replace(&replaced(1, offer(5)));
    held.not_moved_to(&offer(5));
    assert_eq!((to_move_to(&held), unwanted(&held)), (None, vec![id(5)]));
    held.replace(&replaced(1, again(6)));
    assert_eq!((to_move_to(&held), unwanted(&held)), (None, vec![id(6)]));
    assert_eq!(tickets(&held), [(id(1), false), (id(2), true)]);
    held.replace(&replaced(1, offer(7)));
    assert_eq!(to_move_to(&held), Some(id(7)), "another may do better");
    held.not_moved_to(&offer(7));
    tokio::time::advance(SHUNNED_FOR).await;
    held.replace(&replaced(1, again(8)));
    assert_eq!(to_move_to(&held), Some(id(8)));
}

#[tokio::test]
async fn whoever_gives_tickets_back_is_told_of_each() {
    let held = held();
    let given_back = async { [held.unwanted().await, held.unwanted().await] };
    let changes = async {
        held.replace(&replaced(1, offer(5)));
        held.replace(&replaced(1, offer(6)));
        tokio::task::yield_now().await;
        held.moved_to(&offer(5));
    };
    assert_eq!(tokio::join!(given_back, changes).0, [id(6), id(1)]);
}
