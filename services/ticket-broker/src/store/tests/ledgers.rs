//! Ledgers that several brokers change.

use super::*;
use futures_util::future::join_all;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_brokers_that_grant_at_once_grant_exactly_the_capacity() {
    let one = store();
    let two = Store::new(one.state.clone(), &Env::system());
    let ask = heartbeat_with(100_000);
    let provider = ask.heartbeat.node;
    one.ledgers.apply_heartbeat(&ask, AT).await.unwrap();
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
            store
                .ledgers
                .get(provider)
                .await
                .unwrap()
                .unwrap()
                .tickets
                .len(),
            40
        );
    }
}

#[tokio::test]
async fn a_ledger_that_the_state_has_lost_grants_nothing() {
    let store = store();
    let ask = heartbeat_with(100_000);
    let provider = ask.heartbeat.node;
    store.ledgers.apply_heartbeat(&ask, AT).await.unwrap();
    assert!(offer(&store, provider).await);
    store
        .state
        .remove("ledgers", &provider.to_string())
        .await
        .unwrap();
    assert!(!offer(&store, provider).await);
    store.ledgers.apply_heartbeat(&ask, AT).await.unwrap();
    assert!(offer(&store, provider).await);
    store
        .ledgers
        .apply_heartbeat(
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
        "it has sent no heartbeat in the new generation"
    );
}

#[tokio::test]
async fn a_field_of_a_later_version_survives_a_change_of_its_ledger() {
    let store = store();
    let ask = heartbeat_with(100_000);
    let provider = ask.heartbeat.node;
    store.ledgers.apply_heartbeat(&ask, AT).await.unwrap();
    let id = provider.to_string();
    let read = async || -> serde_json::Value {
        let entry = store.state.get("ledgers", &id).await.unwrap();
        entry.unwrap()
    };
    let mut entry = read().await;
    entry["region"] = "eu".into();
    store.state.put("ledgers", &id, &entry, None).await.unwrap();
    assert!(offer(&store, provider).await);
    let entry = read().await;
    assert_eq!(entry["region"], "eu");
}
