use super::*;
use crate::grant::{granted, next_grant};
use astral_proto::{FrameId, Micros};

fn ms(millis: u64) -> UnixMillis {
    UnixMillis::new(millis)
}

/// `record` after its publisher has left at 12 s.
fn in_grace(record: &Record) -> Record {
    publisher_gone(record.clone(), &gone(record, 1, false), ms(12_000)).unwrap()
}

fn incarnation() -> Incarnation {
    Incarnation::from_bits(0xd4a3)
}

fn live() -> Record {
    let record = Record::new("demo".parse().unwrap(), None, 0, ms(0));
    let grant = next_grant(&record, &[], incarnation(), ms(0));
    granted(record, grant, NodeId::random(), ms(0))
}

fn at(gop: u64, silent_ms: u64) -> OriginState {
    let newest = FrameId::new(gop, 0);
    OriginState {
        newest,
        newest_dts: Micros::new(0),
        discontinuity: 0,
        target_duration_seconds: None,
        silent_ms,
    }
}

fn said(record: &Record, epoch: u64, state: OriginState) -> Report {
    Report {
        slug: record.slug.clone(),
        node: record.origin.unwrap(),
        incarnation: incarnation(),
        epoch,
        kbps: Kbps::new(2_500),
        state,
    }
}

fn gone(record: &Record, epoch: u64, ended: bool) -> PublisherGone {
    let node = record.origin.unwrap();
    PublisherGone {
        slug: record.slug.clone(),
        incarnation: incarnation(),
        epoch,
        node,
        ended,
        origin: at(5, 2_000),
    }
}

fn kept(verdict: Verdict) -> Record {
    match verdict {
        Verdict::Keep(record) => *record,
        Verdict::HeldBack(record) => panic!("held back at epoch {}", record.epoch),
        Verdict::Fence(epoch) => panic!("fenced by epoch {epoch}"),
    }
}

#[test]
fn an_origin_tells_how_far_it_is() {
    let record = live();
    let after = kept(report(
        record.clone(),
        &said(&record, 1, at(3, 100)),
        ms(1_000),
    ));
    assert_eq!(
        (after.kbps, after.heard_at, after.state),
        (Kbps::new(2_500), ms(1_000), StreamState::Live)
    );
    assert_eq!(
        after.reached,
        Some(Reached {
            epoch: 1,
            state: at(3, 100),
            media_at: ms(900)
        })
    );
}

#[test]
fn a_lower_epoch_changes_nothing_and_is_fenced() {
    let record = Record { epoch: 4, ..live() };
    assert_eq!(
        report(record.clone(), &said(&record, 3, at(9, 9)), ms(1)),
        Verdict::Fence(4)
    );
    assert_eq!(
        publisher_gone(record.clone(), &gone(&record, 3, true), ms(1)),
        None
    );
}

#[test]
fn a_second_origin_of_the_same_epoch_is_fenced_by_the_next() {
    let record = live();
    let other = Report {
        node: NodeId::random(),
        ..said(&record, 1, at(9, 9))
    };
    assert_eq!(report(record, &other, ms(1)), Verdict::Fence(2));
}

#[test]
fn an_epoch_granted_while_the_directory_was_away_is_taken() {
    let record = live();
    let mut claim = said(&record, 7, at(30, 500));
    claim.node = NodeId::random();
    let after = kept(report(record, &claim, ms(1_000)));
    assert_eq!(
        (after.epoch, after.origin, after.started_at),
        (7, Some(claim.node), Some(ms(1_000)))
    );
}

#[test]
fn a_publisher_that_goes_leaves_a_grace_window_and_then_an_ended_stream() {
    let record = live();
    let grace = in_grace(&record);
    assert_eq!(
        (grace.state, grace.state_since),
        (StreamState::Grace, ms(12_000))
    );
    assert_eq!(time_passed(grace.clone(), ms(21_999), false, ms(0)), None);
    let ended = time_passed(grace.clone(), ms(22_000), false, ms(0)).unwrap();
    assert_eq!(ended.state, StreamState::Ended);
    assert_eq!(time_passed(ended, ms(99_000), false, ms(0)), None);
    let told = publisher_gone(grace.clone(), &gone(&record, 1, true), ms(13_000)).unwrap();
    assert_eq!(told.state, StreamState::Ended);
    assert_eq!(
        publisher_gone(told, &gone(&record, 1, false), ms(14_000)),
        None
    );
    assert_eq!(
        publisher_gone(grace, &gone(&record, 1, false), ms(14_000)),
        None
    );
}

#[test]
fn an_origin_that_waits_for_its_publisher_is_not_live_but_new_media_is() {
    let record = live();
    let grace = in_grace(&record);
    let waiting = kept(report(grace, &said(&record, 1, at(5, 4_000)), ms(14_000)));
    assert_eq!(waiting.state, StreamState::Grace);
    let back = kept(report(waiting, &said(&record, 1, at(6, 1_000)), ms(16_000)));
    assert_eq!(back.state, StreamState::Live);
}

