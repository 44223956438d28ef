//! What bus and state say about servers that they cannot use: where, what is wrong, and what to do. Never a password.

use super::certificates::Certificates;
use super::servers::{Server, connect_to, eventually, free_port, redis_cli};
use astral_backend::{Backend, Presence};
use astral_proto::Code;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What a process says of its bus and state, as last told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(Presence, Presence)>>>);

impl Told {
    /// Watches `backend` until the test ends.
    fn of(backend: &Backend) -> Self {
        let told = Self::default();
        let last = told.clone();
        let tell = move |bus, state| last.0.lock().unwrap().push((bus, state));
        tokio::spawn(backend.clone().watch(CancellationToken::new(), tell));
        told
    }

    fn last(&self) -> Option<(Presence, Presence)> {
        self.0.lock().unwrap().last().cloned()
    }
}

/// Waits until the bus at `url` is said to be away because of all `words`.
async fn bus_says(url: String, words: &[&str]) {
    let backend = connect_to(url.clone(), "local".into()).await;
    let told = Told::of(&backend);
    says(&url, words, || told.last().and_then(|(bus, _)| bus.err())).await;
    let asked = backend
        .bus
        .publish("astral.event.test.fault", &1)
        .await
        .unwrap_err();
    assert_eq!(asked.code, Code::ControlPlaneAway);
    assert!(
        words.iter().all(|word| asked.detail.contains(word)),
        "callers hear it too: {asked}"
    );
}

/// The same of the state.
async fn state_says(url: String, words: &[&str]) {
    let backend = connect_to("local".into(), url.clone()).await;
    let told = Told::of(&backend);
    says(&url, words, || {
        told.last().and_then(|(_, state)| state.err())
    })
    .await;
    let asked = backend.state.get::<u32>("tests", "a").await.unwrap_err();
    assert!(
        matches!(asked.code, Code::ControlPlaneAway | Code::Timeout),
        "{asked}"
    );
    assert!(
        words.iter().all(|word| asked.detail.contains(word)),
        "callers hear it too: {asked}"
    );
}

async fn says(url: &str, words: &[&str], why: impl Fn() -> Option<String>) {
    let what = format!("{url} says {words:?}");
    let mut last = String::new();
    eventually(&what, async || {
        let why = why().unwrap_or_default();
        if why != last {
            println!("{url} says: {why}");
            last.clone_from(&why);
        }
        assert!(!why.contains("hunter2"), "{why}");
        words.iter().all(|word| why.contains(word))
    })
    .await;
}

#[tokio::test]
async fn closed_port_is_named_as_one() {
    let port = free_port();
    let place = format!("127.0.0.1:{port}");
    let words = [
        place.as_str(),
        "refuses the connection",
        "check host and port",
    ];
    bus_says(format!("nats://me:hunter2@{place}"), &words).await;
    state_says(format!("redis://me:hunter2@{place}"), &words).await;
    state_says(
        format!("redis+sentinel://me:hunter2@{place}/main"),
        &[&place],
    )
    .await;
    state_says(format!("redis+cluster://me:hunter2@{place}"), &[&place]).await;
}

#[tokio::test]
async fn name_that_is_not_found_is_named() {
    let words = ["nowhere.invalid:4222", "name is not found", "DNS"];
    bus_says("nats://me:hunter2@nowhere.invalid:4222".into(), &words).await;
    let words = ["nowhere.invalid:6379", "name is not found", "--state-url"];
    state_says("redis://me:hunter2@nowhere.invalid:6379".into(), &words).await;
}

#[tokio::test]
async fn wrong_and_missing_passwords_are_told_apart() {
    let nats = Server::nats(&["--user", "me", "--pass", "right"]).await;
    let redis = Server::redis(&["--requirepass", "right"]).await;
    bus_says(
        nats.url("me:hunter2@"),
        &["refuses the user or the password", "--bus-url"],
    )
    .await;
    bus_says(nats.url(""), &["wants a user or a password", "--bus-url"]).await;
    state_says(
        redis.url(":hunter2@"),
        &["refuses the user or the password", "--state-url"],
    )
    .await;
    state_says(
        redis.url(""),
        &["wants a user or a password", "--state-url"],
    )
    .await;
}

#[tokio::test]
async fn servers_of_the_other_kind_are_told() {
    let (nats, redis) = tokio::join!(Server::nats(&[]), Server::redis(&[]));
    let as_redis = nats.url("").replacen("nats", "redis", 1);
    state_says(as_redis, &["another protocol", "a Redis server"]).await;
    let as_nats = redis.url("").replacen("redis", "nats", 1);
    bus_says(as_nats, &["does not answer", "a NATS server"]).await;
}

/// A listener that greets with `greeting` and says nothing more.
async fn greeter(greeting: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                drop(socket.write_all(greeting).await);
                drop(socket.read_to_end(&mut Vec::new()).await);
            });
        }
    });
    port
}

