//! A subscriber of a relay link that checks that no frame is missing.

use astral_media::frame::Parameters;
use astral_media::record::{self, Record};
use astral_proto::{FrameId, NodeId};
use bytes::BytesMut;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// What a link has received so far.
#[derive(Clone, Debug, Default)]
pub struct Brought {
    /// The newest frame.
    pub newest: Option<FrameId>,
    /// The number of frames.
    pub frames: usize,
    /// The epochs, in order.
    pub epochs: Vec<u64>,
    /// The discontinuity sequence of the newest GOP.
    pub discontinuity: u64,
    /// The number of GOPs at which no decoder can start.
    pub dependent_gops: usize,
    /// The newest path.
    pub path: Vec<NodeId>,
    /// The number of GOPs without a known end, because another publisher took over.
    pub open_gops: usize,
    /// What was missing first; `None` if nothing was.
    pub fault: Option<String>,
    /// How the link ended; `None` while it is open.
    pub ending: Option<String>,
    expected: Option<FrameId>,
}

/// A link that is read until it ends or is dropped.
pub struct Link {
    brought: Arc<Mutex<Brought>>,
    task: JoinHandle<()>,
}

impl Link {
    /// Opens a link to `slug` at the media listener `media` with `token`, from the oldest GOP that
    /// is there.
    pub fn start(media: SocketAddr, slug: &str, token: &str) -> Self {
        let brought = Arc::new(Mutex::new(Brought::default()));
        let request = format!(
            "GET /relay/{slug} HTTP/1.1\r\nHost: {media}\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        let shared = brought.clone();
        let task = tokio::spawn(async move {
            let ending = follow(media, request, &shared).await;
            let ending = ending.map_or_else(|error| error.to_string(), str::to_owned);
            shared.lock().unwrap_or_else(PoisonError::into_inner).ending = Some(ending);
        });
        Self { brought, task }
    }

    /// Returns what it has received.
    ///
    /// # Panics
    /// If a frame was missing.
    pub fn brought(&self) -> Brought {
        let brought = self
            .brought
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(fault) = &brought.fault {
            panic!("{fault}");
        }
        brought
    }

    /// Waits until it receives a later GOP, and is still open.
    ///
    /// # Panics
    /// If that does not happen.
    pub async fn goes_on(&self) {
        let gop_of = |brought: &Brought| brought.newest.map_or(0, |newest| newest.gop);
        let gop = gop_of(&self.brought());
        crate::eventually("a link brings the next GOP", || async {
            let brought = self.brought();
            assert_eq!(
                brought.ending, None,
                "the link ended at {:?}",
                brought.newest
            );
            (gop_of(&brought) > gop).then_some(())
        })
        .await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    media: SocketAddr,
    request: String,
    brought: &Mutex<Brought>,
) -> anyhow::Result<&'static str> {
    let mut socket = TcpStream::connect(media).await?;
    socket.write_all(request.as_bytes()).await?;
    let (status, rest) = crate::viewer::read_head(&mut socket).await?;
    anyhow::ensure!(status == 200, "refused with {status}");
    let mut buffer = BytesMut::from(&rest[..]);
    let mut parameters: Option<Arc<Parameters>> = None;
    loop {
        while let Some(record) = record::read(&mut buffer, &mut parameters)? {
            if record == Record::Ended {
                return Ok("ended");
            }
            brought
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(record);
        }
        if socket.read_buf(&mut buffer).await? == 0 {
            return Ok("closed");
        }
    }
}

impl Brought {
    fn take(&mut self, record: Record) {
        match record {
            Record::Path(path) => self.path = path,
            Record::Start(start) => {
                self.see_epoch(start.parameters.epoch, start.gop);
                self.expect(FrameId::new(start.gop, 0));
                self.expected = Some(FrameId::new(start.gop, 0));
                self.discontinuity = start.discontinuity;
                self.dependent_gops += usize::from(!start.independent);
            }
            Record::Frame(frame) => {
                self.expect(frame.id);
                self.expected = Some(frame.id.next());
                self.newest = Some(frame.id);
                self.frames += 1;
            }
            Record::End(end) => {
                self.expect(FrameId::new(end.gop, end.frames));
                self.expected = Some(FrameId::new(end.gop + 1, 0));
            }
            Record::Parameters(_)
            | Record::KeepAlive { .. }
            | Record::Ended
            | Record::Version(_) => {}
        }
    }

    fn see_epoch(&mut self, epoch: u64, gop: u64) {
        if self.epochs.last() == Some(&epoch) {
            return;
        }
        self.epochs.push(epoch);
        let open = self
            .expected
            .filter(|expected| expected.number > 0 && expected.gop + 1 == gop);
        if open.is_some() {
            self.open_gops += 1;
            self.expected = None;
        }
    }

    fn expect(&mut self, got: FrameId) {
        if let Some(expected) = self.expected.filter(|expected| *expected != got) {
            self.fault
                .get_or_insert(format!("{got} came where {expected} was due"));
        }
    }
}
