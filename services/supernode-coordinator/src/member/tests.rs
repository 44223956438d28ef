//! Tests of the rules for one node.

use super::*;
use astral_proto::Code;

pub fn registration(role: Role) -> Register {
    Register {
        node: NodeId::random(),
        name: String::new(),
        role,
        media_url: "http://host:8081".into(),
        rtmp_url: "rtmp://host:1935/live".into(),
        advertise: "host:8081".into(),
        limit_kbps: Kbps::new(100_000),
        rtts: vec![],
        process: 0,
        sent_at: UnixMillis::ZERO,
    }
}

pub fn heartbeat(node: NodeId, sent_at: u64) -> Heartbeat {
    Heartbeat {
        node,
        draining: false,
        limit_kbps: Kbps::new(50_000),
        viewer_kbps: Kbps::new(7),
        streams: vec![],
        serves: vec![],
        holds: vec![],
        rtts: vec![],
        generation: 0,
        sent_at: at(sent_at),
        notices: vec![],
        process: 0,
    }
}

fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(millis)
}

fn member() -> Member {
    new_member(&registration(Role::Node), None, at(1_000))
}

#[test]
fn a_heartbeat_renews_the_lease_and_the_figures() {
    let said = heartbeat(NodeId::random(), 5);
    let HeartbeatOutcome::Renewed(after) = apply_heartbeat(Some(member()), &said, at(3_000)) else {
        panic!("not alive")
    };
    assert_eq!((after.heard_at, after.sent_at), (at(3_000), at(5)));
    assert_eq!(
        (after.node.limit_kbps, after.node.viewer_kbps),
        (Kbps::new(50_000), Kbps::new(7))
    );
}

#[test]
fn round_trips_stand_until_others_are_told() {
    let [one, two] = std::array::from_fn(|_| NodeId::random());
    let told = Heartbeat {
        rtts: vec![(one, 5)],
        ..heartbeat(two, 5)
    };
    let HeartbeatOutcome::Renewed(after) = apply_heartbeat(Some(member()), &told, at(3_000)) else {
        panic!("not alive")
    };
    let HeartbeatOutcome::Renewed(after) =
        apply_heartbeat(Some(*after), &heartbeat(two, 6), at(5_000))
    else {
        panic!("not alive")
    };
    assert_eq!(after.rtts, [(one, 5)]);
}

#[test]
fn a_late_heartbeat_renews_nothing() {
    let member = Member {
        sent_at: at(5),
        ..member()
    };
    for sent_at in [4, 5] {
        let said = heartbeat(NodeId::random(), sent_at);
        assert_eq!(
            apply_heartbeat(Some(member.clone()), &said, at(9)),
            HeartbeatOutcome::Outdated(Box::new(member.clone()))
        );
    }
}

#[test]
fn a_stranger_and_a_node_given_up_must_register() {
    let said = heartbeat(NodeId::random(), 5);
    assert_eq!(
        apply_heartbeat(None, &said, at(9)),
        HeartbeatOutcome::MustRegister
    );
    let Silence::Lost(lost) = judge_silence(&member(), at(7_000), false, false) else {
        panic!("not lost")
    };
    assert_eq!(
        apply_heartbeat(Some(*lost), &said, at(9)),
        HeartbeatOutcome::MustRegister
    );
}

#[test]
fn three_missed_heartbeats_end_the_lease_and_a_minute_later_the_node_is_forgotten() {
    assert_eq!(
        judge_silence(&member(), at(6_999), false, false),
        Silence::Insignificant
    );
    assert_eq!(
        judge_silence(&member(), at(99_000), true, false),
        Silence::Insignificant
    );
    let Silence::Lost(lost) = judge_silence(&member(), at(7_000), false, false) else {
        panic!("not lost")
    };
    assert_eq!(
        judge_silence(&lost, at(66_999), false, true),
        Silence::Insignificant
    );
    assert_eq!(
        judge_silence(&lost, at(67_000), false, true),
        Silence::Forgotten
    );
}

