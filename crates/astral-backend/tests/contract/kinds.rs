//! The promises of the state on the other kinds of Redis: behind Sentinels, and as a cluster.

use super::servers::{Server, connect_to, eventually, free_port, redis_cli};
use super::state;
use astral_backend::Backend;
use std::time::Duration;

/// Runs each promise on the backend, empty each time.
macro_rules! keeps {
    ($backend:expr, $masters:expr, $($promise:ident,)*) => {
        $(println!("{}", stringify!($promise));
        $masters.iter().for_each(empty);
        state::$promise($backend.clone()).await;)*
    };
}

async fn keeps_every_promise(backend: Backend, masters: &[&Server]) {
    keeps!(
        backend,
        masters,
        entry_is_put_only_if_absent,
        put_entry_is_read_back_and_removed_once,
        fields_of_a_later_version_outlive_a_change_by_this_one,
        kept_entry_does_not_change,
        collections_do_not_share_entries,
        entry_on_a_lease_is_gone_after_it_and_not_before,
        entry_put_again_starts_a_new_lease,
        kept_entry_keeps_its_lease,
        entry_whose_lease_has_ended_is_absent_to_everything,
        list_pages_run_through_all_entries_in_order,
        long_list_is_complete_and_without_what_has_ended,
        list_over_the_limit_is_refused,
        entry_of_another_shape_is_an_error_not_a_guess,
        oversized_value_is_refused_and_changes_nothing,
        entry_is_put_over_the_version_that_was_seen_and_no_other,
        entry_is_put_whatever_was_there_and_starts_a_new_lease,
        many_entries_are_read_at_once_in_the_order_asked_for,
        many_entries_are_removed_at_once_those_that_there_are,
        racing_updates_grant_exactly_what_there_is,
        update_decides_anew_when_another_writer_came_between,
    );
}

fn empty(master: &&Server) {
    assert_eq!(redis_cli(master.port(), &["FLUSHALL"]).trim(), "OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_promise_of_the_state_is_kept_behind_a_sentinel() {
    let master = Server::redis(&[]).await;
    let sentinel = Server::sentinel(&master).await;
    let backend = connect_to("local".into(), sentinel.url("")).await;
    keeps_every_promise(backend, &[&master]).await;
}

/// Goal: losing the master loses what it alone had, and no more time than Sentinel takes. Method: the master is killed, and
/// calls go on at the replica that was made master, by the same handle.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_state_goes_on_at_the_master_that_sentinel_makes() {
    let mut master = Server::redis(&[]).await;
    let replica = Server::redis(&["--replicaof", "127.0.0.1", &master.port().to_string()]).await;
    eventually("the replica follows", async || {
        redis_cli(replica.port(), &["INFO", "replication"]).contains("master_link_status:up")
    })
    .await;
    let sentinel = Server::sentinel(&master).await;
    eventually("the sentinel knows the replica", async || {
        redis_cli(sentinel.port(), &["SENTINEL", "replicas", "main"])
            .contains(&replica.port().to_string())
    })
    .await;
    let Backend { state, .. } = connect_to("local".into(), sentinel.url("")).await;
    state::put(&state, "a", 7, None).await;
    eventually("the replica has it", async || {
        redis_cli(replica.port(), &["DBSIZE"]).trim() != "0"
    })
    .await;
    master.kill();
    eventually("the state goes on", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        matches!(state.get::<u32>("tests", "a").await, Ok(Some(7)))
    })
    .await;
    state::put(&state, "a", 8, None).await;
    assert_eq!(state::get(&state, "a").await, Some(8));
}

/// Three masters that share the slots.
async fn cluster() -> Vec<Server> {
    let mut servers = Vec::new();
    for _ in 0..3 {
        let port = free_port().to_string();
        servers.push(Server::redis(&["--cluster-enabled", "yes", "--cluster-port", &port]).await);
    }
    let addresses: Vec<_> = servers
        .iter()
        .map(|server| format!("127.0.0.1:{}", server.port()))
        .collect();
    let create: Vec<_> = ["--cluster", "create"]
        .into_iter()
        .chain(addresses.iter().map(String::as_str))
        .collect();
    let made = redis_cli(
        servers[0].port(),
        &[&create[..], &["--cluster-yes"]].concat(),
    );
    assert!(made.contains("All 16384 slots covered"), "{made}");
    eventually("every node knows of all", async || {
        servers.iter().all(|server| {
            redis_cli(server.port(), &["CLUSTER", "INFO"]).contains("cluster_state:ok")
        })
    })
    .await;
    servers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_promise_of_the_state_is_kept_on_a_cluster() {
    let servers = cluster().await;
    let url = format!("redis+cluster://127.0.0.1:{}", servers[0].port());
    let backend = connect_to("local".into(), url).await;
    keeps_every_promise(backend, &servers.iter().collect::<Vec<_>>()).await;
}
