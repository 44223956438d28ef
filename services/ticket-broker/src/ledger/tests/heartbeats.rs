//! What heartbeats renew, restore and move.

use super::*;

#[test]
fn the_heartbeats_of_either_side_keep_a_ticket_and_its_lease_ends_without_them() {
    let child = NodeId::random();
    let mut ledger = ledger(2_500);
    let id = offer(&mut ledger, child, false, 1_000).unwrap();
    ledger.confirm(id, child, ms(2_000)).unwrap();
    assert_eq!(
        renew_held(&mut ledger, &flowing(&[id]), child, ms(7_000)),
        RenewalResult {
            changed: true,
            ..RenewalResult::default()
        }
    );
    assert_eq!(
        renew_held(&mut ledger, &flowing(&[id]), child, ms(7_001)),
        RenewalResult::default(),
        "it has just been renewed"
    );
    apply_provider(&mut ledger, &node(), &serves(&[id], 2_500), ms(12_000));
    assert!(ledger.remove_expired(ms(17_999), false).is_empty());
    assert!(
        ledger.remove_expired(ms(18_000), true).is_empty(),
        "a truce revokes nothing"
    );
    assert_eq!(ledger.remove_expired(ms(18_000), false)[0].0, id);
    assert_eq!(ledger.promised_kbps(), Kbps::new(0));
}

#[test]
fn an_offer_that_is_served_counts_as_confirmed_and_one_that_is_only_held_does_not() {
    let child = NodeId::random();
    let mut ledger = ledger(9_000);
    let served = offer(&mut ledger, child, false, 1).unwrap();
    let held = offer(&mut ledger, child, false, 1).unwrap();
    apply_provider(&mut ledger, &node(), &serves(&[served], 9_000), ms(3_000));
    renew_held(&mut ledger, &flowing(&[held]), child, ms(3_000));
    let ended: Vec<_> = ledger
        .remove_expired(ms(5_001), false)
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(ended, [held]);
}

#[test]
fn a_bitrate_that_grows_is_charged_and_stops_new_grants() {
    let child = NodeId::random();
    let mut ledger = ledger(10_000);
    offer(&mut ledger, child, false, 1).unwrap();
    apply_provider(
        &mut ledger,
        &node(),
        &Heartbeat {
            streams: vec![carried(8_000)],
            ..heartbeat(10_000)
        },
        ms(2),
    );
    assert_eq!(ledger.promised_kbps(), Kbps::new(8_000));
    assert_eq!(offer(&mut ledger, child, false, 3), Err(Refusal::Full));
}

#[test]
fn a_token_is_signed_again_when_under_five_minutes_remain() {
    let child = NodeId::random();
    let mut ledger = ledger(9_000);
    let id = offer(&mut ledger, child, false, 0).unwrap();
    ledger.confirm(id, child, ms(1)).unwrap();
    assert!(
        renew_held(&mut ledger, &flowing(&[id]), child, ms(300_000))
            .resign
            .is_empty()
    );
    assert_eq!(
        renew_held(&mut ledger, &flowing(&[id]), child, ms(300_001)).resign,
        [id]
    );
    assert!(
        renew_held(&mut ledger, &flowing(&[id]), child, ms(300_002))
            .resign
            .is_empty()
    );
}

#[test]
fn the_heartbeats_of_both_sides_restore_a_lost_ledger() {
    let child = NodeId::random();
    let mut before = ledger(10_000);
    let used = offer(&mut before, child, false, 1).unwrap();
    let standby = offer(&mut before, child, true, 1).unwrap();
    let mut wiped = Ledger::new(&node());
    let said = Heartbeat {
        streams: vec![carried(2_500)],
        ..serves(&[used], 10_000)
    };
    assert_eq!(
        apply_provider(&mut wiped, &node(), &said, ms(2_000)),
        LinkChanges {
            adopted: vec![used],
            ended: vec![]
        }
    );
    assert!(restore_standby(
        &mut wiped,
        standby,
        &"demo".parse().unwrap(),
        child,
        ms(2_000)
    ));
    assert!(
        !restore_standby(
            &mut wiped,
            standby,
            &"demo".parse().unwrap(),
            child,
            ms(2_000)
        ),
        "it is there already"
    );
    assert_eq!(
        apply_provider(&mut wiped, &node(), &said, ms(3_000)),
        LinkChanges::default()
    );
    let of = |ledger: &Ledger, id| (ledger.tickets[&id].standby, ledger.tickets[&id].kbps);
    for id in [used, standby] {
        assert_eq!(of(&wiped, id), of(&before, id));
    }
    assert_eq!(
        (wiped.tickets.len(), wiped.promised_kbps()),
        (2, Kbps::new(2_500))
    );
    assert_eq!(wiped.tickets[&used].hops, 2);
    assert_eq!(
        renew_held(&mut wiped, &flowing(&[standby]), child, ms(3_000)).resign,
        [standby],
        "its token is signed again"
    );
}

