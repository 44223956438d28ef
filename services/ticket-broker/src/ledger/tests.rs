mod interleavings;

use super::*;
use astral_proto::Incarnation;
use astral_proto::message::{Carried, Heartbeat, ServedTicket};
use astral_proto::model::{Role, Viewers};

const GENERATION: u32 = 7;

/// A relay that may provide.
pub(super) fn node() -> Node {
    Node {
        uuid: NodeId::random(),
        name: String::new(),
        role: Role::Node,
        state: astral_proto::model::NodeState::Up,
        media_url: "http://host:1".into(),
        rtmp_url: "rtmp://host:2/live".into(),
        advertise: "host:1".into(),
        primary_supernode: None,
        limit_kbps: 0,
        promised_kbps: 0,
        viewer_kbps: 0,
        streams: 0,
    }
}

fn said(limit_kbps: u32) -> Heartbeat {
    Heartbeat {
        node: NodeId::random(),
        draining: false,
        limit_kbps,
        viewer_kbps: 0,
        streams: vec![],
        serves: vec![],
        holds: vec![],
        rtts: vec![],
        generation: GENERATION,
        sent_at: 1,
        notices: vec![],
        process: 0,
    }
}

fn ledger(limit_kbps: u32) -> Ledger {
    let mut ledger = Ledger::new(&node());
    ledger.apply_heartbeat(&node(), &said(limit_kbps), 1);
    ledger
}

fn entry(subscriber: NodeId, standby: bool, now: u64) -> Entry {
    Entry::offered("demo".parse().unwrap(), subscriber, standby, 2_500, 1, now)
}

fn offer(
    ledger: &mut Ledger,
    subscriber: NodeId,
    standby: bool,
    now: u64,
) -> Result<TicketId, Refusal> {
    let id = TicketId::random();
    ledger
        .offer(id, entry(subscriber, standby, now), at(now))
        .map(|()| id)
}

fn at(now: u64) -> Moment {
    Moment {
        now,
        truce: false,
        generation: GENERATION,
    }
}

fn serves(ids: &[TicketId], limit_kbps: u32) -> Heartbeat {
    let link = |id: &TicketId| ServedTicket {
        id: *id,
        slug: "demo".parse().unwrap(),
        subscriber: NodeId::random(),
        kbps: 3_000,
    };
    Heartbeat {
        serves: ids.iter().map(link).collect(),
        ..said(limit_kbps)
    }
}

/// Tickets as stated by a subscriber to which frames come.
fn flowing(ids: &[TicketId]) -> Vec<StatedTicket> {
    ids.iter()
        .map(|id| StatedTicket {
            id: *id,
            flows: true,
        })
        .collect()
}

fn carried(kbps: u32) -> Carried {
    Carried {
        slug: "demo".parse().unwrap(),
        incarnation: Incarnation::default(),
        epoch: 1,
        path: vec![NodeId::random(), NodeId::random()],
        standby: None,
        newest: None,
        kbps,
        viewers: Viewers::default(),
        origin: None,
        progress: None,
    }
}

#[test]
fn tickets_and_viewers_share_the_limit() {
    let child = NodeId::random();
    let mut ledger = ledger(10_000);
    ledger.viewer_kbps = 4_000;
    assert!(offer(&mut ledger, child, false, 2).is_ok());
    assert!(offer(&mut ledger, child, false, 2).is_ok());
    assert_eq!(offer(&mut ledger, child, false, 2), Err(Refusal::Full));
    assert!(
        offer(&mut ledger, child, true, 2).is_ok(),
        "a standby reserves nothing"
    );
    assert_eq!(ledger.promised_kbps(), 5_000);
}

#[test]
fn an_offer_not_confirmed_is_released_after_five_seconds() {
    let child = NodeId::random();
    let mut ledger = ledger(2_500);
    let first = offer(&mut ledger, child, false, 2).unwrap();
    assert_eq!(offer(&mut ledger, child, false, 5_001), Err(Refusal::Full));
    assert!(offer(&mut ledger, child, false, 5_002).is_ok());
    assert_eq!(
        ledger.confirm(first, child, 5_003).unwrap_err().code,
        Code::NotFound
    );
}

