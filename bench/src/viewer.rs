//! Viewers that read and discard, and a few that look at what they read.

use crate::publisher::{now, sent_at};
use anyhow::{Context, Result, ensure};
use astral_media::flv::{FlvReader, TYPE_VIDEO};
use bytes::BytesMut;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const READ_BYTES: usize = 64 << 10;
/// How often a viewer is looked at.
const LOOK: Duration = Duration::from_millis(1);
const FIRST_BYTE_WAIT: Duration = Duration::from_secs(15);

/// A picture that arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When it was sent, nanoseconds.
    pub sent: u64,
    /// When it was here whole, nanoseconds.
    pub arrived: u64,
}

impl Arrival {
    /// Milliseconds in between.
    pub fn latency_ms(&self) -> f64 {
        (self.arrived - self.sent) as f64 / 1e6
    }
}

/// A viewer of an endless response; gone when dropped.
pub struct Viewer {
    bytes: Arc<AtomicU64>,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    reading: JoinHandle<Result<()>>,
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Viewer {
    /// Connects, and reads and discards from then on.
    ///
    /// # Errors
    /// If it cannot connect.
    pub async fn discarding(address: SocketAddr, target: &str) -> Result<Self> {
        Self::connect(address, target, false).await
    }

    /// The same, but looks at what it reads.
    ///
    /// # Errors
    /// If it cannot connect.
    pub async fn looking(address: SocketAddr, target: &str) -> Result<Self> {
        Self::connect(address, target, true).await
    }

    async fn connect(address: SocketAddr, target: &str, looks: bool) -> Result<Self> {
        let mut socket = TcpStream::connect(address).await?;
        socket
            .write_all(format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())
            .await?;
        let bytes = Arc::<AtomicU64>::default();
        let arrivals = Arc::<Mutex<Vec<_>>>::default();
        let reading = match looks {
            true => tokio::spawn(look(socket, bytes.clone(), arrivals.clone())),
            false => tokio::spawn(discard(socket, bytes.clone())),
        };
        Ok(Self {
            bytes,
            arrivals,
            reading,
        })
    }

    /// Waits until something has come.
    ///
    /// # Errors
    /// If nothing does.
    pub async fn begun(&self) -> Result<()> {
        let begun = async {
            while self.bytes() == 0 && !self.reading.is_finished() {
                tokio::time::sleep(LOOK).await;
            }
        };
        timeout(FIRST_BYTE_WAIT, begun)
            .await
            .context("a viewer gets nothing")?;
        ensure!(self.bytes() > 0, "a viewer was refused");
        Ok(())
    }

    /// How much has come.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes the pictures that have come since this was last asked.
    pub fn take_arrivals(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.arrivals.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for the first picture since this was last asked.
    ///
    /// # Errors
    /// If the stream ends before.
    pub async fn first_picture(&self) -> Result<Arrival> {
        loop {
            if let Some(first) = self.take_arrivals().first() {
                return Ok(*first);
            }
            ensure!(
                !self.reading.is_finished(),
                "the stream ended before its first picture"
            );
            tokio::time::sleep(LOOK).await;
        }
    }
}

async fn discard(mut socket: TcpStream, bytes: Arc<AtomicU64>) -> Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = socket.read(&mut buffer).await?;
        ensure!(read > 0, "the server closed");
        let refused = bytes.load(Ordering::Relaxed) == 0 && is_refusal(&buffer[..read]);
        ensure!(
            !refused,
            "refused: {}",
            String::from_utf8_lossy(&buffer[..read])
        );
        bytes.fetch_add(read as u64, Ordering::Relaxed);
    }
}

/// The bare loop answers with bare bytes; whoever speaks HTTP must say 200.
fn is_refusal(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 ") && !answer.starts_with(b"HTTP/1.1 200 ")
}

async fn look(
    mut socket: TcpStream,
    bytes: Arc<AtomicU64>,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
) -> Result<()> {
    let mut flv = FlvReader::new();
    let mut buffer = skip_head(&mut socket).await?;
    loop {
        flv.push(&buffer)?;
        bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        buffer.clear();
        while let Some(tag) = flv.next_tag()? {
            if let Some(sent) = sent_at(&tag.body).filter(|_| tag.tag_type == TYPE_VIDEO) {
                let arrival = Arrival {
                    sent,
                    arrived: now(),
                };
                arrivals
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(arrival);
            }
        }
        buffer.reserve(READ_BYTES);
        ensure!(socket.read_buf(&mut buffer).await? > 0, "the server closed");
    }
}

/// Reads up to the end of the head of a response; what follows it.
async fn skip_head(socket: &mut TcpStream) -> Result<BytesMut> {
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            ensure!(
                buffer.starts_with(b"HTTP/1.1 200 "),
                "refused: {}",
                String::from_utf8_lossy(&buffer)
            );
            return Ok(buffer.split_off(end + 4));
        }
        ensure!(socket.read_buf(&mut buffer).await? > 0, "the server closed");
    }
}

#[cfg(test)]
mod tests {
    use super::is_refusal;

    #[test]
    fn a_refused_viewer_is_not_counted_as_one_that_watches() {
        assert!(is_refusal(b"HTTP/1.1 503 Service Unavailable\r\n"));
        assert!(!is_refusal(b"HTTP/1.1 200 OK\r\n"));
        assert!(!is_refusal(b"\x09\x09\x09"));
    }
}
