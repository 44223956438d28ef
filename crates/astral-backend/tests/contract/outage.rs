//! What bus and state promise while NATS or Redis is away, and after.

use super::bus::{Double, WITHIN, serve_double};
use super::replicas::Replica;
use super::servers::{Server, connect, connect_to, eventually, free_port, start};
use super::serving;
use super::state::{get, put};
use astral_backend::{Backend, Bus};
use astral_proto::{Code, Problem};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, timeout};

const EVENTS: &str = "astral.event.test.outage";
/// What fails because it is known that nobody is there fails within this, whatever its deadline.
const AT_ONCE: Duration = Duration::from_millis(500);
/// The state never lets a caller wait much longer than a second.
const STATE_WAIT: Duration = Duration::from_millis(1500);

async fn double(bus: &Bus) -> Result<u32, Problem> {
    bus.request(&Double { number: 21 }, WITHIN).await
}

fn code<T>(result: Result<T, Problem>) -> Option<Code> {
    result.err().map(|problem| problem.code)
}

async fn until_connected(bus: &Bus, expected: bool) {
    eventually("the bus is known to be there or away", async || {
        bus.is_connected() == expected
    })
    .await;
}

#[tokio::test]
async fn bus_that_is_cut_off_fails_at_once_and_works_again_after() {
    let ((mut nats, _redis), backend) = start().await;
    let bus = &backend.bus;
    serve_double(&backend).await;
    let mut events = bus.subscribe::<u32>(EVENTS, None).await.unwrap();
    assert_eq!(double(bus).await, Ok(42));

    nats.kill();
    until_connected(bus, false).await;
    let started = Instant::now();
    assert_eq!(code(double(bus).await), Some(Code::ControlPlaneAway));
    assert_eq!(
        code(bus.publish(EVENTS, &1).await),
        Some(Code::ControlPlaneAway)
    );
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());

    nats.restart().await;
    until_connected(bus, true).await;
    eventually("it is served again", async || double(bus).await == Ok(42)).await;
    bus.publish(EVENTS, &2).await.unwrap();
    let next = timeout(WITHIN, events.next()).await.unwrap();
    assert_eq!(next, Some(2), "what was refused is not sent late");
}

#[tokio::test]
async fn request_in_hand_when_the_bus_is_lost_does_not_wait_for_its_deadline() {
    let ((mut nats, _redis), backend) = start().await;
    let (heard, mut hears) = tokio::sync::mpsc::channel(1);
    let never = move |_: Double| {
        let heard = heard.clone();
        async move {
            heard.send(()).await.unwrap();
            std::future::pending().await
        }
    };
    backend.bus.serve("test", &serving(), never).await.unwrap();
    let bus = backend.bus.clone();
    let asking = tokio::spawn(async move {
        bus.request(&Double { number: 1 }, Duration::from_secs(60))
            .await
    });
    hears.recv().await.unwrap();
    nats.kill();
    let answer = timeout(WITHIN, asking)
        .await
        .expect("it fails at once")
        .unwrap();
    assert_eq!(code(answer), Some(Code::ControlPlaneAway));
}

#[tokio::test]
async fn servers_that_come_later_are_found_and_what_was_subscribed_takes_effect() {
    let bus_port = free_port();
    let state_port = free_port();
    let backend = connect_to(
        format!("nats://127.0.0.1:{bus_port}"),
        format!("redis://127.0.0.1:{state_port}"),
    )
    .await;
    let Backend { bus, state, .. } = &backend;
    assert!(!bus.is_connected());
    serve_double(&backend).await;
    let mut events = bus.subscribe::<u32>(EVENTS, None).await.unwrap();
    assert_eq!(
        code(state.get::<u32>("tests", "a").await),
        Some(Code::ControlPlaneAway)
    );

    let _nats = Server::nats_at(bus_port).await;
    let _redis = Server::redis_at(state_port).await;
    until_connected(bus, true).await;
    eventually("it is served", async || double(bus).await == Ok(42)).await;
    bus.publish(EVENTS, &7).await.unwrap();
    assert_eq!(events.next().await, Some(7));
    eventually("the state is found", async || {
        state.get::<u32>("tests", "a").await == Ok(None)
    })
    .await;
}

#[tokio::test]
async fn frozen_bus_is_noticed_and_found_again() {
    let ((nats, _redis), backend) = start().await;
    serve_double(&backend).await;
    nats.freeze();
    let started = Instant::now();
    let problem = backend
        .bus
        .request(&Double { number: 1 }, AT_ONCE)
        .await
        .unwrap_err();
    assert_eq!(problem.code, Code::Timeout);
    until_connected(&backend.bus, false).await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    nats.thaw();
    until_connected(&backend.bus, true).await;
    eventually("it is served again", async || {
        double(&backend.bus).await == Ok(42)
    })
    .await;
}