#[test]
fn a_confirmed_ticket_lives_on_either_sides_heartbeats_and_frees_its_capacity_with_its_lease() {
    let child = NodeId::random();
    let mut ledger = ledger(2_500);
    let id = offer(&mut ledger, child, false, 1_000).unwrap();
    ledger.confirm(id, child, 2_000).unwrap();
    assert_eq!(
        ledger.renew_held(&flowing(&[id]), child, 7_000),
        RenewalResult {
            changed: true,
            ..RenewalResult::default()
        }
    );
    assert_eq!(
        ledger.renew_held(&flowing(&[id]), child, 7_001),
        RenewalResult::default(),
        "it has just been renewed"
    );
    ledger.apply_heartbeat(&node(), &serves(&[id], 2_500), 12_000);
    assert!(ledger.remove_expired(17_999, false).is_empty());
    assert!(
        ledger.remove_expired(18_000, true).is_empty(),
        "a truce revokes nothing"
    );
    assert_eq!(ledger.remove_expired(18_000, false)[0].0, id);
    assert_eq!(ledger.promised_kbps(), 0);
}

#[test]
fn an_offer_that_is_served_counts_as_confirmed_and_one_only_held_does_not() {
    let child = NodeId::random();
    let mut ledger = ledger(9_000);
    let served = offer(&mut ledger, child, false, 1).unwrap();
    let held = offer(&mut ledger, child, false, 1).unwrap();
    ledger.apply_heartbeat(&node(), &serves(&[served], 9_000), 3_000);
    ledger.renew_held(&flowing(&[held]), child, 3_000);
    let ended: Vec<_> = ledger
        .remove_expired(5_001, false)
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(ended, [held]);
}

#[test]
fn nobody_touches_anothers_ticket() {
    let child = NodeId::random();
    let other = NodeId::random();
    let provider = NodeId::random();
    let mut ledger = ledger(9_000);
    let id = offer(&mut ledger, child, false, 1).unwrap();
    assert_eq!(
        ledger.confirm(id, other, 2).unwrap_err().code,
        Code::Forbidden
    );
    assert_eq!(
        ledger.activate(id, other, 2).unwrap_err().code,
        Code::Forbidden
    );
    assert_eq!(
        ledger.cancel(id, provider, other, 3).unwrap_err().code,
        Code::Forbidden
    );
    assert_eq!(ledger.renew_held(&flowing(&[id]), other, 2).lost, [id]);
    assert!(ledger.clone().cancel(id, provider, provider, 3).is_ok());
    assert!(ledger.cancel(id, provider, child, 3).is_ok());
    assert_eq!(
        ledger.cancel(id, provider, child, 3).unwrap_err().code,
        Code::NotFound
    );
}

#[test]
fn a_standby_in_use_may_go_a_quarter_over_for_ten_seconds() {
    let child = NodeId::random();
    let mut ledger = ledger(10_000);
    let standbys: Vec<_> = (0..2)
        .map(|_| offer(&mut ledger, child, true, 1).unwrap())
        .collect();
    for _ in 0..4 {
        let id = offer(&mut ledger, child, false, 1).unwrap();
        ledger.confirm(id, child, 2).unwrap();
    }
    ledger.activate(standbys[0], child, 1_000).unwrap();
    assert_eq!(ledger.promised_kbps(), 12_500);
    assert_eq!(
        ledger.activate(standbys[1], child, 1_000).unwrap_err().code,
        Code::Full
    );
    let all: Vec<_> = ledger.tickets.keys().copied().collect();
    for now in [5_000, 10_000] {
        ledger.renew_held(&flowing(&all), child, now);
        assert!(ledger.remove_expired(now, false).is_empty());
    }
    assert_eq!(ledger.remove_expired(11_000, false)[0].0, standbys[0]);
}

#[test]
fn a_standby_that_fits_by_then_stays() {
    let child = NodeId::random();
    let mut ledger = ledger(2_500);
    let standby = offer(&mut ledger, child, true, 1).unwrap();
    let first = offer(&mut ledger, child, false, 1).unwrap();
    ledger.limit_kbps = 4_000;
    ledger.activate(standby, child, 1_000).unwrap();
    assert!(ledger.tickets[&standby].over_until.is_some());
    ledger
        .cancel(first, NodeId::random(), child, 1_000)
        .unwrap();
    ledger.remove_expired(1_001, false);
    assert_eq!(ledger.tickets[&standby].over_until, None);
}

