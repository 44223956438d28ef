use super::serving;
use astral_backend::{Backend, Subscription};
use astral_proto::limits::MESSAGE_BYTES_MAX;
use astral_proto::message::{NodeRequest, Request};
use astral_proto::{Code, NodeId, Problem};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout};

pub const WITHIN: Duration = Duration::from_secs(2);
/// Nothing more comes after so long without anything.
const QUIET: Duration = Duration::from_millis(300);
const EVENTS: &str = "astral.event.test.counted";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Double {
    pub number: u32,
}

impl Request for Double {
    const SUBJECT: &'static str = "astral.test.double";
    type Reply = u32;
}

/// Goes to the same subject, and is no `Double`.
#[derive(Serialize, Deserialize)]
struct Garbled {
    numbre: String,
}

impl Request for Garbled {
    const SUBJECT: &'static str = Double::SUBJECT;
    type Reply = u32;
}

#[derive(Serialize, Deserialize)]
struct WhoAreYou {}

impl NodeRequest for WhoAreYou {
    const VERB: &'static str = "who";
    type Reply = NodeId;
}

async fn plain<T: DeserializeOwned>(backend: &Backend, subject: &str) -> Subscription<T> {
    backend.bus.subscribe(subject, None).await.unwrap()
}

async fn member(backend: &Backend, group: &str) -> Subscription<u32> {
    backend.bus.subscribe(EVENTS, Some(group)).await.unwrap()
}

async fn publish_numbers(backend: &Backend, count: u32) {
    for number in 0..count {
        backend.bus.publish(EVENTS, &number).await.unwrap();
    }
}

/// All that arrives before nothing has come for a while.
async fn all<T: DeserializeOwned>(subscription: &mut Subscription<T>) -> Vec<T> {
    let mut events = Vec::new();
    while let Ok(Some(event)) = timeout(Duration::from_secs(1), subscription.next()).await {
        events.push(event);
    }
    events
}

pub async fn queue_group_gives_each_event_to_exactly_one_member(backend: Backend) {
    let mut one = member(&backend, "group").await;
    let mut other = member(&backend, "group").await;
    publish_numbers(&backend, 100).await;
    let mut events = all(&mut one).await;
    events.extend(all(&mut other).await);
    events.sort();
    assert_eq!(events, Vec::from_iter(0..100));
}

pub async fn every_member_of_a_group_gets_a_share(backend: Backend) {
    let mut one = member(&backend, "group").await;
    let mut other = member(&backend, "group").await;
    publish_numbers(&backend, 100).await;
    assert!(!all(&mut one).await.is_empty());
    assert!(!all(&mut other).await.is_empty());
}

pub async fn groups_and_plain_subscribers_do_not_take_from_each_other(backend: Backend) {
    let mut one = member(&backend, "one").await;
    let mut other = member(&backend, "other").await;
    let mut plain = plain::<u32>(&backend, EVENTS).await;
    publish_numbers(&backend, 10).await;
    for subscription in [&mut one, &mut other, &mut plain] {
        assert_eq!(all(subscription).await, Vec::from_iter(0..10));
    }
}

pub async fn plain_subscriber_gets_all_events_in_order(backend: Backend) {
    let mut one = plain::<u32>(&backend, EVENTS).await;
    let mut other = plain::<u32>(&backend, EVENTS).await;
    publish_numbers(&backend, 1000).await;
    assert_eq!(all(&mut one).await, Vec::from_iter(0..1000));
    assert_eq!(all(&mut other).await, Vec::from_iter(0..1000));
    assert_eq!(one.lost(), 0);
}

