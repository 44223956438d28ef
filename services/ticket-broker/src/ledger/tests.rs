mod heartbeats;
mod interleavings;
mod standbys;

use super::heartbeat::{
    LinkChanges, RenewalResult, StatedTicket, apply_provider, renew_held, restore_standby,
};
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
        limit_kbps: Kbps::ZERO,
        promised_kbps: Kbps::ZERO,
        viewer_kbps: Kbps::ZERO,
        streams: 0,
    }
}

fn heartbeat(limit_kbps: u32) -> Heartbeat {
    Heartbeat {
        node: NodeId::random(),
        draining: false,
        limit_kbps: Kbps::new(limit_kbps),
        viewer_kbps: Kbps::ZERO,
        streams: vec![],
        serves: vec![],
        holds: vec![],
        rtts: vec![],
        generation: GENERATION,
        sent_at: UnixMillis::new(1),
        notices: vec![],
        process: 0,
    }
}

fn ledger(limit_kbps: u32) -> Ledger {
    let mut ledger = Ledger::new(&node());
    apply_provider(&mut ledger, &node(), &heartbeat(limit_kbps), ms(1));
    ledger
}

fn ms(millis: u64) -> UnixMillis {
    UnixMillis::new(millis)
}

fn entry(subscriber: NodeId, standby: bool, now: u64) -> Entry {
    Entry::offered(
        "demo".parse().unwrap(),
        subscriber,
        standby,
        Kbps::new(2_500),
        1,
        ms(now),
    )
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
        now: ms(now),
        truce: false,
        generation: GENERATION,
    }
}

fn serves(ids: &[TicketId], limit_kbps: u32) -> Heartbeat {
    let link = |id: &TicketId| ServedTicket {
        id: *id,
        slug: "demo".parse().unwrap(),
        subscriber: NodeId::random(),
        kbps: Kbps::new(3_000),
    };
    Heartbeat {
        serves: ids.iter().map(link).collect(),
        ..heartbeat(limit_kbps)
    }
}

/// Tickets as a subscriber that receives frames reports them.
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
        kbps: Kbps::new(kbps),
        viewers: Viewers::default(),
        origin: None,
        progress: None,
    }
}

#[test]
fn tickets_and_viewers_share_the_limit() {
    let child = NodeId::random();
    let mut ledger = ledger(10_000);
    ledger.viewer_kbps = Kbps::new(4_000);
    assert!(offer(&mut ledger, child, false, 2).is_ok());
    assert!(offer(&mut ledger, child, false, 2).is_ok());
    assert_eq!(offer(&mut ledger, child, false, 2), Err(Refusal::Full));
    assert!(
        offer(&mut ledger, child, true, 2).is_ok(),
        "a standby reserves nothing"
    );
    assert_eq!(ledger.promised_kbps(), Kbps::new(5_000));
}

#[test]
fn an_offer_not_confirmed_is_released_after_five_seconds() {
    let child = NodeId::random();
    let mut ledger = ledger(2_500);
    let first = offer(&mut ledger, child, false, 2).unwrap();
    assert_eq!(offer(&mut ledger, child, false, 5_001), Err(Refusal::Full));
    assert!(offer(&mut ledger, child, false, 5_002).is_ok());
    assert_eq!(
        ledger.confirm(first, child, ms(5_003)),
        Err(Error::NoTicket(first))
    );
}

#[test]
fn no_node_changes_the_ticket_of_another() {
    let child = NodeId::random();
    let other = NodeId::random();
    let provider = NodeId::random();
    let mut ledger = ledger(9_000);
    let id = offer(&mut ledger, child, false, 1).unwrap();
    assert_eq!(
        ledger.confirm(id, other, ms(2)),
        Err(Error::NotSubscriber { id, node: other })
    );
    assert_eq!(
        ledger.activate(id, other, ms(2)),
        Err(Error::NotSubscriber { id, node: other })
    );
    assert_eq!(
        ledger.cancel(id, provider, other, ms(3)),
        Err(Error::NotSubscriber { id, node: other })
    );
    assert_eq!(
        renew_held(&mut ledger, &flowing(&[id]), other, ms(2)).lost,
        [id]
    );
    assert!(ledger.clone().cancel(id, provider, provider, ms(3)).is_ok());
    assert!(ledger.cancel(id, provider, child, ms(3)).is_ok());
    assert_eq!(
        ledger.cancel(id, provider, child, ms(3)),
        Err(Error::NoTicket(id))
    );
}

#[test]
fn a_provider_that_is_draining_lost_or_new_gives_no_ticket() {
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
fn a_ledger_with_too_many_ended_tickets_forgets_the_oldest() {
    let mut ledger = ledger(5_000);
    let ids: Vec<_> = (0..ENDED_MAX as u128 + 2)
        .map(|number| TicketId(uuid::Uuid::from_u128(u128::MAX - number)))
        .collect();
    for (second, id) in ids.iter().enumerate() {
        ledger.remember_ended([*id], ms(second as u64));
    }
    let last = ms(ENDED_MAX as u64 + 2);
    assert!(!ledger.has_ended(ids[0], last));
    assert!(!ledger.has_ended(ids[1], last));
    assert!(ids[2..].iter().all(|id| ledger.has_ended(*id, last)));
}