#[test]
fn a_standby_served_before_its_switch_was_told_is_charged() {
    let child = NodeId::random();
    let mut ledger = ledger(10_000);
    let standby = offer(&mut ledger, child, true, 1).unwrap();
    ledger.apply_heartbeat(&node(), &serves(&[standby], 10_000), 1_000);
    assert_eq!(ledger.promised_kbps(), 2_500);
    ledger.activate(standby, child, 2_000).unwrap();
    assert_eq!(ledger.promised_kbps(), 2_500);
}

#[test]
fn a_bitrate_that_grows_is_charged_and_stops_new_grants() {
    let child = NodeId::random();
    let mut ledger = ledger(10_000);
    offer(&mut ledger, child, false, 1).unwrap();
    ledger.apply_heartbeat(
        &node(),
        &Heartbeat {
            streams: vec![carried(8_000)],
            ..said(10_000)
        },
        2,
    );
    assert_eq!(ledger.promised_kbps(), 8_000);
    assert_eq!(offer(&mut ledger, child, false, 3), Err(Refusal::Full));
}

#[test]
fn who_is_draining_lost_or_never_heard_of_gives_no_ticket() {
    let child = NodeId::random();
    assert_eq!(
        offer(&mut Ledger::new(&node()), child, false, 2),
        Err(Refusal::Lost)
    );
    assert_eq!(
        offer(&mut ledger(9_000), child, false, 6_001),
        Err(Refusal::Lost)
    );
    let mut draining = Ledger {
        draining: true,
        ..ledger(9_000)
    };
    assert_eq!(offer(&mut draining, child, true, 2), Err(Refusal::Draining));
}

#[test]
fn a_token_is_signed_again_when_under_five_minutes_remain() {
    let child = NodeId::random();
    let mut ledger = ledger(9_000);
    let id = offer(&mut ledger, child, false, 0).unwrap();
    ledger.confirm(id, child, 1).unwrap();
    assert!(
        ledger
            .renew_held(&flowing(&[id]), child, 300_000)
            .resign
            .is_empty()
    );
    assert_eq!(
        ledger.renew_held(&flowing(&[id]), child, 300_001).resign,
        [id]
    );
    assert!(
        ledger
            .renew_held(&flowing(&[id]), child, 300_002)
            .resign
            .is_empty()
    );
}

#[test]
fn a_wiped_ledger_is_whole_again_once_providers_and_subscribers_have_spoken() {
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
        wiped.apply_heartbeat(&node(), &said, 2_000),
        LinkChanges {
            adopted: vec![used],
            ended: vec![]
        }
    );
    assert!(wiped.restore_standby(standby, &"demo".parse().unwrap(), child, 2_000));
    assert!(
        !wiped.restore_standby(standby, &"demo".parse().unwrap(), child, 2_000),
        "no news twice"
    );
    assert_eq!(
        wiped.apply_heartbeat(&node(), &said, 3_000),
        LinkChanges::default()
    );
    let of = |ledger: &Ledger, id| (ledger.tickets[&id].standby, ledger.tickets[&id].kbps);
    for id in [used, standby] {
        assert_eq!(of(&wiped, id), of(&before, id));
    }
    assert_eq!((wiped.tickets.len(), wiped.promised_kbps()), (2, 2_500));
    assert_eq!(wiped.tickets[&used].hops, 2);
    assert_eq!(
        wiped.renew_held(&flowing(&[standby]), child, 3_000).resign,
        [standby],
        "it is signed anew"
    );
}

#[test]
fn a_provider_grants_nothing_until_it_has_spoken_in_the_new_generation() {
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
        ..said(10_000)
    };
    ledger.apply_heartbeat(&node(), &said, 3);
    assert_eq!(ledger.offer(id, entry(child, false, 4), next(4)), Ok(()));
}

