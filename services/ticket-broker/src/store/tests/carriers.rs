//! The index of candidates, and the paths above them.

use super::*;
use crate::carrier::path_to_origin;
use std::collections::HashSet;

#[tokio::test(start_paused = true)]
async fn of_a_hundred_thousand_carriers_a_snapshot_reads_a_few_dozen_and_the_nearest_first() {
    let store = store();
    let [origin, near] = random();
    report(&store, carrier(Role::Supernode, &[origin])).await;
    report(&store, carrier(Role::Supernode, &[origin, near])).await;
    for _ in 0..50_000 {
        let [above, node] = random();
        report(&store, carrier(Role::Supernode, &[origin, near, above])).await;
        report(&store, carrier(Role::Node, &[origin, near, above, node])).await;
    }
    let mut drawn = HashSet::new();
    for _ in 0..20 {
        let candidates = store
            .carriers
            .nearest_candidates(&demo(), origin, UnixMillis::ZERO)
            .await
            .unwrap();
        assert!(candidates.len() <= 100, "{}", candidates.len());
        assert!(candidates.contains_key(&origin) && candidates.contains_key(&near));
        for node in candidates.keys() {
            assert_eq!(path_to_origin(&candidates, *node).last(), Some(&origin));
        }
        drawn.extend(candidates.into_keys());
    }
    assert!(
        drawn.len() > 1_000,
        "each snapshot draws others: {}",
        drawn.len()
    );
}

#[tokio::test]
async fn a_sample_wraps_around_the_end_of_a_bucket() {
    let store = store();
    let [origin] = random();
    let all: Vec<NodeId> = (0..40).map(|_| NodeId::random()).collect();
    for node in &all {
        report(&store, carrier(Role::Node, &[origin, *node])).await;
    }
    let mut drawn = HashSet::new();
    for _ in 0..50 {
        let candidates = store
            .carriers
            .nearest_candidates(&demo(), origin, UnixMillis::ZERO)
            .await
            .unwrap();
        assert_eq!(candidates.len(), 32);
        drawn.extend(candidates.into_keys());
    }
    assert_eq!(drawn.len(), 40, "every relay is drawn at some time");
}

#[tokio::test]
async fn a_relay_that_moved_is_read_with_its_present_path() {
    let store = store();
    let [origin, old, new, relay] = random();
    report(&store, carrier(Role::Node, &[origin])).await;
    report(&store, carrier(Role::Node, &[origin, old, relay])).await;
    report(&store, carrier(Role::Node, &[origin, new])).await;
    store
        .carriers
        .note_upstream(&demo(), relay, new, UnixMillis::new(1))
        .await
        .unwrap();
    let found = store
        .carriers
        .with_ancestors(&demo(), [relay], UnixMillis::new(2))
        .await
        .unwrap();
    assert_eq!(path_to_origin(&found, relay), [relay, new, origin]);
}
