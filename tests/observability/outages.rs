//! What an operator sees of a bus and a state that turn the processes away.

use crate::live::SLUG;
use harness::processes::{Deployment, Program, Server};
use harness::{Gateway, Publisher, eventually, http};
use std::time::{Duration, Instant};

/// Lines that a process may log about one outage, its end included.
const LINES_MAX: usize = 8;

/// The gateway asks for its list of relays again within this.
const LIST_ASKED_AGAIN: Duration = Duration::from_millis(2_500);

/// How often Redis has been connected to.
fn connections(redis: &Server) -> u32 {
    let info = redis.redis_cli(&["INFO", "stats"]);
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"));
    line.expect("Redis counts")
        .trim()
        .parse()
        .expect("a number")
}

/// Waits until `/readyz` of a process says all `words`.
async fn says(program: &Program, words: &[&str]) {
    let ops = program.door("ops");
    eventually(&format!("/readyz says {words:?}"), || async {
        let body = http::get(ops, "/readyz").await?.text();
        words.iter().all(|word| body.contains(word)).then_some(())
    })
    .await;
}

/// Warnings and errors of a process.
fn complaints(program: &Program) -> Vec<String> {
    let lines = program.logged();
    let bad = lines
        .iter()
        .filter(|line| line["level"] == "WARN" || line["level"] == "ERROR");
    bad.map(ToString::to_string).collect()
}

/// The status with which the gateway answers a new viewer.
async fn new_viewer(gateway: &Gateway) -> Option<u16> {
    gateway
        .get(&format!("/live/{SLUG}/index.m3u8"))
        .await
        .map(|answer| answer.status)
}

/// Goal: a Redis that refuses writes turns no viewer away, is not stormed, fills no log, and is used again by itself.
/// Method: a stream is live, Redis refuses, and the list of nodes ends there as leases do that nobody can renew.
async fn redis_that_refuses(refuse: &[&str], allow: &[&str], why: &str) {
    let mut deployment = Deployment::start(1).await;
    let rtmp = deployment
        .add_relay("relay", "supernode", &[])
        .await
        .door("rtmp");
    let _publisher = Publisher::start(rtmp, SLUG);
    let gateway = deployment.gateway();
    let sent_on = async || (new_viewer(&gateway).await? == 307).then_some(());
    eventually("new viewers are sent to a relay", sent_on).await;
    deployment.redis.redis_cli(refuse);
    says(
        deployment.program("supernode-coordinator-1"),
        &["state: away", why],
    )
    .await;
    says(deployment.program("directory-1"), &["state: away", why]).await;
    says(deployment.program("relay"), &["control_plane: away"]).await;
    deployment.redis.redis_cli(&[
        "DEL",
        "astral:{nodes}:ids",
        "astral:{directory-reports}:ids",
    ]);
    let connected = connections(&deployment.redis);
    let asked = Instant::now();
    while asked.elapsed() < LIST_ASKED_AGAIN {
        assert_eq!(new_viewer(&gateway).await, Some(307));
    }
    // What redis-cli connects is one of them, and a replica is left every ten seconds.
    assert!(
        connections(&deployment.redis) <= connected + 5,
        "Redis is stormed"
    );
    for (name, program) in deployment.programs() {
        let complaints = complaints(program);
        assert!(complaints.len() <= LINES_MAX, "{name} logs {complaints:#?}");
    }
    deployment.redis.redis_cli(allow);
    says(
        deployment.program("supernode-coordinator-1"),
        &["state: up"],
    )
    .await;
    says(deployment.program("relay"), &["control_plane: up"]).await;
    eventually("nodes are listed", async || {
        gateway.nodes().await.filter(|nodes| nodes.len() == 1)
    })
    .await;
    eventually("new viewers are sent to a relay", sent_on).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_redis_refuses_no_viewer_is_not_stormed_and_fills_no_log() {
    let full = ["CONFIG", "SET", "maxmemory", "1"];
    redis_that_refuses(&full, &["CONFIG", "SET", "maxmemory", "0"], "is full").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_became_a_replica_refuses_no_viewer_is_not_stormed_and_fills_no_log() {
    let other = Deployment::start(0).await;
    let follow = [
        "REPLICAOF",
        "127.0.0.1",
        &other.redis.address().port().to_string(),
    ];
    redis_that_refuses(&follow, &["REPLICAOF", "NO", "ONE"], "is a replica").await;
}

/// Goal: a wrong password is said once, and says where it is wrong. Method: the server has turned the process away many
/// times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_password_is_said_once_with_the_host_and_never_itself() {
    let mut deployment = Deployment::start_secured(0, "right", &[]).await;
    let bus = deployment.nats.url_with(Some("hunter2"));
    let state = deployment.redis.url_with(Some("hunter2"));
    let place = deployment.nats.address().to_string();
    let directory = deployment.add_at("directory", "directory", &bus, &state);
    directory.listens("ops").await;
    let words = [
        "not ready",
        &place,
        "bus: away: ",
        "state: away: ",
        "refuses the user or the password",
    ];
    says(directory, &words).await;
    let turned_away = || {
        deployment
            .nats
            .logged()
            .matches("authentication error")
            .count()
            >= 8
    };
    eventually("the server turns it away again and again", async || {
        turned_away().then_some(())
    })
    .await;
    let directory = deployment.program("directory");
    let complaints = complaints(directory);
    assert!(complaints.len() <= 4, "{complaints:#?}");
    assert!(
        complaints.iter().any(|line| line.contains(&place)),
        "{complaints:#?}"
    );
    assert!(!format!("{:?}", directory.logged()).contains("hunter2"));
}

/// Goal: a process whose state is not there is not ready, and says why. Method: a database that does not exist, and a URL that
/// leads to the bus.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_that_is_no_database_or_no_redis_is_not_up_and_says_why() {
    let mut deployment = Deployment::start(0).await;
    let bus = deployment.nats.url();
    let no_database = format!("{}/99", deployment.redis.url());
    let no_redis = bus.replacen("nats", "redis", 1);
    let wrong = [
        ("one", no_database, "no such database"),
        ("other", no_redis, "another protocol"),
    ];
    for (name, url, why) in wrong {
        let directory = deployment.add_at(name, "directory", &bus, &url);
        directory.listens("ops").await;
        says(
            directory,
            &[
                "not ready",
                "waiting for state",
                "bus: up",
                "state: away: ",
                why,
            ],
        )
        .await;
    }
}

/// Goal: whoever runs a Redis that evicts entries is told. Method: one with such a policy, one that does not say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_evicts_entries_or_does_not_say_is_warned_of() {
    let mut deployment = Deployment::start(0).await;
    deployment
        .redis
        .redis_cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let bus = deployment.nats.url();
    let state = deployment.redis.url();
    let directory = deployment.add_at("directory", "directory", &bus, &state);
    directory.is_ready().await;
    let evicts = complaints(directory);
    assert!(
        evicts
            .iter()
            .any(|line| line.contains("allkeys-lru") && line.contains("noeviction")),
        "{evicts:#?}"
    );
    let ops = directory.door("ops");
    eventually("it is measured", || async {
        let metrics = http::get(ops, "/metrics").await?.text();
        metrics.contains("astral_state_evicts 1\n").then_some(())
    })
    .await;
    deployment
        .redis
        .redis_cli(&["ACL", "SETUSER", "default", "-config", "-info"]);
    let other = deployment.add_at("other", "directory", &bus, &state);
    other.is_ready().await;
    let unreadable = complaints(other);
    assert!(
        unreadable
            .iter()
            .any(|line| line.contains("could not be checked")),
        "{unreadable:#?}"
    );
}