pub async fn wildcards_take_in_the_subjects_they_name(backend: Backend) {
    let mut part = plain::<u32>(&backend, "astral.event.*.counted").await;
    let mut rest = plain::<u32>(&backend, "astral.event.>").await;
    backend.bus.publish(EVENTS, &1).await.unwrap();
    backend
        .bus
        .publish("astral.event.test.other", &2)
        .await
        .unwrap();
    backend.bus.publish("astral.elsewhere", &3).await.unwrap();
    assert_eq!(all(&mut part).await, [1]);
    assert_eq!(all(&mut rest).await, [1, 2]);
    let refused = backend.bus.publish("astral.event.>", &4).await.unwrap_err();
    assert_eq!(refused.code, Code::BadRequest);
}

pub async fn dropped_subscription_gets_no_more(backend: Backend) {
    let gone = member(&backend, "group").await;
    let mut stays = member(&backend, "group").await;
    drop(gone);
    publish_numbers(&backend, 10).await;
    assert_eq!(all(&mut stays).await, Vec::from_iter(0..10));
}

pub async fn malformed_event_is_skipped_and_counted(backend: Backend) {
    let mut numbers = plain::<u32>(&backend, EVENTS).await;
    backend.bus.publish(EVENTS, &"three").await.unwrap();
    backend.bus.publish(EVENTS, &3).await.unwrap();
    assert_eq!(numbers.next().await, Some(3));
    assert_eq!(numbers.malformed(), 1);
}

/// Goal: a subscriber that does not read costs nobody else an event or a wait. Method: publish until it has lost
/// some, with a second subscriber that reads each at once.
pub async fn full_subscriber_loses_its_own_events_and_blocks_nobody(backend: Backend) {
    let mut stuck = plain::<u32>(&backend, EVENTS).await;
    let mut quick = plain::<u32>(&backend, EVENTS).await;
    let mut published = 0;
    while stuck.lost() < 10 {
        timeout(WITHIN, backend.bus.publish(EVENTS, &published))
            .await
            .expect("never waits")
            .unwrap();
        assert_eq!(quick.next().await, Some(published));
        published += 1;
        assert!(published < 1_000_000, "the queue has a limit");
    }
    assert_eq!(quick.lost(), 0);
    let kept = all(&mut stuck).await;
    assert_eq!(kept.len() as u64 + stuck.lost(), u64::from(published));
    assert!(kept.is_sorted(), "what it kept is in order");
}

pub async fn oversized_event_is_refused(backend: Backend) {
    let refused = backend
        .bus
        .publish(EVENTS, &"x".repeat(MESSAGE_BYTES_MAX))
        .await
        .unwrap_err();
    assert_eq!(refused.code, Code::BadRequest);
    assert!(refused.detail.contains("1048578 bytes"), "{refused}");
}

pub async fn serve_double(backend: &Backend) {
    let answer = |request: Double| async move {
        let half = u32::MAX / 2;
        if request.number > half {
            return Err(Problem::new(
                Code::Full,
                format!("{} is over {half}", request.number),
            ));
        }
        Ok(request.number * 2)
    };
    backend.bus.serve("test", &serving(), answer).await.unwrap();
}

pub async fn request_gets_the_reply_of_its_handler(backend: Backend) {
    serve_double(&backend).await;
    assert_eq!(
        backend.bus.request(&Double { number: 21 }, WITHIN).await,
        Ok(42)
    );
}

pub async fn problem_of_a_handler_arrives_as_it_is(backend: Backend) {
    serve_double(&backend).await;
    let problem = backend
        .bus
        .request(&Double { number: u32::MAX }, WITHIN)
        .await
        .unwrap_err();
    assert_eq!(
        problem,
        Problem::new(Code::Full, "4294967295 is over 2147483647")
    );
}

pub async fn request_that_no_one_serves_fails_at_once(backend: Backend) {
    let started = Instant::now();
    let problem = backend
        .bus
        .request(&Double { number: 1 }, WITHIN)
        .await
        .unwrap_err();
    assert_eq!(
        problem,
        Problem::new(Code::ControlPlaneAway, "no one serves astral.test.double")
    );
    let node = NodeId::random();
    let problem = backend
        .bus
        .request_node(node, &WhoAreYou {}, WITHIN)
        .await
        .unwrap_err();
    let detail = format!("no one serves astral.node.{node}.who");
    assert_eq!(problem, Problem::new(Code::Unavailable, detail));
    assert!(started.elapsed() < WITHIN);
}

