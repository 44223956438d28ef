//! A wire between two relays that can be cut without either of them being told.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What is carried at once, in bytes.
const CARRIED_BYTES: usize = 64 << 10;

/// Carries connections to a target, until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
    passes: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// On a free port, leading nowhere yet.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let target = Arc::default();
        let (passes, watched) = watch::channel(true);
        let task = tokio::spawn(accept(listener, Arc::clone(&target), watched));
        Self { address, target, passes, task }
    }

    /// What to advertise.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Carries connections that are made from now on to `target`.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = Some(target);
    }

    /// Carries nothing any more, either way: no byte, no close, no refusal.
    pub fn part(&self) {
        self.passes.send_replace(false);
    }

    /// Carries again, what was held back first.
    pub fn mend(&self) {
        self.passes.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: Arc<Mutex<Option<SocketAddr>>>,
    passes: watch::Receiver<bool>,
) {
    let mut carried = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let target = *target.lock().unwrap_or_else(PoisonError::into_inner);
        carried.spawn(carry(near, target, passes.clone()));
        while carried.try_join_next().is_some() {}
    }
}

async fn carry(near: TcpStream, target: Option<SocketAddr>, mut passes: watch::Receiver<bool>) {
    let Some(target) = target else { return };
    if passes.wait_for(|passes| *passes).await.is_err() {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else { return };
    // The wire adds no wait of its own; where that cannot be asked for, what it shows is only later.
    drop((near.set_nodelay(true), far.set_nodelay(true)));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::join!(pump(near_read, far_write, passes.clone()), pump(far_read, near_write, passes));
}

/// Carries one way; the end of what is read is carried too.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut passes: watch::Receiver<bool>) {
    let mut bytes = vec![0; CARRIED_BYTES];
    loop {
        let count = from.read(&mut bytes).await.unwrap_or(0);
        if passes.wait_for(|passes| *passes).await.is_err() || count == 0 {
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
