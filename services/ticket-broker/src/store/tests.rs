use super::*;
use crate::carrier::tests::carrier;
use crate::carrier::{Carrier, path_to_origin};
use astral_backend::Backend;
use astral_proto::model::{NodeState, Role};
use futures_util::future::join_all;
use std::collections::HashSet;

fn store() -> Store {
    Store::new(Backend::local().state)
}

fn demo() -> Slug {
    "demo".parse().unwrap()
}

fn random<const N: usize>() -> [NodeId; N] {
    std::array::from_fn(|_| NodeId::random())
}

async fn hear(store: &Store, carrier: Carrier) {
    let candidate = candidate_id(&carrier.node, carrier.carried.as_ref().unwrap());
    store
        .hear_carrier(&carrier, candidate.as_deref())
        .await
        .unwrap();
}

fn heard(limit_kbps: u32) -> Arc<RenewTickets> {
    let node = carrier(Role::Node, &random::<1>()).node;
    let heartbeat = astral_proto::message::Heartbeat {
        node: node.uuid,
        draining: false,
        limit_kbps,
        viewer_kbps: 0,
        streams: vec![],
        serves: vec![],
        holds: vec![],
        rtts: vec![],
        generation: 1,
        sent_at: 1,
        notices: vec![],
        process: 0,
    };
    Arc::new(RenewTickets {
        heartbeat,
        node,
        rtts: vec![],
    })
}

const AT: Moment = Moment {
    now: 1_000,
    truce: false,
    generation: 1,
};

async fn offer(store: &Store, provider: NodeId) -> bool {
    let entry = Entry::offered(demo(), NodeId::random(), false, 2_500, 1, AT.now);
    store
        .offer(TicketId::random(), &entry, provider, (AT.now, false))
        .await
        .unwrap()
        .is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_brokers_that_grant_at_once_give_exactly_what_there_is() {
    let one = store();
    let two = Store::new(one.state.clone());
    let ask = heard(100_000);
    let provider = ask.heartbeat.node;
    one.hear_provider(&ask, AT).await.unwrap();
    let asked = (0..200).map(|at| {
        let store = if at % 2 == 0 {
            one.clone()
        } else {
            two.clone()
        };
        tokio::spawn(async move { offer(&store, provider).await })
    });
    let granted = join_all(asked)
        .await
        .into_iter()
        .filter(|granted| *granted.as_ref().unwrap())
        .count();
    assert_eq!(granted, 40);
    for store in [&one, &two] {
        assert_eq!(
            store.ledger(provider).await.unwrap().unwrap().tickets.len(),
            40
        );
    }
}

#[tokio::test]
async fn a_ledger_that_has_gone_behind_a_brokers_back_grants_nothing() {
    let store = store();
    let ask = heard(100_000);
    let provider = ask.heartbeat.node;
    store.hear_provider(&ask, AT).await.unwrap();
    assert!(offer(&store, provider).await);
    store
        .state
        .remove("ledgers", &provider.to_string())
        .await
        .unwrap();
    assert!(!offer(&store, provider).await);
    store.hear_provider(&ask, AT).await.unwrap();
    assert!(offer(&store, provider).await);
    store
        .hear_provider(
            &ask,
            Moment {
                generation: 2,
                ..AT
            },
        )
        .await
        .unwrap();
    assert!(
        !offer(&store, provider).await,
        "it has not spoken in the new generation"
    );
}

#[tokio::test(start_paused = true)]
async fn of_a_hundred_thousand_carriers_a_moment_reads_a_few_dozen_and_the_nearest_first() {
    let store = store();
    let [origin, near] = random();
    hear(&store, carrier(Role::Supernode, &[origin])).await;
    hear(&store, carrier(Role::Supernode, &[origin, near])).await;
    for _ in 0..50_000 {
        let [above, node] = random();
        hear(&store, carrier(Role::Supernode, &[origin, near, above])).await;
        hear(&store, carrier(Role::Node, &[origin, near, above, node])).await;
    }
    let mut drawn = HashSet::new();
    for _ in 0..20 {
        let around = store.nearest_candidates(&demo(), origin, 0).await.unwrap();
        assert!(around.len() <= 100, "{}", around.len());
        assert!(around.contains_key(&origin) && around.contains_key(&near));
        for node in around.keys() {
            assert_eq!(path_to_origin(&around, *node).last(), Some(&origin));
        }
        drawn.extend(around.into_keys());
    }
    assert!(
        drawn.len() > 1_000,
        "each moment draws others: {}",
        drawn.len()
    );
}

#[tokio::test]
async fn who_is_drawn_wraps_around_the_end_of_a_shelf() {
    let store = store();
    let [origin] = random();
    let all: Vec<NodeId> = (0..40).map(|_| NodeId::random()).collect();
    for node in &all {
        hear(&store, carrier(Role::Node, &[origin, *node])).await;
    }
    let mut drawn = HashSet::new();
    for _ in 0..50 {
        let around = store.nearest_candidates(&demo(), origin, 0).await.unwrap();
        assert_eq!(around.len(), 32);
        drawn.extend(around.into_keys());
    }
    assert_eq!(drawn.len(), 40, "everybody is drawn at some time");
}

#[tokio::test]
async fn a_moved_relay_is_read_with_those_it_comes_through_now() {
    let store = store();
    let [origin, old, new, relay] = random();
    hear(&store, carrier(Role::Node, &[origin])).await;
    hear(&store, carrier(Role::Node, &[origin, old, relay])).await;
    hear(&store, carrier(Role::Node, &[origin, new])).await;
    store.note_upstream(&demo(), relay, new, 1).await.unwrap();
    let found = store.with_ancestors(&demo(), [relay], 2).await.unwrap();
    assert_eq!(path_to_origin(&found, relay), [relay, new, origin]);
}

#[tokio::test]
async fn a_relay_leaves_its_old_place_in_the_index_as_it_says_that_it_stands_elsewhere() {
    let store = store();
    let [origin, relay] = random();
    let mut ask = (*heard(100_000)).clone();
    let said = carrier(Role::Node, &[origin, relay]);
    (ask.heartbeat.node, ask.node) = (relay, said.node.clone());
    ask.heartbeat.streams = vec![said.carried.clone().unwrap()];
    let first = store.hear_relay(&ask, 1_000).await.unwrap().unwrap();
    assert_eq!(first.unlisted, Vec::<String>::new());
    ask.heartbeat.sent_at += 1;
    let same = store.hear_relay(&ask, 3_000).await.unwrap().unwrap();
    assert_eq!(
        same.streams[&demo()].since,
        1_000,
        "it stands there since it first said so"
    );
    ask.heartbeat.sent_at += 1;
    ask.node.state = NodeState::Draining;
    ask.heartbeat.draining = true;
    let drains = store.hear_relay(&ask, 5_000).await.unwrap().unwrap();
    assert_eq!(
        drains.unlisted,
        [first.streams[&demo()].candidate.clone().unwrap()]
    );
    assert!(drains.drains && drains.streams[&demo()].candidate.is_none());
    assert_eq!(
        store.hear_relay(&ask, 6_000).await.unwrap(),
        None,
        "a late word is no news"
    );
}