#[test]
fn a_silent_node_whose_links_flow_is_suspected_until_it_is_heard_or_nothing_flows() {
    let Silence::Suspected(suspected) = judge_silence(&member(), at(7_000), false, true) else {
        panic!("not suspected")
    };
    assert_eq!(
        (suspected.node.state, suspected.heard_at),
        (NodeState::Suspected, at(1_000))
    );
    assert_eq!(
        judge_silence(&suspected, at(36_999), false, true),
        Silence::Insignificant,
        "no news"
    );
    let Silence::Suspected(still) = judge_silence(&suspected, at(37_000), false, true) else {
        panic!("forgotten")
    };
    assert_eq!(still.flowed_at, at(37_000));
    assert_eq!(
        judge_silence(&still, at(90_000), true, false),
        Silence::Insignificant,
        "a truce"
    );
    assert!(matches!(
        judge_silence(&still, at(90_000), false, false),
        Silence::Lost(_)
    ));
    let HeartbeatOutcome::Renewed(back) =
        apply_heartbeat(Some(*still), &heartbeat(NodeId::random(), 5), at(91_000))
    else {
        panic!("lost")
    };
    assert_eq!(back.node.state, NodeState::Up, "it need not register");
}

#[test]
fn an_address_stays_with_the_living_and_who_cannot_be_heard_is_asked_after() {
    let Silence::Lost(lost) = judge_silence(&member(), at(7_000), false, false) else {
        panic!("not lost")
    };
    for gone in [None, Some(&*lost)] {
        assert_eq!(judge_holder(gone, at(7_000)), HolderState::Gone);
    }
    let beats = Member {
        sent_at: at(5),
        ..member()
    };
    assert_eq!(
        judge_holder(Some(&member()), at(6_999)),
        HolderState::Alive,
        "it has yet to beat"
    );
    assert_eq!(
        judge_holder(Some(&beats), at(6_999)),
        HolderState::AskHolder
    );
    assert_eq!(
        judge_holder(Some(&beats), at(7_000)),
        HolderState::AskNeighbours
    );
}

#[test]
fn a_node_that_is_back_may_be_a_twin_until_the_first_is_known_to_be_gone() {
    let first = Member {
        process: 1,
        ..member()
    };
    let by = |process| Register {
        process,
        ..registration(Role::Node)
    };
    assert!(may_be_twin(Some(&first), &by(2)));
    assert!(
        !may_be_twin(Some(&first), &by(1)),
        "the same process registers again"
    );
    assert!(!may_be_twin(None, &by(2)));
    for unknown in [0, 1] {
        assert!(
            !may_be_twin(
                Some(&Member {
                    process: 0,
                    ..member()
                }),
                &by(unknown)
            ),
            "of an older version"
        );
    }
    let Silence::Lost(lost) = judge_silence(&first, at(7_000), false, false) else {
        panic!("not lost")
    };
    assert!(!may_be_twin(Some(&lost), &by(2)));
}

#[test]
fn a_process_whose_place_another_has_taken_must_register() {
    let member = Member {
        process: 2,
        ..member()
    };
    let by = |process| Heartbeat {
        process,
        ..heartbeat(NodeId::random(), 5)
    };
    assert_eq!(
        apply_heartbeat(Some(member.clone()), &by(1), at(2_000)),
        HeartbeatOutcome::MustRegister
    );
    for same in [0, 2] {
        assert!(matches!(
            apply_heartbeat(Some(member.clone()), &by(same), at(2_000)),
            HeartbeatOutcome::Renewed(_)
        ));
    }
}

#[test]
fn clocks_are_compared_when_a_node_says_its_time() {
    let sent = |millis| Register {
        sent_at: at(millis),
        ..registration(Role::Node)
    };
    assert_eq!(clock_ahead_ms(&sent(0), at(5_000)), None);
    assert_eq!(clock_ahead_ms(&sent(6_500), at(5_000)), Some(1_500));
    assert_eq!(clock_ahead_ms(&sent(4_000), at(5_000)), Some(-1_000));
}

#[test]
fn what_no_node_would_say_is_refused() {
    assert!(check_registration(&registration(Role::Auto)).is_ok());
    let table = [
        Register {
            advertise: String::new(),
            ..registration(Role::Auto)
        },
        Register {
            media_url: "x".repeat(513),
            ..registration(Role::Auto)
        },
        Register {
            rtts: vec![(NodeId::random(), 1); 1_001],
            ..registration(Role::Auto)
        },
    ];
    for bad in table {
        assert_eq!(
            check_registration(&bad).unwrap_err().code(),
            Code::BadRequest
        );
    }
}