#[test]
fn a_provider_grants_nothing_before_its_first_heartbeat_in_the_new_generation() {
    let child = NodeId::random();
    let mut ledger = ledger(10_000);
    let next = |now| Moment {
        generation: GENERATION + 1,
        ..at(now)
    };
    let id = TicketId::random();
    assert_eq!(
        ledger.offer(id, entry(child, false, 2), next(2)),
        Err(Refusal::Lost)
    );
    let said = Heartbeat {
        generation: GENERATION + 1,
        ..heartbeat(10_000)
    };
    apply_provider(&mut ledger, &node(), &said, ms(3));
    assert_eq!(ledger.offer(id, entry(child, false, 4), next(4)), Ok(()));
}

#[test]
fn a_late_message_does_not_restore_a_cancelled_ticket() {
    let child = NodeId::random();
    let mut ledger = ledger(10_000);
    let id = offer(&mut ledger, child, false, 1).unwrap();
    ledger.confirm(id, child, ms(2)).unwrap();
    ledger.cancel(id, NodeId::random(), child, ms(3)).unwrap();
    assert_eq!(ledger.confirm(id, child, ms(4)), Err(Error::NoTicket(id)));
    assert_eq!(ledger.activate(id, child, ms(4)), Err(Error::NoTicket(id)));
    assert!(!restore_standby(
        &mut ledger,
        id,
        &"demo".parse().unwrap(),
        child,
        ms(4)
    ));
    let links = apply_provider(&mut ledger, &node(), &serves(&[id], 10_000), ms(5));
    assert_eq!(
        links,
        LinkChanges {
            adopted: vec![],
            ended: vec![id]
        },
        "its link must be closed"
    );
    assert_eq!(ledger.promised_kbps(), Kbps::new(0));
    ledger.remove_expired(ms(30_003), false);
    assert!(ledger.ended.is_empty());
}

#[test]
fn a_dropped_ticket_is_not_restored_by_a_link_that_is_still_closing() {
    let child = NodeId::random();
    let mut ledger = ledger(10_000);
    let dead = offer(&mut ledger, child, false, 1).unwrap();
    assert_eq!(ledger.drop_held_by(child, ms(2)).len(), 1);
    let silent = offer(&mut ledger, NodeId::random(), false, 1).unwrap();
    assert_eq!(ledger.remove_expired(ms(9_000), false).len(), 1);
    let links = apply_provider(
        &mut ledger,
        &node(),
        &serves(&[dead, silent], 10_000),
        ms(9_001),
    );
    assert_eq!(
        links,
        LinkChanges {
            adopted: vec![silent],
            ended: vec![dead]
        },
        "about the other one only silence was known"
    );
}

#[test]
fn over_the_limit_the_newest_tickets_move_and_while_draining_all_do() {
    let child = NodeId::random();
    let mut ledger = ledger(10_000);
    let tickets = [1, 2, 3].map(|now| {
        let id = offer(&mut ledger, child, false, now).unwrap();
        ledger.confirm(id, child, ms(now)).unwrap();
        id
    });
    let standby = offer(&mut ledger, child, true, 4).unwrap();
    let all = [tickets[0], tickets[1], tickets[2], standby];
    assert!(
        renew_held(&mut ledger, &flowing(&all), child, ms(5))
            .moves
            .is_empty()
    );
    let grown = Heartbeat {
        streams: vec![carried(4_000)],
        ..heartbeat(10_000)
    };
    apply_provider(&mut ledger, &node(), &grown, ms(6));
    assert_eq!(
        renew_held(&mut ledger, &flowing(&all), child, ms(6)).moves,
        [tickets[2]]
    );
    ledger.activate(standby, child, ms(7)).unwrap_err();
    apply_provider(
        &mut ledger,
        &node(),
        &Heartbeat {
            draining: true,
            ..heartbeat(100_000)
        },
        ms(8),
    );
    assert_eq!(
        renew_held(&mut ledger, &flowing(&all), child, ms(8)).moves,
        tickets
    );
}
