//! What a fault injector does to bus and state of several processes within one program.

use super::serving;
use astral_backend::{
    Backend, BusFaults, Change, FaultInjector, Observation, StateFaults, StateOutcome,
};
use astral_env::Env;
use astral_proto::message::{GetNode, Request};
use astral_proto::model::{Node, NodeState, Role};
use astral_proto::{Code, Kbps, NodeId, Problem};
use astral_runtime::TaskScope;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a caller waits here.
const WITHIN: Duration = Duration::from_secs(2);
/// Long enough for everything that is on its way.
const AFTER: Duration = Duration::from_secs(5);

fn node(uuid: NodeId) -> Node {
    Node {
        uuid,
        name: String::new(),
        role: Role::Node,
        state: NodeState::Up,
        media_url: String::new(),
        rtmp_url: String::new(),
        advertise: String::new(),
        primary_supernode: None,
        limit_kbps: Kbps::new(0),
        promised_kbps: Kbps::new(0),
        viewer_kbps: Kbps::new(0),
        streams: 0,
    }
}

/// Two processes: one asks, the other serves [`GetNode`] and counts how often it was asked.
struct Pair {
    injector: FaultInjector,
    asker: Backend,
    server: Backend,
    asked: Arc<Mutex<u32>>,
    _serving: TaskScope,
}

impl Pair {
    async fn start() -> Self {
        let injector = FaultInjector::new(1);
        let asker = Backend::with_faults(&injector, Env::seeded(1));
        let server = asker.as_another_process().await.unwrap();
        let asked = Arc::<Mutex<u32>>::default();
        let serving = serving();
        let count = asked.clone();
        let handler = move |ask: GetNode| {
            *count.lock().unwrap() += 1;
            async move { Ok(node(ask.node)) }
        };
        server.bus.serve("tests", &serving, handler).await.unwrap();
        Self {
            injector,
            asker,
            server,
            asked,
            _serving: serving,
        }
    }

    async fn ask(&self) -> Result<Node, Problem> {
        let ask = GetNode {
            node: NodeId::random(),
        };
        self.asker.bus.request(&ask, WITHIN).await
    }

