//! What requests cost: how often they use the shared state.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the finding"
)]

use astral_control_tests::{Control, Relay, demo, pass};
use astral_proto::message::RequestTicket;
use astral_proto::model::Role;
use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Counts the operations on the state, by what they do and in which collection.
#[derive(Clone, Default)]
struct Operations(Arc<Mutex<BTreeMap<String, usize>>>);

impl Operations {
    fn take(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// One kind of operation. Each is recorded once with its duration.
struct OneKind {
    all: Operations,
    name: String,
}

impl HistogramFn for OneKind {
    fn record(&self, _seconds: f64) {
        let mut all = self.all.0.lock().unwrap();
        *all.entry(self.name.clone()).or_default() += 1;
    }
}

impl Recorder for Operations {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        if key.name() != "astral_state_operation_seconds" {
            return Histogram::noop();
        }
        let label = |name| {
            let mut labels = key.labels().filter(move |label| label.key() == name);
            labels.next().map_or("", |label| label.value()).to_owned()
        };
        let name = format!("{} {}", label("operation"), label("collection"));
        let all = self.clone();
        Histogram::from_arc(Arc::new(OneKind { all, name }))
    }
}

#[tokio::test(start_paused = true)]
async fn a_ticket_and_its_standby_take_one_read_and_five_writes_of_the_state() {
    let operations = Operations::default();
    let _counted = metrics::set_default_local_recorder(&operations);
    let control = Control::start(0, true).await;
    let origin = Relay::join(&control, Role::Node, 100_000).await.unwrap();
    origin.go_live(&demo(), None).await.unwrap();
    let [second, asker] = [
        Relay::join(&control, Role::Node, 100_000).await.unwrap(),
        Relay::join(&control, Role::Node, 0).await.unwrap(),
    ];
    second.pull(&demo(), &[]).await.unwrap();
    // Its next heartbeat tells the broker that it carries the stream.
    pass(Duration::from_secs(3)).await;
    let request = RequestTicket {
        slug: demo(),
        subscriber: asker.id,
        exclude: vec![],
        left: vec![],
    };
    // This one reads the snapshot and both ledgers, and the next one uses them.
    let warm_up = control.ask(request.clone()).await.unwrap();
    assert!(warm_up.standby.is_some());
    operations.take();
    let tickets = control.ask(request).await.unwrap();
    assert!(tickets.standby.is_some());
    let used = operations.take();
    let expected = [
        ("read relays", 1),
        ("write ledgers", 2),
        ("write tickets", 2),
        ("write upstreams", 1),
    ];
    let expected: BTreeMap<String, usize> = expected
        .into_iter()
        .map(|(name, times)| (name.to_owned(), times))
        .collect();
    assert_eq!(used, expected);
}
