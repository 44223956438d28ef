//! What a heartbeat changes in the record of its relay.

use super::*;
use astral_proto::model::NodeState;
use std::time::Duration;

#[tokio::test]
async fn a_heartbeat_removes_the_old_key_of_its_relay_from_the_index() {
    let store = store();
    let [origin, relay] = random();
    let mut ask = (*heartbeat_with(100_000)).clone();
    let reported = carrier(Role::Node, &[origin, relay]);
    (ask.heartbeat.node, ask.node) = (relay, reported.node.clone());
    ask.heartbeat.streams = vec![reported.carried.clone().unwrap()];
    let first = store
        .relays
        .apply_heartbeat(&ask, UnixMillis::new(1_000))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.unlisted, Vec::<String>::new());
    ask.heartbeat.sent_at += Duration::from_millis(1);
    let same = store
        .relays
        .apply_heartbeat(&ask, UnixMillis::new(3_000))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        same.streams[&demo()].since,
        UnixMillis::new(1_000),
        "it has been there since its first heartbeat"
    );
    ask.heartbeat.sent_at += Duration::from_millis(1);
    ask.node.state = NodeState::Draining;
    ask.heartbeat.draining = true;
    let drains = store
        .relays
        .apply_heartbeat(&ask, UnixMillis::new(5_000))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        drains.unlisted,
        [first.streams[&demo()].candidate.clone().unwrap()]
    );
    assert!(drains.begins_to_drain && drains.streams[&demo()].candidate.is_none());
    assert_eq!(
        store
            .relays
            .apply_heartbeat(&ask, UnixMillis::new(6_000))
            .await
            .unwrap(),
        None,
        "a late heartbeat is ignored"
    );
}
