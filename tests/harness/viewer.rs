//! An HTTP-FLV viewer that checks every frame that it receives.

use astral_media::flv::{FlvReader, TYPE_AUDIO, TYPE_VIDEO, Tag};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// Most viewers that fill a relay.
const CROWD_MAX: usize = 64;
/// Size of the head of the file, and size of the field after each tag.
const FILE_HEAD_BYTES: usize = 13;
const AROUND_TAG_BYTES: usize = 15;

/// A frame as a viewer received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// 8 is audio, 9 video.
    pub tag_type: u8,
    /// Whether a decoder can start at it.
    pub keyframe: bool,
    /// Decoding time, milliseconds.
    pub timestamp_ms: u32,
    /// Hash of the body of the tag.
    pub hash: u64,
}

/// How a viewer's connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The connection ended after a complete tag.
    AtTagBorder,
    /// The connection ended within a tag, before the first tag, or with an error.
    Torn(String),
    /// The viewer was refused.
    Refused(u16),
}

#[derive(Default)]
struct Record {
    frames: Vec<Seen>,
    /// When each of them arrived.
    arrivals: Vec<Instant>,
    configurations: usize,
    fault: Option<String>,
    ending: Option<Ending>,
}

/// A viewer that reads until its connection ends or it is dropped.
pub struct Viewer {
    record: Arc<Mutex<Record>>,
    task: JoinHandle<()>,
}

impl Viewer {
    /// Watches `slug` at the media listener `media`.
    pub fn start(media: SocketAddr, slug: &str) -> Self {
        Self::ask(media, &format!("/live/{slug}.flv"), "")
    }

    /// Watches the media at `path`, as part of the trace of `traceparent`.
    pub fn start_traced(media: SocketAddr, path: &str, traceparent: &str) -> Self {
        Self::ask(media, path, &format!("traceparent: {traceparent}\r\n"))
    }

    /// Watches `slug` over an open connection to a relay.
    pub fn over(socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, slug: &str) -> Self {
        let request = request(&format!("/live/{slug}.flv"), "");
        Self::follow(move |record| async move { read(socket, &request, &record).await })
    }

    fn ask(media: SocketAddr, path: &str, fields: &str) -> Self {
        let request = request(path, fields);
        Self::follow(move |record| async move {
            read(TcpStream::connect(media).await?, &request, &record).await
        })
    }

    fn follow<F>(reading: impl FnOnce(Arc<Mutex<Record>>) -> F) -> Self
    where
        F: Future<Output = anyhow::Result<Ending>> + Send + 'static,
    {
        let record = Arc::new(Mutex::new(Record::default()));
        let reading = reading(record.clone());
        let shared = record.clone();
        let task = tokio::spawn(async move {
            let ending = reading
                .await
                .unwrap_or_else(|error| Ending::Torn(error.to_string()));
            lock(&shared).ending = Some(ending);
        });
        Self { record, task }
    }

    /// Returns the number of frames so far.
    pub fn count(&self) -> usize {
        self.lock().frames.len()
    }

    /// Returns the number of configurations so far: one for each track and each change of
    /// parameters.
    pub fn configurations(&self) -> usize {
        self.lock().configurations
    }

    /// Returns all frames so far.
    ///
    /// # Panics
    /// If decoding times did not strictly rise within a track.
    pub fn frames(&self) -> Vec<Seen> {
        let record = self.lock();
        if let Some(fault) = &record.fault {
            panic!("{fault}");
        }
        record.frames.clone()
    }

    /// Returns the longest time between two frames of which the second came after `since`.
    pub fn longest_gap(&self, since: Instant) -> Duration {
        let record = self.lock();
        let pairs = record.arrivals.windows(2).filter(|pair| pair[1] > since);
        pairs
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or_default()
    }

    /// Returns how the connection ended; `None` while it is open.
    pub fn ending(&self) -> Option<Ending> {
        self.lock().ending.clone()
    }

