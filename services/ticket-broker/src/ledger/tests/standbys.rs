//! Standbys: how many there may be, and what happens when one comes into use.

use super::*;

#[test]
fn a_standby_in_use_may_go_a_quarter_over_for_ten_seconds() {
    let child = NodeId::random();
    let mut ledger = ledger(10_000);
    let standbys: Vec<_> = (0..2)
        .map(|_| offer(&mut ledger, child, true, 1).unwrap())
        .collect();
    for _ in 0..4 {
        let id = offer(&mut ledger, child, false, 1).unwrap();
        ledger.confirm(id, child, ms(2)).unwrap();
    }
    ledger.activate(standbys[0], child, ms(1_000)).unwrap();
    assert_eq!(ledger.promised_kbps(), Kbps::new(12_500));
    assert_eq!(
        ledger.activate(standbys[1], child, ms(1_000)),
        Err(Error::FarOverLimit {
            used_kbps: Kbps::new(15_000),
            limit_kbps: Kbps::new(10_000)
        })
    );
    let all: Vec<_> = ledger.tickets.keys().copied().collect();
    for now in [5_000, 10_000] {
        renew_held(&mut ledger, &flowing(&all), child, ms(now));
        assert!(ledger.remove_expired(ms(now), false).is_empty());
    }
    assert_eq!(ledger.remove_expired(ms(11_000), false)[0].0, standbys[0]);
}

#[test]
fn a_standby_that_fits_when_its_time_over_the_limit_ends_stays() {
    let child = NodeId::random();
    let mut ledger = ledger(2_500);
    let standby = offer(&mut ledger, child, true, 1).unwrap();
    let first = offer(&mut ledger, child, false, 1).unwrap();
    ledger.limit_kbps = Kbps::new(4_000);
    ledger.activate(standby, child, ms(1_000)).unwrap();
    assert!(ledger.tickets[&standby].over_until.is_some());
    ledger
        .cancel(first, NodeId::random(), child, ms(1_000))
        .unwrap();
    ledger.remove_expired(ms(1_001), false);
    assert_eq!(ledger.tickets[&standby].over_until, None);
}

#[test]
fn a_standby_that_is_served_before_its_switch_arrives_is_charged() {
    let child = NodeId::random();
    let mut ledger = ledger(10_000);
    let standby = offer(&mut ledger, child, true, 1).unwrap();
    apply_provider(&mut ledger, &node(), &serves(&[standby], 10_000), ms(1_000));
    assert_eq!(ledger.promised_kbps(), Kbps::new(2_500));
    ledger.activate(standby, child, ms(2_000)).unwrap();
    assert_eq!(ledger.promised_kbps(), Kbps::new(2_500));
}

#[test]
fn the_standbys_of_a_provider_are_limited_and_take_no_room_from_tickets() {
    let child = NodeId::random();
    let mut ledger = ledger(5_000);
    let standbys = (0..20)
        .filter(|_| offer(&mut ledger, child, true, 2).is_ok())
        .count();
    assert_eq!(standbys as u32, STANDBYS_TIMES_LIMIT * 2);
    assert!(
        offer(&mut ledger, child, false, 2).is_ok() && offer(&mut ledger, child, false, 2).is_ok()
    );
    assert_eq!(offer(&mut ledger, child, false, 2), Err(Refusal::Full));
}

#[test]
fn a_standby_is_reviewed_every_ten_seconds() {
    let child = NodeId::random();
    let mut ledger = ledger(10_000);
    let id = offer(&mut ledger, child, true, 1_000).unwrap();
    let due =
        |ledger: &mut Ledger, now| renew_held(ledger, &flowing(&[id]), child, ms(now)).standbys_due;
    assert!(due(&mut ledger, 10_999).is_empty());
    assert_eq!(due(&mut ledger, 11_000), [id]);
    assert!(due(&mut ledger, 13_000).is_empty());
}
