//! A proxy between two processes that can be cut, with or without telling them, or delayed.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// Bytes per piece.
const CARRIED_BYTES: usize = 64 << 10;
/// Most pieces in flight. A long delay with more traffic slows its sender down.
const ON_THEIR_WAY_MAX: usize = 4096;

/// Forwards connections to a target, or to several in turn, until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    targets: Targets,
    passage: watch::Sender<Passage>,
    delay: watch::Sender<Duration>,
    task: JoinHandle<()>,
}

/// The targets, the next one first.
type Targets = Arc<Mutex<VecDeque<SocketAddr>>>;

/// Whether data arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passage {
    /// It arrives.
    Open,
    /// It does not arrive, and nobody is told.
    Held,
    /// All connections are closed, also new ones.
    Cut,
}

impl Proxy {
    /// Starts on a free port, without a target.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let targets = Targets::default();
        let passage = watch::Sender::new(Passage::Open);
        let delay = watch::Sender::new(Duration::ZERO);
        let wire = Wire {
            passage: passage.subscribe(),
            delay: delay.subscribe(),
        };
        let task = tokio::spawn(accept(listener, Arc::clone(&targets), wire));
        Self {
            address,
            targets,
            passage,
            delay,
            task,
        }
    }

    /// Returns its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forwards new connections to `target`.
    pub fn lead_to(&self, target: SocketAddr) {
        self.spread_over(&[target]);
    }

    /// Forwards new connections to each of `targets` in turn, like a load balancer.
    pub fn spread_over(&self, targets: &[SocketAddr]) {
        *lock(&self.targets) = targets.iter().copied().collect();
    }

    /// Delays everything that the target sends by `delay`. The other direction is not delayed.
    pub fn delay(&self, delay: Duration) {
        self.delay.send_replace(delay);
    }

    /// Forwards nothing in either direction: no bytes, no close, no refusal.
    pub fn part(&self) {
        self.passage.send_replace(Passage::Held);
    }

    /// Closes all connections, also new ones.
    pub fn cut(&self) {
        self.passage.send_replace(Passage::Cut);
    }

    /// Forwards again, beginning with what was held back.
    pub fn mend(&self) {
        self.passage.send_replace(Passage::Open);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The state of the proxy.
#[derive(Clone)]
struct Wire {
    passage: watch::Receiver<Passage>,
    delay: watch::Receiver<Duration>,
}

impl Wire {
    /// Waits until it is cut; forever if nobody can cut it any more.
    async fn until_cut(mut self) {
        if self
            .passage
            .wait_for(|passage| *passage == Passage::Cut)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }
}

fn lock(targets: &Targets) -> MutexGuard<'_, VecDeque<SocketAddr>> {
    targets.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the next target and moves it to the end.
fn take_turn(targets: &Targets) -> Option<SocketAddr> {
    let mut targets = lock(targets);
    let next = targets.pop_front()?;
    targets.push_back(next);
    Some(next)
}

async fn accept(listener: TcpListener, targets: Targets, wire: Wire) {
    let mut carried = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let target = take_turn(&targets);
        let wire = wire.clone();
        carried.spawn(async move {
            tokio::select! {
                () = wire.clone().until_cut() => {}
                () = carry(near, target, wire) => {}
            }
        });
        while carried.try_join_next().is_some() {}
    }
}

async fn carry(near: TcpStream, target: Option<SocketAddr>, mut wire: Wire) {
    let Some(target) = target else { return };
    if wire
        .passage
        .wait_for(|passage| *passage == Passage::Open)
        .await
        .is_err()
    {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    // The proxy should not add delay. Where this option is not available, answers are only later.
    drop((near.set_nodelay(true), far.set_nodelay(true)));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let there = Wire {
        delay: watch::channel(Duration::ZERO).1,
        ..wire.clone()
    };
    tokio::join!(
        pump(near_read, far_write, there),
        pump(far_read, near_write, wire)
    );
}

/// Forwards one direction, including the end.
async fn pump(mut from: OwnedReadHalf, to: OwnedWriteHalf, wire: Wire) {
    let (queue, pieces) = mpsc::channel(ON_THEIR_WAY_MAX);
    let delay = wire.delay.clone();
    let reading = async move {
        let mut bytes = vec![0; CARRIED_BYTES];
        loop {
            let count = from.read(&mut bytes).await.unwrap_or(0);
            let due = Instant::now() + *delay.borrow();
            if queue.send((due, bytes[..count].to_vec())).await.is_err() || count == 0 {
                return;
            }
        }
    };
    tokio::join!(reading, deliver(pieces, to, wire.passage));
}

/// Delivers each piece when it is due, until an empty one.
async fn deliver(
    mut pieces: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut to: OwnedWriteHalf,
    mut passage: watch::Receiver<Passage>,
) {
    while let Some((due, piece)) = pieces.recv().await {
        sleep_until(due).await;
        let opened = passage
            .wait_for(|passage| *passage == Passage::Open)
            .await
            .is_ok();
        if !opened || piece.is_empty() {
            return;
        }
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
}