#[tokio::test]
async fn servers_of_any_other_kind_are_told() {
    let ssh = greeter(b"SSH-2.0-OpenSSH_9.2\r\n").await;
    bus_says(
        format!("nats://127.0.0.1:{ssh}"),
        &["another protocol", "a NATS server"],
    )
    .await;
    state_says(
        format!("redis://127.0.0.1:{ssh}"),
        &["another protocol", "a Redis server"],
    )
    .await;
}

#[tokio::test]
async fn database_that_is_not_there_is_not_up() {
    let redis = Server::redis(&[]).await;
    state_says(
        format!("{}/99", redis.url("")),
        &["no such database", "--state-url"],
    )
    .await;
}

#[tokio::test]
async fn server_with_all_its_connections_taken_says_so() {
    let config = std::env::temp_dir().join(format!("astral-nats-{}.conf", std::process::id()));
    std::fs::write(&config, "max_connections: 1").unwrap();
    let nats = Server::nats(&["-c", config.to_str().unwrap()]).await;
    let _first = connect_to(nats.url(""), "local".into()).await;
    bus_says(nats.url(""), &["no further connections", "raise"]).await;
    std::fs::remove_file(config).unwrap();
    let redis = Server::redis(&["--maxclients", "1"]).await;
    let mut held = redis::Client::open(redis.url(""))
        .unwrap()
        .get_connection()
        .unwrap();
    redis::cmd("PING").query::<String>(&mut held).unwrap();
    // Of a Redis that hangs up the client keeps no word.
    state_says(
        redis.url(""),
        &["closed the connection", "limit of connections"],
    )
    .await;
}

#[tokio::test]
async fn servers_without_tls_are_told_from_those_with() {
    let (nats, redis) = tokio::join!(Server::nats(&[]), Server::redis(&[]));
    bus_says(
        nats.url("").replacen("nats", "tls", 1),
        &["does not speak TLS", "nats://"],
    )
    .await;
    let http = greeter(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    state_says(
        format!("rediss://127.0.0.1:{http}"),
        &["does not speak TLS", "redis://"],
    )
    .await;
    drop(redis);
}

/// Goal: TLS that fails says why. Method: servers with a certificate of the kind `is_authority`.
async fn certificates_say(is_authority: &str, words: &[&str]) {
    let certificates = Certificates::made(is_authority);
    let redis = Server::redis(&texts(&certificates.of_redis())).await;
    state_says(redis.url("").replacen("redis", "rediss", 1), words).await;
    let nats = Server::nats(&texts(&certificates.of_nats())).await;
    bus_says(nats.url("").replacen("nats", "tls", 1), words).await;
    bus_says(nats.url(""), words).await;
    state_says(redis.url(""), &["TLS"]).await;
}

#[tokio::test]
async fn certificate_of_an_unknown_authority_is_named_as_one() {
    certificates_say("FALSE", &["authority that is not known", "SSL_CERT_FILE"]).await;
}

#[tokio::test]
async fn certificate_of_an_authority_is_not_one_of_a_server() {
    certificates_say("TRUE", &["one of an authority, not of a server"]).await;
}

fn texts(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn state_that_is_full_or_a_replica_from_the_start_is_not_up() {
    let redis = Server::redis(&["--maxmemory", "1"]).await;
    state_says(redis.url(""), &["is full", "maxmemory"]).await;
    let master = Server::redis(&[]).await;
    let replica = Server::redis(&["--replicaof", "127.0.0.1", &master.port().to_string()]).await;
    state_says(replica.url(""), &["is a replica", "master"]).await;
}

#[tokio::test]
async fn member_of_a_cluster_is_told_from_a_redis_of_its_own() {
    let buses = [free_port().to_string(), free_port().to_string()];
    let member = Server::redis(&["--cluster-enabled", "yes", "--cluster-port", &buses[0]]).await;
    state_says(
        member.url(""),
        &["the cluster is not complete", "missing members"],
    )
    .await;
    let other = Server::redis(&["--cluster-enabled", "yes", "--cluster-port", &buses[1]]).await;
    redis_cli(other.port(), &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    let port = other.port().to_string();
    redis_cli(
        member.port(),
        &["CLUSTER", "MEET", "127.0.0.1", &port, &buses[1]],
    );
    state_says(
        member.url(""),
        &["is a member of a cluster", "redis+cluster://"],
    )
    .await;
}

/// Goal: a server that turns a process away is not stormed. Method: as many tries as two seconds have room for.
#[tokio::test]
async fn server_that_refuses_the_password_is_not_stormed() {
    let redis = Server::redis(&["--requirepass", "right"]).await;
    let state = connect_to("local".into(), redis.url(":wrong@")).await.state;
    let until = tokio::time::Instant::now() + Duration::from_secs(2);
    while tokio::time::Instant::now() < until {
        state.get::<u32>("tests", "a").await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let ask = ["-a", "right", "INFO", "stats"];
    let info = redis_cli(redis.port(), &ask);
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"));
    let connections: u32 = line.unwrap().trim().parse().unwrap();
    assert!(connections <= 8, "{connections} in two seconds");
}
