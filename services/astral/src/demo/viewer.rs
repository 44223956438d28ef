//! The viewer of the demo: it reads HTTP-FLV and checks that every picture arrives.

use astral_media::flv::{FlvReader, TYPE_VIDEO, Tag};
use astral_runtime::lock;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

/// Pictures that the publisher sends in a second, at equal intervals.
pub const PICTURES_PER_SECOND: u32 = 30;
/// Longest response head of the relay, in bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// How long the viewer waits before it connects again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// A viewer that watches until it is dropped.
pub struct Viewer {
    record: Arc<Mutex<Record>>,
    _watching: AbortOnDropHandle<()>,
}

/// What a viewer saw since the last report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Pictures that arrived.
    pub pictures: u32,
    /// Pictures that are missing between those.
    pub lost: u32,
    /// The longest time between the arrivals of two pictures.
    pub longest_wait: Duration,
    /// How often the connection broke.
    pub breaks: u32,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pictures,
            lost,
            longest_wait,
            breaks,
        } = self;
        let normal = 1_000 / PICTURES_PER_SECOND;
        write!(
            formatter,
            "its viewer: {lost} of {pictures} pictures lost, longest wait for one {} ms ({normal} is normal)",
            longest_wait.as_millis()
        )?;
        if *breaks > 0 {
            write!(formatter, ", {breaks} broken connections")?;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Record {
    report: Report,
    /// When the newest picture arrived, and its timestamp in milliseconds.
    newest: Option<(Instant, u32)>,
}

impl Record {
    /// Counts a broken connection. A connection without a picture has not started yet.
    fn count_break(&mut self) {
        if self.newest.is_some() {
            self.report.breaks += 1;
        }
    }

    fn take_picture(&mut self, timestamp_ms: u32, now: Instant) {
        if let Some((arrived, before_ms)) = self.newest {
            self.report.longest_wait = self.report.longest_wait.max(now - arrived);
            let elapsed = timestamp_ms.saturating_sub(before_ms);
            // Timestamps are rounded to milliseconds.
            let intervals = (elapsed * PICTURES_PER_SECOND + 500) / 1_000;
            self.report.lost += intervals.saturating_sub(1);
        }
        self.report.pictures += 1;
        self.newest = Some((now, timestamp_ms));
    }
}

impl Viewer {
    /// Watches `slug` at the media listener `media`.
    pub fn start(media: SocketAddr, slug: &str) -> Self {
        let record = Arc::<Mutex<Record>>::default();
        let request = format!("GET /live/{slug}.flv HTTP/1.1\r\nHost: {media}\r\n\r\n");
        let watching = watch(media, request, record.clone());
        Self {
            record,
            _watching: AbortOnDropHandle::new(tokio::spawn(watching)),
        }
    }

    /// Returns what it saw since the last call.
    pub fn take_report(&self) -> Report {
        std::mem::take(&mut lock(&self.record).report)
    }
}

async fn watch(media: SocketAddr, request: String, record: Arc<Mutex<Record>>) {
    loop {
        if let Err(error) = read(media, &request, &record).await {
            tracing::debug!(%error, "the demo's viewer reconnects");
        }
        lock(&record).count_break();
        sleep(RECONNECT_PAUSE).await;
    }
}

async fn read(media: SocketAddr, request: &str, record: &Mutex<Record>) -> anyhow::Result<()> {
    let mut socket = TcpStream::connect(media).await?;
    socket.write_all(request.as_bytes()).await?;
    let mut bytes = read_head(&mut socket).await?;
    let mut reader = FlvReader::new();
    loop {
        reader.push(&bytes)?;
        while let Some(tag) = reader.next_tag()? {
            if is_picture(&tag) {
                lock(record).take_picture(tag.timestamp_ms, Instant::now());
            }
        }
        bytes.clear();
        anyhow::ensure!(
            socket.read_buf(&mut bytes).await? > 0,
            "the relay closed the connection"
        );
    }
}

/// Reads the response head. Returns the part of the body that came with it.
async fn read_head(socket: &mut TcpStream) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        anyhow::ensure!(
            socket.read_buf(&mut bytes).await? > 0,
            "the relay closed the connection"
        );
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            anyhow::ensure!(
                bytes.starts_with(b"HTTP/1.1 200"),
                "the relay has no stream yet"
            );
            return Ok(bytes.split_off(end + 4));
        }
        anyhow::ensure!(
            bytes.len() < HEAD_BYTES_MAX,
            "the head of the answer is too long"
        );
    }
}

/// Whether a tag is a picture, and not a codec configuration.
fn is_picture(tag: &Tag) -> bool {
    tag.tag_type == TYPE_VIDEO && tag.body.get(1) == Some(&1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_pictures_and_the_longest_wait_are_counted() {
        let begin = Instant::now();
        let mut record = Record::default();
        for (timestamp_ms, arrives_ms) in [(0, 0), (33, 33), (67, 110), (200, 200)] {
            record.take_picture(timestamp_ms, begin + Duration::from_millis(arrives_ms));
        }
        let expected = Report {
            pictures: 4,
            lost: 3,
            longest_wait: Duration::from_millis(90),
            breaks: 0,
        };
        assert_eq!(record.report, expected);
    }
}