#[tokio::test]
async fn state_that_restarts_empty_is_empty_and_takes_entries_again() {
    let ((_nats, mut redis), Backend { state, .. }) = start().await;
    put(&state, "a", 1, None).await;
    redis.kill();
    let started = Instant::now();
    assert_eq!(
        code(state.get::<u32>("tests", "a").await),
        Some(Code::ControlPlaneAway)
    );
    assert_eq!(
        code(state.remove("tests", "a").await),
        Some(Code::ControlPlaneAway)
    );
    assert!(started.elapsed() < STATE_WAIT, "{:?}", started.elapsed());

    redis.restart().await;
    eventually("the state is found", async || {
        state.get::<u32>("tests", "a").await == Ok(None)
    })
    .await;
    put(&state, "b", 2, None).await;
    assert_eq!(
        state.list::<u32>("tests", None, 10).await,
        Ok(vec![("b".to_owned(), 2)])
    );
}

#[tokio::test]
async fn frozen_state_is_a_timeout_within_its_bound_for_all_who_ask() {
    let ((_nats, redis), Backend { state, .. }) = start().await;
    put(&state, "a", 1, None).await;
    redis.freeze();
    let started = Instant::now();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let state = state.clone();
        asking.spawn(async move { code(state.get::<u32>("tests", "a").await) });
    }
    assert_eq!(asking.join_all().await, [Some(Code::Timeout); 100]);
    assert_eq!(
        code(state.get::<u32>("tests", "a").await),
        Some(Code::Timeout),
        "on a new connection too"
    );
    assert!(
        started.elapsed() < 2 * STATE_WAIT,
        "{:?}",
        started.elapsed()
    );
    redis.thaw();
    eventually("the state is found", async || {
        state.get::<u32>("tests", "a").await == Ok(Some(1))
    })
    .await;
}

#[tokio::test]
async fn ids_of_ended_leases_do_not_stay_in_the_index() {
    let ((_nats, redis), Backend { state, .. }) = start().await;
    for number in 0..200 {
        put(
            &state,
            &number.to_string(),
            number,
            Some(Duration::from_millis(1)),
        )
        .await;
    }
    let mut raw = redis::Client::open(redis.url(""))
        .unwrap()
        .get_connection()
        .unwrap();
    let mut count = |key: &str| redis::cmd("ZCARD").arg(key).query::<u32>(&mut raw).unwrap();
    eventually("each write sweeps up", async || {
        put(&state, "kept", 1, None).await;
        count("astral:{tests}:ids") == 1 && count("astral:{tests}:leases") == 0
    })
    .await;
    assert_eq!(get(&state, "kept").await, Some(1));
}

#[tokio::test]
async fn credentials_in_the_url_open_both_and_wrong_ones_do_not() {
    let nats = Server::nats(&["--user", "me", "--pass", "p@ss"]).await;
    let redis = Server::redis(&["--requirepass", "p@ss"]).await;
    let opened = connect_to(nats.url("me:p%40ss@"), redis.url(":p%40ss@")).await;
    serve_double(&opened).await;
    assert_eq!(double(&opened.bus).await, Ok(42));
    assert_eq!(opened.state.get::<u32>("tests", "a").await, Ok(None));

    let refused = connect_to(nats.url("me:wrong@"), redis.url(":wrong@")).await;
    assert_eq!(
        code(double(&refused.bus).await),
        Some(Code::ControlPlaneAway)
    );
    assert_eq!(
        code(refused.state.get::<u32>("tests", "a").await),
        Some(Code::ControlPlaneAway)
    );
    let unnamed = connect(&nats, &redis).await;
    assert!(!unnamed.bus.is_connected());
    assert_eq!(
        code(unnamed.state.get::<u32>("tests", "a").await),
        Some(Code::ControlPlaneAway)
    );
}

#[tokio::test]
async fn servers_without_tls_are_away_to_who_asks_for_it() {
    let (nats, redis) = tokio::join!(Server::nats(&[]), Server::redis(&[]));
    let tls = nats.url("").replacen("nats", "tls", 1);
    let backend = connect_to(tls, redis.url("").replacen("redis", "rediss", 1)).await;
    assert_eq!(
        code(double(&backend.bus).await),
        Some(Code::ControlPlaneAway)
    );
    assert_eq!(
        code(backend.state.get::<u32>("tests", "a").await),
        Some(Code::Timeout),
        "it waits for more"
    );
}

/// Goal: what was asked of a replica while it was frozen is not done when it goes on. Method: it is the only one, and is
/// frozen for as long as one request waits; another one is then answered, and it has handled that alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_that_was_frozen_does_nothing_late() {
    let ((_nats, _redis), backend) = start().await;
    let handled = Arc::<Mutex<Vec<u32>>>::default();
    let numbers = Arc::clone(&handled);
    let answers = move |request: Double, _| {
        numbers.lock().unwrap().push(request.number);
        std::future::ready(Ok(request.number * 2))
    };
    let mut replica = Replica::frozen(&backend.bus, answers).await;
    let late = backend.bus.request(&Double { number: 1 }, WITHIN).await;
    assert_eq!(code(late), Some(Code::Timeout));
    replica.thaw();
    eventually("it answers again", async || {
        double(&backend.bus).await == Ok(42)
    })
    .await;
    let handled = handled.lock().unwrap().clone();
    assert!(!handled.contains(&1), "{handled:?}");
}