pub async fn request_without_an_answer_times_out_at_its_deadline_and_not_before(backend: Backend) {
    let never = |_: Double| std::future::pending();
    backend.bus.serve("test", &serving(), never).await.unwrap();
    let started = Instant::now();
    let problem = backend
        .bus
        .request(&Double { number: 1 }, WITHIN)
        .await
        .unwrap_err();
    assert_eq!(
        problem,
        Problem::new(
            Code::Timeout,
            "no answer to astral.test.double within 2000 ms"
        )
    );
    assert!(
        (WITHIN..WITHIN * 2).contains(&started.elapsed()),
        "{:?}",
        started.elapsed()
    );
}

pub async fn malformed_request_is_a_bad_request(backend: Backend) {
    serve_double(&backend).await;
    let problem = backend
        .bus
        .request(&Garbled { numbre: "x".into() }, WITHIN)
        .await
        .unwrap_err();
    assert_eq!(problem.code, Code::BadRequest);
    assert!(
        problem.detail.contains("astral.test.double") && problem.detail.contains("numbre"),
        "{problem}"
    );
}

pub async fn request_to_a_node_reaches_that_node_alone(backend: Backend) {
    let nodes = [NodeId::random(), NodeId::random()];
    for node in nodes {
        let answer = move |_: WhoAreYou| async move { Ok(node) };
        backend
            .bus
            .serve_node(node, &serving(), answer)
            .await
            .unwrap();
    }
    for node in nodes {
        assert_eq!(
            backend.bus.request_node(node, &WhoAreYou {}, WITHIN).await,
            Ok(node)
        );
    }
}

/// Serves `Double`; number 0 is answered once `release` is notified.
async fn serve_with_a_slow_zero(backend: &Backend, release: &Arc<Notify>) {
    let release = Arc::clone(release);
    let answer = move |request: Double| {
        let release = Arc::clone(&release);
        async move {
            if request.number == 0 {
                release.notified().await;
            }
            Ok(request.number * 2)
        }
    };
    backend.bus.serve("test", &serving(), answer).await.unwrap();
}

pub async fn slow_request_does_not_hold_up_the_next(backend: Backend) {
    let release = Arc::new(Notify::new());
    serve_with_a_slow_zero(&backend, &release).await;
    let slow = async { backend.bus.request(&Double { number: 0 }, WITHIN).await };
    let quick = async {
        let reply = backend.bus.request(&Double { number: 1 }, WITHIN).await;
        release.notify_one();
        reply
    };
    assert_eq!(tokio::join!(slow, quick), (Ok(0), Ok(2)));
}

/// Goal: however many requests come, the handlers that run at once are limited. Method: handlers that wait until let
/// go, more requests than the limit, and the number running seen by each.
pub async fn requests_in_flight_are_limited(backend: Backend) {
    const REQUESTS: usize = 1000;
    let running = Arc::new(AtomicUsize::new(0));
    let highest = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(Semaphore::new(0));
    let answer = {
        let running = Arc::clone(&running);
        let highest = Arc::clone(&highest);
        let gate = Arc::clone(&gate);
        move |request: Double| {
            highest.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let running = Arc::clone(&running);
            let gate = Arc::clone(&gate);
            async move {
                drop(gate.acquire().await);
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(request.number)
            }
        }
    };
    backend.bus.serve("test", &serving(), answer).await.unwrap();
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..REQUESTS as u32 {
        let bus = backend.bus.clone();
        asking.spawn(async move { bus.request(&Double { number }, WITHIN * 10).await.is_ok() });
    }
    // Passes on the paused clock once every task waits.
    tokio::time::sleep(WITHIN).await;
    let seen = highest.load(Ordering::SeqCst);
    assert!((2..REQUESTS).contains(&seen), "{seen} at once");
    gate.close();
    assert!(asking.join_all().await.into_iter().all(|answered| answered));
    assert_eq!(highest.load(Ordering::SeqCst), seen);
}

