//! What the state promises while Redis is there and refuses: full, a replica, without its replicas, without permission.

use super::servers::{Server, connect_to, eventually, redis_cli, start};
use super::state::{put, try_put};
use astral_backend::{Backend, State};
use astral_proto::Code;
use std::time::Duration;

/// How many connections have ever been made to `redis`, without the one that asks.
fn connections(redis: &Server) -> u32 {
    let info = redis_cli(redis.port(), &["INFO", "stats"]);
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"));
    line.unwrap().trim().parse::<u32>().unwrap() - 1
}

/// Goal: a Redis that refuses writes is away like any other, on the connection that there is, and is back by itself.
/// Method: an entry stands, `refuse` is sent to Redis, and a hundred writes are tried.
async fn refused_writes_are_an_outage(refuse: &[&str], allow: &[&str], why: &str) {
    let ((_nats, redis), Backend { state, .. }) = start().await;
    put(&state, "a", 1, None).await;
    redis_cli(redis.port(), refuse);
    let before = connections(&redis);
    for number in 0..100 {
        let refused = try_put(&state, "a", number, None).await.unwrap_err();
        assert_eq!(refused.code, Code::ControlPlaneAway, "{refused}");
        assert!(refused.detail.contains(why), "{refused}");
        assert!(
            refused.detail.contains(&redis.port().to_string()),
            "{refused}"
        );
    }
    assert_eq!(
        connections(&redis),
        before + 1,
        "no other than that of redis-cli"
    );
    is_away_to_readers(&state).await;
    redis_cli(redis.port(), allow);
    put(&state, "a", 7, None).await;
    assert_eq!(state.get::<u32>("tests", "a").await, Ok(Some(7)));
    assert_eq!(state.list::<u32>("tests", None, 10).await.unwrap().len(), 1);
}

/// What is left says less than is true, since nobody can renew it.
async fn is_away_to_readers(state: &State) {
    let listed = state.list::<u32>("tests", None, 10).await;
    assert_eq!(
        listed.map_err(|problem| problem.code),
        Err(Code::ControlPlaneAway)
    );
    let got = state.get::<u32>("tests", "a").await;
    assert_eq!(
        got.map_err(|problem| problem.code),
        Err(Code::ControlPlaneAway)
    );
}

#[tokio::test]
async fn full_state_is_an_outage_on_the_same_connection() {
    let full = ["CONFIG", "SET", "maxmemory", "1"];
    refused_writes_are_an_outage(&full, &["CONFIG", "SET", "maxmemory", "0"], "is full").await;
}

#[tokio::test]
async fn state_without_the_replicas_that_it_needs_is_an_outage_on_the_same_connection() {
    let alone = ["CONFIG", "SET", "min-replicas-to-write", "1"];
    let allow = ["CONFIG", "SET", "min-replicas-to-write", "0"];
    refused_writes_are_an_outage(&alone, &allow, "too few replicas").await;
}

#[tokio::test]
async fn state_that_permits_no_writes_is_an_outage_on_the_same_connection() {
    let forbid = ["ACL", "SETUSER", "default", "-evalsha", "-eval"];
    let allow = ["ACL", "SETUSER", "default", "+evalsha", "+eval"];
    refused_writes_are_an_outage(&forbid, &allow, "does not permit").await;
}

#[tokio::test]
async fn state_that_is_a_replica_is_an_outage_on_the_same_connection() {
    let master = Server::redis(&[]).await;
    let follow = ["REPLICAOF", "127.0.0.1", &master.port().to_string()];
    refused_writes_are_an_outage(&follow, &["REPLICAOF", "NO", "ONE"], "is a replica").await;
}

/// Goal: a Redis that cannot save is no other outage. Method: a folder stands where it would write its file.
#[tokio::test]
async fn state_that_cannot_save_is_an_outage_until_it_can() {
    let ((_nats, redis), Backend { state, .. }) = start().await;
    put(&state, "a", 1, None).await;
    let file = redis.directory().join("dump.rdb");
    std::fs::create_dir(&file).unwrap();
    redis_cli(redis.port(), &["CONFIG", "SET", "save", "3600 1000"]);
    redis_cli(redis.port(), &["BGSAVE"]);
    let status = |wanted: &'static str| {
        let port = redis.port();
        move || redis_cli(port, &["INFO", "persistence"]).contains(wanted)
    };
    let has_failed = status("rdb_last_bgsave_status:err");
    eventually("saving fails", async || has_failed()).await;
    let refused = try_put(&state, "a", 2, None).await.unwrap_err();
    assert_eq!(refused.code, Code::ControlPlaneAway, "{refused}");
    assert!(refused.detail.contains("cannot save"), "{refused}");
    is_away_to_readers(&state).await;
    std::fs::remove_dir(&file).unwrap();
    redis_cli(redis.port(), &["BGSAVE"]);
    let has_saved = status("rdb_last_bgsave_status:ok");
    eventually("saving works", async || has_saved()).await;
    put(&state, "a", 3, None).await;
    assert_eq!(state.get::<u32>("tests", "a").await, Ok(Some(3)));
}

/// Goal: a full state that removes an entry is still full. Method: it removes one, and is asked for another.
#[tokio::test]
async fn full_state_that_removes_something_is_still_away() {
    let ((_nats, redis), Backend { state, .. }) = start().await;
    put(&state, "a", 1, None).await;
    put(&state, "b", 2, None).await;
    redis_cli(redis.port(), &["CONFIG", "SET", "maxmemory", "1"]);
    try_put(&state, "a", 3, None).await.unwrap_err();
    assert_eq!(state.remove("tests", "b").await, Ok(true));
    is_away_to_readers(&state).await;
}

/// Goal: a master that has become a replica is left for the one that took its place, though its connection is good.
/// Method: one address leads to whichever is master, as a Service does; here a replica is promoted in its place.
#[tokio::test]
async fn state_that_has_become_a_replica_is_looked_for_anew_after_a_while() {
    let ((_nats, redis), Backend { state, .. }) = start().await;
    put(&state, "a", 1, None).await;
    let master = Server::redis(&[]).await;
    redis_cli(
        redis.port(),
        &["REPLICAOF", "127.0.0.1", &master.port().to_string()],
    );
    let before = connections(&redis);
    eventually("it connects again", async || {
        drop(try_put(&state, "a", 2, None).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
        // Those of redis-cli are no more than those looks.
        redis_cli(redis.port(), &["CLIENT", "LIST", "TYPE", "NORMAL"]).contains("age=0 ")
    })
    .await;
    assert!(connections(&redis) > before);
}

#[tokio::test]
async fn entries_of_a_policy_that_evicts_are_still_served() {
    let redis = Server::redis(&["--maxmemory-policy", "allkeys-lru"]).await;
    let state = connect_to("local".into(), redis.url("")).await.state;
    put(&state, "a", 1, None).await;
    assert_eq!(state.get::<u32>("tests", "a").await, Ok(Some(1)));
}