    /// Waits for `more` additional frames.
    ///
    /// # Panics
    /// If they do not come, or the connection ends.
    pub async fn sees_more(&self, more: usize) {
        let wanted = self.count() + more;
        crate::eventually("a viewer sees more frames", || async {
            assert_eq!(
                self.ending(),
                None,
                "the viewer's connection ended after {} frames",
                self.count()
            );
            (self.count() >= wanted).then_some(())
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts viewers of `slug` at `media` until there is no more room.
///
/// # Panics
/// If there is room for more than 64 viewers.
pub async fn fill(media: SocketAddr, slug: &str) -> Vec<Viewer> {
    let mut crowd = Vec::new();
    while crowd.len() < CROWD_MAX {
        let viewer = Viewer::start(media, slug);
        if !is_let_in(&viewer).await {
            return crowd;
        }
        crowd.push(viewer);
    }
    panic!("there is room for {CROWD_MAX} viewers");
}

async fn is_let_in(viewer: &Viewer) -> bool {
    crate::eventually("a viewer is let in or refused", || async {
        match viewer.ending() {
            Some(Ending::Refused(_)) => Some(false),
            _ => (viewer.count() > 0).then_some(true),
        }
    })
    .await
}

/// Compares the frames of two viewers, from the first to the last that both have. Returns their
/// number.
///
/// # Panics
/// If one of them lacks a frame that the other has.
pub fn assert_same_frames(one: &Viewer, other: &Viewer) -> usize {
    let one = one.frames();
    let other = other.frames();
    let joins =
        |earlier: &[Seen], later: &[Seen]| earlier.iter().position(|seen| *seen == later[0]);
    let (one, other) = match (joins(&one, &other), joins(&other, &one)) {
        (Some(at), _) => (as_joined(&one[at..], &other), other),
        (None, Some(at)) => (as_joined(&other[at..], &one), one),
        (None, None) => panic!("no common frame: {:?} and {:?}", one.first(), other.first()),
    };
    let common = one.len().min(other.len());
    let differs = (0..common).find(|at| one[*at] != other[*at]);
    if let Some(at) = differs {
        panic!(
            "frame {at} of {common} differs: {:?} and {:?}",
            one[at], other[at]
        );
    }
    common
}

/// Returns the frames of `earlier` that a viewer who saw `later` must have. A viewer gets no audio
/// from before its first picture.
fn as_joined(earlier: &[Seen], later: &[Seen]) -> Vec<Seen> {
    let first_sound = later.iter().find(|seen| seen.tag_type == TYPE_AUDIO);
    let heard = first_sound
        .and_then(|sound| earlier.iter().position(|seen| seen == sound))
        .unwrap_or_default();
    let left_out = |at: usize, seen: &Seen| at < heard && seen.tag_type == TYPE_AUDIO;
    let kept = earlier
        .iter()
        .enumerate()
        .filter(|(at, seen)| !left_out(*at, seen));
    kept.map(|(_, seen)| seen.clone()).collect()
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

fn request(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: relay\r\n{fields}\r\n")
}

async fn read<S>(mut socket: S, request: &str, record: &Mutex<Record>) -> anyhow::Result<Ending>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    socket.write_all(request.as_bytes()).await?;
    let (status, mut bytes) = read_head(&mut socket).await?;
    if status != 200 {
        return Ok(Ending::Refused(status));
    }
    let mut reader = FlvReader::new();
    let mut got = bytes.len();
    let mut taken = FILE_HEAD_BYTES;
    loop {
        reader.push(&bytes)?;
        while let Some(tag) = reader.next_tag()? {
            taken += tag.body.len() + AROUND_TAG_BYTES;
            lock(record).take(&tag);
        }
        bytes.clear();
        let count = socket.read_buf(&mut bytes).await?;
        got += count;
        if count == 0 {
            let torn = || Ending::Torn(format!("{got} bytes came, whole tags are {taken}"));
            return Ok(if got == taken {
                Ending::AtTagBorder
            } else {
                torn()
            });
        }
    }
}

/// Reads the head of an answer. Returns the status and the part of the body that came with it.
pub(crate) async fn read_head(
    socket: &mut (impl AsyncRead + Unpin),
) -> anyhow::Result<(u16, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(64 << 10);
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut fields);
        if let httparse::Status::Complete(length) = head.parse(&bytes)? {
            let status = head.code.unwrap_or_default();
            return Ok((status, bytes.split_off(length)));
        }
        anyhow::ensure!(bytes.len() < HEAD_BYTES_MAX, "the head is too long");
        anyhow::ensure!(
            socket.read_buf(&mut bytes).await? > 0,
            "closed before the head was whole"
        );
    }
}

impl Record {
    fn take(&mut self, tag: &Tag) {
        if !matches!(tag.tag_type, TYPE_AUDIO | TYPE_VIDEO) {
            return;
        }
        if tag.body.get(1) == Some(&0) {
            self.configurations += 1;
            return;
        }
        let mut hasher = DefaultHasher::new();
        tag.body.hash(&mut hasher);
        let keyframe =
            tag.tag_type == TYPE_VIDEO && tag.body.first().is_some_and(|head| head >> 4 == 1);
        let tag_type = tag.tag_type;
        let timestamp_ms = tag.timestamp_ms;
        let seen = Seen {
            tag_type,
            keyframe,
            timestamp_ms,
            hash: hasher.finish(),
        };
        let before = self
            .frames
            .iter()
            .rev()
            .find(|frame| frame.tag_type == seen.tag_type);
        if let Some(before) = before.filter(|before| before.timestamp_ms >= seen.timestamp_ms) {
            self.fault.get_or_insert(format!(
                "decoding times do not rise: {before:?}, then {seen:?}"
            ));
        }
        self.frames.push(seen);
        self.arrivals.push(Instant::now());
    }
}
