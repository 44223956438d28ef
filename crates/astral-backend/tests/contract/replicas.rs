//! What requests are promised while one replica of a service is frozen: stopped, its sockets open.
//!
//! A replica is frozen here as by SIGSTOP: all that it is runs on a runtime of its own, which stands still.

use super::bus::{Double, WITHIN};
use super::serving;
use astral_backend::{Asked, Backend, Bus};
use astral_proto::{Code, Problem};
use astral_runtime::TaskScope;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep};

/// No request waits longer than this for a replica that does not answer.
const NO_LONGER: Duration = Duration::from_secs(1);
/// Handlers of one kind that run at once in one replica.
const AT_ONCE: usize = 256;

/// A replica on a runtime of its own.
pub struct Replica {
    runtime: Option<Runtime>,
    /// Ends the thread that runs it when dropped.
    running: Option<oneshot::Sender<()>>,
}

impl Replica {
    /// Serves `Double` with `handler` as another process than `bus`, and has frozen as soon as this returns.
    pub async fn frozen<F, Fut>(bus: &Bus, handler: F) -> Self
    where
        F: Fn(Double, Asked) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<u32, Problem>> + Send + 'static,
    {
        let bus = bus.clone();
        let start = move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let other = bus.as_another_process().await.unwrap();
                other
                    .serve_repeatable("test", &serving(), handler)
                    .await
                    .unwrap();
                // The process goes on to hold it.
                std::mem::forget(other);
            });
            runtime
        };
        let runtime = tokio::task::spawn_blocking(start).await.unwrap();
        Self {
            runtime: Some(runtime),
            running: None,
        }
    }

    /// Lets it go on.
    pub fn thaw(&mut self) {
        let runtime = self.runtime.take().unwrap();
        let (stop, stopped) = oneshot::channel();
        std::thread::spawn(move || {
            drop(runtime.block_on(stopped));
            runtime.shutdown_background();
        });
        self.running = Some(stop);
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Counts the requests that reach it, and answers them.
fn counting(
    count: &Arc<AtomicUsize>,
) -> impl Fn(Double, Asked) -> std::future::Ready<Result<u32, Problem>> + use<> {
    let count = Arc::clone(count);
    move |request: Double, _| {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok(request.number * 2))
    }
}

async fn serve_in(context: &TaskScope, bus: &Bus) -> Arc<AtomicUsize> {
    let count = Arc::default();
    bus.serve_repeatable("test", context, counting(&count))
        .await
        .unwrap();
    count
}

async fn double(bus: &Bus, number: u32) -> (Result<u32, Problem>, Duration) {
    let started = Instant::now();
    (
        bus.request(&Double { number }, WITHIN).await,
        started.elapsed(),
    )
}

pub async fn frozen_replica_costs_no_request_and_little_time(backend: Backend) {
    let other = backend.bus.as_another_process().await.unwrap();
    serve_in(&serving(), &other).await;
    let _frozen = Replica::frozen(&backend.bus, counting(&Arc::default())).await;
    for number in 0..20 {
        let (answer, took) = double(&backend.bus, number).await;
        assert_eq!(answer, Ok(number * 2));
        assert!(took < NO_LONGER, "{number}: {took:?}");
    }
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..100 {
        let bus = backend.bus.clone();
        asking.spawn(async move { double(&bus, number).await });
    }
    for (answer, took) in asking.join_all().await {
        assert!(
            answer.is_ok() && took < NO_LONGER,
            "{answer:?} after {took:?}"
        );
    }
}

pub async fn frozen_replicas_of_which_one_is_left_cost_no_request(backend: Backend) {
    let mut frozen = Vec::new();
    for _ in 0..4 {
        frozen.push(Replica::frozen(&backend.bus, counting(&Arc::default())).await);
    }
    let other = backend.bus.as_another_process().await.unwrap();
    serve_in(&serving(), &other).await;
    for number in 0..20 {
        let (answer, took) = double(&backend.bus, number).await;
        assert_eq!(answer, Ok(number * 2));
        assert!(took < NO_LONGER, "{number}: {took:?}");
    }
}

/// What a replica knows of the request that it handles.
type Handled = Arc<Mutex<Vec<Asked>>>;