    fn times_asked(&self) -> u32 {
        *self.asked.lock().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn processes_that_are_parted_do_not_hear_each_other_until_they_rejoin() {
    let pair = Pair::start().await;
    let asker = pair.asker.process();
    let server = pair.server.process();
    pair.injector.part(asker, server);
    assert_eq!(pair.ask().await.unwrap_err().code, Code::Timeout);
    assert_eq!(pair.times_asked(), 0);
    assert!(pair.asker.bus.is_connected(), "the bus itself is there");
    pair.injector.rejoin(asker, server);
    assert!(pair.ask().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_cut_off_notices_it_after_a_while() {
    let pair = Pair::start().await;
    pair.injector.cut_off(pair.server.process(), true);
    assert!(pair.ask().await.is_err());
    assert!(pair.server.bus.is_connected(), "not yet");
    sleep(AFTER).await;
    assert!(!pair.server.bus.is_connected());
    assert!(pair.asker.bus.is_connected());
    pair.injector.cut_off(pair.server.process(), false);
    assert!(pair.server.bus.is_connected());
    assert!(pair.ask().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_frozen_process_answers_once_it_goes_on() {
    let pair = Pair::start().await;
    let server = pair.server.process();
    pair.injector.freeze(server);
    let injector = pair.injector.clone();
    tokio::spawn(async move {
        sleep(WITHIN / 2).await;
        injector.thaw(server);
    });
    let since = Instant::now();
    assert!(pair.ask().await.is_ok());
    assert!(since.elapsed() >= WITHIN / 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_when_a_frozen_process_goes_on_is_left_out() {
    let pair = Pair::start().await;
    let server = pair.server.process();
    pair.injector.freeze(server);
    assert!(pair.ask().await.is_err());
    sleep(AFTER).await;
    pair.injector.thaw(server);
    sleep(AFTER).await;
    assert_eq!(pair.times_asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_be_lost_although_the_request_was_handled() {
    let pair = Pair::start().await;
    let lost = Arc::<Mutex<u32>>::default();
    let count = lost.clone();
    let faults = pair.injector.clone();
    pair.injector.observe(move |seen| {
        let is_request =
            matches!(seen, Observation::Delivered { subject, .. } if subject == GetNode::SUBJECT);
        if is_request {
            faults.set_bus(BusFaults {
                lose_percent: 100,
                ..BusFaults::default()
            });
        }
        let is_answer = matches!(
            seen,
            Observation::Lost {
                subject: "answer",
                ..
            }
        );
        *count.lock().unwrap() += u32::from(is_answer);
    });
    assert_eq!(pair.ask().await.unwrap_err().code, Code::Timeout);
    assert_eq!(pair.times_asked(), 1);
    assert_eq!(*lost.lock().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_is_handled_twice_and_answered_once() {
    let pair = Pair::start().await;
    pair.injector.set_bus(BusFaults {
        repeat_percent: 100,
        ..BusFaults::default()
    });
    assert!(pair.ask().await.is_ok());
    sleep(AFTER).await;
    assert_eq!(pair.times_asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_lags_gets_its_events_later_than_others() {
    let pair = Pair::start().await;
    let lag = Duration::from_millis(700);
    pair.injector.set_lag(pair.server.process(), lag);
    let mut late = pair
        .server
        .bus
        .subscribe::<u32>("numbers", None)
        .await
        .unwrap();
    let mut prompt = pair
        .asker
        .bus
        .subscribe::<u32>("numbers", None)
        .await
        .unwrap();
    let since = Instant::now();
    pair.asker.bus.publish("numbers", &7).await.unwrap();
    assert_eq!(prompt.next().await, Some(7));
    assert_eq!(since.elapsed(), Duration::ZERO);
    assert_eq!(late.next().await, Some(7));
    assert_eq!(since.elapsed(), lag);
}

async fn add_one(backend: &Backend) -> Result<u32, Problem> {
    let add = |known: Option<u32>| {
        let value = known.unwrap_or_default() + 1;
        Change::Put {
            value,
            ttl: None,
            result: value,
        }
    };
    backend.state.update("tests", "a", add).await
}

#[tokio::test(start_paused = true)]
async fn a_state_that_is_away_refuses_and_changes_nothing() {
    let pair = Pair::start().await;
    add_one(&pair.asker).await.unwrap();
    pair.injector.set_state_away(true);
    assert_eq!(
        add_one(&pair.asker).await.unwrap_err().code,
        Code::ControlPlaneAway
    );
    pair.injector.set_state_away(false);
    assert_eq!(pair.server.state.get("tests", "a").await, Ok(Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_has_taken_effect() {
    let pair = Pair::start().await;
    let lose = StateFaults {
        lose_answer_percent: 100,
        ..StateFaults::default()
    };
    pair.injector.set_state(lose);
    let put = pair.asker.state.put("tests", "a", &7, None).await;
    assert_eq!(put.unwrap_err().code, Code::Timeout);
    pair.injector.set_state(StateFaults::default());
    assert_eq!(pair.asker.state.get("tests", "a").await, Ok(Some(7)));
}

#[tokio::test(start_paused = true)]
async fn a_slow_operation_is_not_done_at_once() {
    let pair = Pair::start().await;
    pair.injector.set_state(StateFaults {
        delay_max: Duration::from_secs(1),
        ..StateFaults::default()
    });
    let since = Instant::now();
    let times = (0..8).map(|_| add_one(&pair.asker));
    let mut values = futures_util::future::try_join_all(times).await.unwrap();
    values.sort_unstable();
    assert_eq!(values, [1, 2, 3, 4, 5, 6, 7, 8], "each was one step");
    assert!(since.elapsed() > Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_state_that_forgot_is_empty_and_takes_writes() {
    let pair = Pair::start().await;
    add_one(&pair.asker).await.unwrap();
    assert!(pair.asker.state.forget_everything());
    assert_eq!(pair.server.state.get::<u32>("tests", "a").await, Ok(None));
    assert_eq!(add_one(&pair.server).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_the_state_is_what_every_process_goes_by() {
    let pair = Pair::start().await;
    let before = pair.asker.state.now();
    pair.injector.set_state_clock(-60_000);
    for backend in [&pair.asker, &pair.server] {
        add_one(backend).await.unwrap();
        assert!(
            backend.state.now() + Duration::from_secs(59) < before,
            "it has been read"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_that_a_crashed_process_was_about_to_do_is_seen() {
    let pair = Pair::start().await;
    let mut numbers = pair
        .server
        .bus
        .subscribe::<u32>("numbers", None)
        .await
        .unwrap();
    let crashed = pair.asker.clone();
    pair.injector.freeze(crashed.process());
    let dying = tokio::spawn(async move { add_one(&crashed).await });
    tokio::task::yield_now().await;
    pair.asker.bus.publish("numbers", &1).await.unwrap();
    pair.injector.crash(pair.asker.process());
    sleep(AFTER).await;
    assert!(!dying.is_finished());
    assert_eq!(pair.server.state.get::<u32>("tests", "a").await, Ok(None));
    let silence = tokio::time::timeout(AFTER, numbers.next()).await;
    assert!(silence.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_observer_sees_what_is_written_and_what_callers_were_told() {
    let pair = Pair::start().await;
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let log = seen.clone();
    pair.injector.observe(move |observation| {
        let line = match observation {
            Observation::Written { id, value, .. } => {
                format!("{id} is {:?}", value.map(String::from_utf8_lossy))
            }
            Observation::Operation { name, outcome, .. } => {
                assert_eq!(outcome, StateOutcome::Answered);
                name.to_owned()
            }
            other => format!("{other:?}"),
        };
        log.lock().unwrap().push(line);
    });
    add_one(&pair.asker).await.unwrap();
    pair.asker.state.remove("tests", "a").await.unwrap();
    let seen = seen.lock().unwrap().clone();
    assert_eq!(
        seen,
        ["read", "a is Some(\"1\")", "write", "a is None", "remove"]
    );
}
