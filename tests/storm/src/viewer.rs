//! A viewer over HTTP-FLV that comes again whenever its connection ends, and checks that pictures come once and in order.

use crate::publisher::number_of;
use crate::recorder::Recorder;
use crate::wires::Wires;
use astral_media::flv::{FlvReader, TYPE_VIDEO};
use astral_proto::Slug;
use astral_relay::ListenerKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Before a viewer whose connection ended comes again.
const RETRY: Duration = Duration::from_secs(1);
/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// What a viewer has got.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Pictures.
    pub pictures: u64,
    /// When the last one came.
    pub last: Option<Instant>,
    /// The status by which it was last refused; None if it never was.
    pub refused: Option<u16>,
}

/// A viewer of one stream at one relay; gone when dropped.
pub struct Viewer {
    /// The relay, by the number of its place.
    pub place: usize,
    /// What it watches.
    pub slug: Slug,
    /// Since when it is there.
    pub since: Instant,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Viewer {
    /// Watches `slug` at the relay at `address`, which has the number `place`.
    pub fn start(
        place: usize,
        address: String,
        slug: &Slug,
        wires: &Wires,
        recorder: &Recorder,
    ) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let watching = Watching {
            address,
            slug: slug.clone(),
            wires: wires.clone(),
            recorder: recorder.clone(),
            seen: seen.clone(),
        };
        Self {
            place,
            slug: slug.clone(),
            since: Instant::now(),
            seen,
            task: tokio::spawn(watching.run()),
        }
    }

    /// What it has got.
    pub fn seen(&self) -> Seen {
        *lock(&self.seen)
    }

    /// Whether a picture came within `time`.
    pub fn saw_within(&self, time: Duration) -> bool {
        self.seen().last.is_some_and(|last| last.elapsed() < time)
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Watching {
    address: String,
    slug: Slug,
    wires: Wires,
    recorder: Recorder,
    seen: Arc<Mutex<Seen>>,
}

impl Watching {
    async fn run(self) {
        loop {
            if let Some(socket) = self.wires.knock(&self.address, ListenerKind::Media) {
                // How it ended makes no difference: it comes again.
                drop(self.watch(socket).await);
            }
            sleep(RETRY).await;
        }
    }

    async fn watch(&self, mut socket: DuplexStream) -> std::io::Result<()> {
        let request = format!(
            "GET /live/{}.flv HTTP/1.1\r\nHost: relay\r\n\r\n",
            self.slug
        );
        socket.write_all(request.as_bytes()).await?;
        let (status, mut bytes) = read_head(&mut socket).await?;
        if status != 200 {
            lock(&self.seen).refused = Some(status);
            return Ok(());
        }
        let mut reader = FlvReader::new();
        let mut last = None;
        loop {
            self.take(&mut reader, &bytes, &mut last);
            bytes.clear();
            if socket.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
    }

    fn take(&self, reader: &mut FlvReader, bytes: &[u8], last: &mut Option<u64>) {
        let broken = |error: &dyn std::fmt::Display| {
            let what = format!("a viewer of {} at {}: {error}", self.slug, self.address);
            self.recorder.break_with(what);
        };
        if let Err(error) = reader.push(bytes) {
            return broken(&error);
        }
        loop {
            match reader.next_tag() {
                Ok(None) => return,
                Err(error) => return broken(&error),
                Ok(Some(tag)) if tag.tag_type == TYPE_VIDEO => {
                    let Some(number) = number_of(&tag.body) else {
                        continue;
                    };
                    if last.is_some_and(|last| last >= number) {
                        broken(&format!("picture {number} after {last:?}"));
                    }
                    *last = Some(number);
                    let mut seen = lock(&self.seen);
                    seen.pictures += 1;
                    seen.last = Some(Instant::now());
                }
                Ok(Some(_)) => {}
            }
        }
    }
}

/// Reads the head of an answer: its status, 0 if there is none, and what of the body came with it.
async fn read_head(socket: &mut DuplexStream) -> std::io::Result<(u16, Vec<u8>)> {
    const END: &[u8] = b"\r\n\r\n";
    let mut bytes = Vec::with_capacity(HEAD_BYTES_MAX);
    loop {
        if let Some(at) = bytes.windows(END.len()).position(|window| window == END) {
            let status = status(&bytes).unwrap_or_default();
            return Ok((status, bytes.split_off(at + END.len())));
        }
        if bytes.len() > HEAD_BYTES_MAX || socket.read_buf(&mut bytes).await? == 0 {
            return Ok((0, Vec::new()));
        }
    }
}

/// The status in `HTTP/1.1 STATUS ...`.
fn status(head: &[u8]) -> Option<u16> {
    let status = head.get(9..12)?;
    std::str::from_utf8(status).ok()?.parse().ok()
}