pub async fn stopped_server_finishes_what_it_has_and_takes_no_more(backend: Backend) {
    let context = serving();
    let entered = Arc::new(Notify::new());
    let release = Arc::new(Notify::new());
    let answer = {
        let entered = Arc::clone(&entered);
        let release = Arc::clone(&release);
        move |request: Double| {
            let entered = Arc::clone(&entered);
            let release = Arc::clone(&release);
            async move {
                entered.notify_one();
                release.notified().await;
                Ok(request.number * 2)
            }
        }
    };
    backend.bus.serve("test", &context, answer).await.unwrap();
    let bus = backend.bus.clone();
    let held = tokio::spawn(async move { bus.request(&Double { number: 4 }, WITHIN).await });
    entered.notified().await;
    context.stopping.cancel();
    context.tasks.close();
    while context.tasks.len() > 1 {
        tokio::task::yield_now().await;
    }
    let late = backend
        .bus
        .request(&Double { number: 1 }, WITHIN)
        .await
        .unwrap_err();
    assert_eq!(late.code, Code::ControlPlaneAway);
    release.notify_one();
    assert_eq!(held.await.unwrap(), Ok(8));
    timeout(WITHIN, context.tasks.wait())
        .await
        .expect("every task ends");
}

async fn until_it_overflows<T: DeserializeOwned>(listener: &Subscription<T>) {
    while listener.lost() == 0 {
        tokio::task::yield_now().await;
    }
}

/// Goal: a listener knows that it has gaps. Method: it listens through a pattern to two subjects and leaves, while one of
/// them goes on; its second subscription begins anew, and what is lost after that is counted.
pub async fn an_event_that_did_not_arrive_shows_in_the_next_one_of_its_publisher(backend: Backend) {
    const OTHER: &str = "astral.event.test.other";
    const LAST: u32 = 1_000_000;
    let mut listener = plain::<u32>(&backend, "astral.event.test.*").await;
    publish_numbers(&backend, 2).await;
    backend.bus.publish(OTHER, &7).await.unwrap();
    for expected in [0, 1, 7] {
        assert_eq!(
            timeout(WITHIN, listener.next()).await.unwrap(),
            Some(expected)
        );
    }
    assert_eq!(listener.lost(), 0);
    // More than its queue holds: what is lost and what is not is all there was, once a later one has come.
    publish_numbers(&backend, 6000).await;
    // A busy machine may take in what was published only later, and a queue that is read meanwhile never overflows.
    timeout(WITHIN, until_it_overflows(&listener))
        .await
        .expect("the queue overflows");
    let mut received = 0;
    while let Ok(Some(_)) = timeout(QUIET, listener.next()).await {
        received += 1;
    }
    backend.bus.publish(EVENTS, &LAST).await.unwrap();
    assert_eq!(timeout(WITHIN, listener.next()).await.unwrap(), Some(LAST));
    assert!(listener.lost() > 0);
    assert_eq!(received + listener.lost(), 6000);
    let mut late = plain::<u32>(&backend, EVENTS).await;
    publish_numbers(&backend, 1).await;
    assert_eq!(timeout(WITHIN, late.next()).await.unwrap(), Some(0));
    assert_eq!(
        late.lost(),
        0,
        "what came before it listened is not lost to it"
    );
}

pub async fn members_of_a_group_do_not_miss_what_others_get(backend: Backend) {
    let mut members = [
        member(&backend, "group").await,
        member(&backend, "group").await,
    ];
    publish_numbers(&backend, 40).await;
    for member in &mut members {
        while let Ok(Some(_)) = timeout(QUIET, member.next()).await {}
        assert_eq!(member.lost(), 0);
    }
}