#[test]
fn an_origin_not_heard_of_for_a_lease_has_lost_its_publisher_unless_under_truce() {
    let record = live();
    assert_eq!(time_passed(record.clone(), ms(5_999), false, ms(0)), None);
    assert_eq!(time_passed(record.clone(), ms(60_000), true, ms(0)), None);
    assert_eq!(
        time_passed(record, ms(6_000), false, ms(0)).unwrap().state,
        StreamState::Grace
    );
}

#[test]
fn a_heartbeat_overtaken_by_the_origins_last_word_takes_nothing_back() {
    let record = live();
    let grace = in_grace(&record);
    let after = kept(report(
        grace.clone(),
        &said(&record, 1, at(4, 3_500)),
        ms(12_500),
    ));
    assert_eq!(
        (after.reached, after.state),
        (grace.reached, StreamState::Grace)
    );
}

#[test]
fn after_a_wipe_a_heartbeat_brings_the_incarnation_back() {
    let record = live();
    let wiped = Record::new(record.slug.clone(), None, 0, ms(1_000));
    let after = kept(report(wiped, &said(&record, 4, at(30, 500)), ms(2_000)));
    assert_eq!((after.incarnation, after.epoch), (incarnation(), 4));
    let paused = Record {
        state: StreamState::Paused,
        ..Record::new(record.slug.clone(), None, 0, ms(1_000))
    };
    let Verdict::HeldBack(after) = report(paused, &said(&record, 4, at(30, 500)), ms(2_000)) else {
        panic!("a paused stream is held back");
    };
    assert_eq!(after.incarnation, incarnation());
}

#[test]
fn an_incarnation_that_is_known_is_not_overwritten_by_the_same_epoch() {
    let record = Record {
        incarnation: Incarnation::from_bits(9),
        ..live()
    };
    let after = kept(report(
        record.clone(),
        &said(&record, 1, at(3, 100)),
        ms(1_000),
    ));
    assert_eq!(after.incarnation, Incarnation::from_bits(9));
    let untold = Report {
        incarnation: Incarnation::default(),
        ..said(&record, 2, at(4, 100))
    };
    assert_eq!(
        kept(report(record, &untold, ms(1_000))).incarnation,
        Incarnation::from_bits(9)
    );
}

#[test]
fn a_stream_whose_origin_is_silent_lives_while_a_relay_gets_new_frames() {
    let record = live();
    assert_eq!(
        time_passed(record.clone(), ms(60_000), false, ms(54_001)),
        None
    );
    let grace = time_passed(record, ms(60_000), false, ms(54_000)).unwrap();
    assert_eq!((grace.state, grace.by_silence), (StreamState::Grace, true));
    assert_eq!(
        time_passed(grace.clone(), ms(69_999), false, ms(54_000)),
        None
    );
    assert_eq!(
        time_passed(grace.clone(), ms(90_000), true, ms(54_000)),
        None,
        "a truce"
    );
    let back = time_passed(grace.clone(), ms(62_000), false, ms(60_001)).unwrap();
    assert_eq!((back.state, back.epoch), (StreamState::Live, grace.epoch));
    assert_eq!(
        time_passed(grace, ms(70_000), false, ms(54_000))
            .unwrap()
            .state,
        StreamState::Ended
    );
}

#[test]
fn a_stream_that_silence_has_ended_is_live_again_in_its_epoch_once_its_origin_or_a_carrier_is_heard()
 {
    let record = live();
    let record = kept(report(record.clone(), &said(&record, 1, at(1, 0)), ms(1)));
    let ended = time_passed(
        time_passed(record, ms(20_000), false, ms(0)).unwrap(),
        ms(40_000),
        false,
        ms(0),
    )
    .unwrap();
    assert_eq!((ended.state, ended.by_silence), (StreamState::Ended, true));
    let by_carrier = time_passed(ended.clone(), ms(50_000), false, ms(49_000)).unwrap();
    assert_eq!(
        (by_carrier.state, by_carrier.epoch, by_carrier.by_silence),
        (StreamState::Live, 1, false)
    );
    let by_origin = kept(report(
        ended.clone(),
        &said(&ended, 1, at(9, 100)),
        ms(50_000),
    ));
    assert_eq!(
        (by_origin.state, by_origin.epoch, by_origin.by_silence),
        (StreamState::Live, 1, false)
    );
}

#[test]
fn what_an_origin_said_no_relay_and_no_silence_takes_back() {
    let record = live();
    let told = publisher_gone(record.clone(), &gone(&record, 1, true), ms(12_000)).unwrap();
    assert_eq!(
        time_passed(told, ms(20_000), false, ms(19_000)),
        None,
        "a relay still passes on what it had"
    );
    let grace = in_grace(&record);
    assert_eq!(time_passed(grace, ms(13_000), false, ms(12_500)), None);
    let silent = time_passed(record.clone(), ms(10_000), false, ms(0)).unwrap();
    let told = publisher_gone(silent, &gone(&record, 1, false), ms(12_000)).unwrap();
    assert_eq!(
        (told.state, told.by_silence, told.state_since),
        (StreamState::Grace, false, ms(12_000))
    );
}