#[test]
fn a_late_word_of_a_cancelled_ticket_brings_nothing_back() {
    let child = NodeId::random();
    let mut ledger = ledger(10_000);
    let id = offer(&mut ledger, child, false, 1).unwrap();
    ledger.confirm(id, child, 2).unwrap();
    ledger.cancel(id, NodeId::random(), child, 3).unwrap();
    assert_eq!(
        ledger.confirm(id, child, 4).unwrap_err().code,
        Code::NotFound
    );
    assert_eq!(
        ledger.activate(id, child, 4).unwrap_err().code,
        Code::NotFound
    );
    assert!(!ledger.restore_standby(id, &"demo".parse().unwrap(), child, 4));
    let links = ledger.apply_heartbeat(&node(), &serves(&[id], 10_000), 5);
    assert_eq!(
        links,
        LinkChanges {
            adopted: vec![],
            ended: vec![id]
        },
        "its link is to be closed"
    );
    assert_eq!(ledger.promised_kbps(), 0);
    ledger.remove_expired(30_003, false);
    assert!(ledger.ended.is_empty());
}

#[test]
fn whoever_is_dropped_is_not_taken_in_again_by_a_link_that_still_closes() {
    let child = NodeId::random();
    let mut ledger = ledger(10_000);
    let dead = offer(&mut ledger, child, false, 1).unwrap();
    assert_eq!(ledger.drop_held_by(child, 2).len(), 1);
    let silent = offer(&mut ledger, NodeId::random(), false, 1).unwrap();
    assert_eq!(ledger.remove_expired(9_000, false).len(), 1);
    let links = ledger.apply_heartbeat(&node(), &serves(&[dead, silent], 10_000), 9_001);
    assert_eq!(
        links,
        LinkChanges {
            adopted: vec![silent],
            ended: vec![dead]
        },
        "of the other only silence was known"
    );
}

#[test]
fn over_the_limit_the_newest_tickets_move_and_while_draining_all_do() {
    let child = NodeId::random();
    let mut ledger = ledger(10_000);
    let tickets = [1, 2, 3].map(|now| {
        let id = offer(&mut ledger, child, false, now).unwrap();
        ledger.confirm(id, child, now).unwrap();
        id
    });
    let standby = offer(&mut ledger, child, true, 4).unwrap();
    let all = [tickets[0], tickets[1], tickets[2], standby];
    assert!(ledger.renew_held(&flowing(&all), child, 5).moves.is_empty());
    let grown = Heartbeat {
        streams: vec![carried(4_000)],
        ..said(10_000)
    };
    ledger.apply_heartbeat(&node(), &grown, 6);
    assert_eq!(
        ledger.renew_held(&flowing(&all), child, 6).moves,
        [tickets[2]]
    );
    ledger.activate(standby, child, 7).unwrap_err();
    ledger.apply_heartbeat(
        &node(),
        &Heartbeat {
            draining: true,
            ..said(100_000)
        },
        8,
    );
    assert_eq!(ledger.renew_held(&flowing(&all), child, 8).moves, tickets);
}

#[test]
fn a_provider_has_so_many_standbys_and_they_take_no_room_from_tickets() {
    let child = NodeId::random();
    let mut ledger = ledger(5_000);
    let standbys = (0..20)
        .filter(|_| offer(&mut ledger, child, true, 2).is_ok())
        .count();
    assert_eq!(standbys as u64, STANDBYS_TIMES_LIMIT * 2);
    assert!(
        offer(&mut ledger, child, false, 2).is_ok() && offer(&mut ledger, child, false, 2).is_ok()
    );
    assert_eq!(offer(&mut ledger, child, false, 2), Err(Refusal::Full));
}

#[test]
fn a_standby_is_looked_at_every_ten_seconds() {
    let child = NodeId::random();
    let mut ledger = ledger(10_000);
    let id = offer(&mut ledger, child, true, 1_000).unwrap();
    let due =
        |ledger: &mut Ledger, now| ledger.renew_held(&flowing(&[id]), child, now).standbys_due;
    assert!(due(&mut ledger, 10_999).is_empty());
    assert_eq!(due(&mut ledger, 11_000), [id]);
    assert!(due(&mut ledger, 13_000).is_empty());
}