/// Goal: a request that a replica has begun to handle is handled by another one when it freezes, which is told so.
/// Method: the handler blocks the whole of the replica's runtime.
pub async fn request_in_the_hand_of_a_replica_that_freezes_is_repeated_at_another(
    backend: Backend,
) {
    let handled = Handled::default();
    let (release, released) = mpsc::sync_channel::<()>(0);
    let released = Mutex::new(released);
    let begun = Arc::clone(&handled);
    let freezes = move |_: Double, asked: Asked| {
        begun.lock().unwrap().push(asked);
        assert!(
            released.lock().unwrap().recv().is_err(),
            "nothing is sent, it is let go"
        );
        std::future::ready(Ok(0))
    };
    let mut replica = Replica::frozen(&backend.bus, freezes).await;
    replica.thaw();
    let bus = backend.bus.clone();
    let asking = tokio::spawn(async move { bus.request(&Double { number: 21 }, WITHIN).await });
    while handled.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let other = backend.bus.as_another_process().await.unwrap();
    let repeated = Arc::clone(&handled);
    let answers = move |request: Double, asked: Asked| {
        repeated.lock().unwrap().push(asked);
        std::future::ready(Ok(request.number * 2))
    };
    other
        .serve_repeatable("test", &serving(), answers)
        .await
        .unwrap();
    assert_eq!(asking.await.unwrap(), Ok(42));
    let handled = handled.lock().unwrap().clone();
    assert_eq!(handled.len(), 2, "{handled:?}");
    assert!(
        !handled[0].is_repeated() && handled[1].is_repeated(),
        "{handled:?}"
    );
    assert_eq!(handled[0].request, handled[1].request);
    drop(release);
}

pub async fn request_that_takes_long_is_handled_once(backend: Backend) {
    let count = Arc::<AtomicUsize>::default();
    let mut replicas = Vec::new();
    for _ in 0..2 {
        let replica = backend.bus.as_another_process().await.unwrap();
        let count = Arc::clone(&count);
        let slow = move |request: Double| {
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                sleep(WITHIN / 4 * 3).await;
                Ok(request.number * 2)
            }
        };
        replica.serve("test", &serving(), slow).await.unwrap();
        replicas.push(replica);
    }
    assert_eq!(double(&backend.bus, 21).await.0, Ok(42));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

/// Goal: requests are not multiplied where there are too many, and those whose callers have given up are not handled.
/// Method: as many as are handled at once are held back, and one more is asked.
pub async fn request_that_waits_for_others_is_not_repeated_nor_handled_too_late(backend: Backend) {
    let count = Arc::<AtomicUsize>::default();
    let gate = Arc::new(Semaphore::new(0));
    let other = backend.bus.as_another_process().await.unwrap();
    let handler = {
        let count = Arc::clone(&count);
        let gate = Arc::clone(&gate);
        move |request: Double| {
            count.fetch_add(1, Ordering::SeqCst);
            let gate = Arc::clone(&gate);
            async move {
                drop(gate.acquire().await);
                Ok(request.number)
            }
        }
    };
    other.serve("test", &serving(), handler).await.unwrap();
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..AT_ONCE as u32 {
        let bus = backend.bus.clone();
        asking.spawn(async move { bus.request(&Double { number }, WITHIN * 10).await });
    }
    while count.load(Ordering::SeqCst) < AT_ONCE {
        sleep(Duration::from_millis(1)).await;
    }
    let late = backend
        .bus
        .request(&Double { number: 7 }, WITHIN / 2)
        .await
        .unwrap_err();
    assert_eq!(late.code, Code::Timeout);
    gate.close();
    assert!(
        asking
            .join_all()
            .await
            .into_iter()
            .all(|answer| answer.is_ok())
    );
    assert_eq!(double(&backend.bus, 8).await.0, Ok(8));
    assert_eq!(
        count.load(Ordering::SeqCst),
        AT_ONCE + 1,
        "the late one is left out"
    );
}

/// A replica leaves: who asked it alone, since another is frozen, is served by the one that comes.
pub async fn replica_that_has_gone_is_asked_no_more(backend: Backend) {
    let leaving = serving();
    let one = backend.bus.as_another_process().await.unwrap();
    serve_in(&leaving, &one).await;
    let _frozen = Replica::frozen(&backend.bus, counting(&Arc::default())).await;
    for number in 0..5 {
        assert_eq!(double(&backend.bus, number).await.0, Ok(number * 2));
    }
    let new = backend.bus.as_another_process().await.unwrap();
    serve_in(&serving(), &new).await;
    leaving.stopping.cancel();
    leaving.tasks.close();
    leaving.tasks.wait().await;
    for number in 0..20 {
        let (answer, took) = double(&backend.bus, number).await;
        assert_eq!(answer, Ok(number * 2));
        assert!(took < NO_LONGER, "{number}: {took:?}");
    }
}
