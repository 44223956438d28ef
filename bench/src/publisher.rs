//! An RTMP publisher that stamps each picture with the time at which it was sent.

use crate::source;
use anyhow::{Context, Result};
use astral_media::flv::{TYPE_VIDEO, Tag};
use astral_media::rtmp::amf0::{self, Value};
use astral_media::rtmp::{CHUNK_BYTES_OUT, MessageKind, STREAM_ID, message_head};
use bytes::{BufMut, BytesMut};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};

const HANDSHAKE_BYTES: usize = 1536;
const VIDEO_HEAD_BYTES: usize = 5;
/// An SEI NAL unit behind its length, up to the time: players pass it over.
const STAMP_HEAD: [u8; 13] = *b"\0\0\0\x11\x06\x05astral-";
const STARTED: &[u8] = b"NetStream.Publish.Start";
const START_WAIT: Duration = Duration::from_secs(10);

static CLOCK: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds on this process's clock.
pub fn now() -> u64 {
    CLOCK.elapsed().as_nanos() as u64
}

/// When the picture with this body was sent, on the clock of [`now`].
pub fn sent_at(body: &[u8]) -> Option<u64> {
    let stamp = body.get(VIDEO_HEAD_BYTES..)?.strip_prefix(&STAMP_HEAD)?;
    stamp.first_chunk().copied().map(u64::from_be_bytes)
}

/// A publisher that goes on until it is dropped.
pub struct Publisher {
    sending: JoinHandle<Result<()>>,
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.sending.abort();
    }
}

impl Publisher {
    /// Publishes the programme as `slug` to the relay at `rtmp`.
    ///
    /// # Errors
    /// If the relay does not take it.
    pub async fn start(rtmp: SocketAddr, slug: &str) -> Result<Self> {
        let tags = source::tags(&source::file()?)?;
        let mut socket = TcpStream::connect(rtmp).await?;
        socket.set_nodelay(true)?;
        socket.write_all(&opening(rtmp, slug)).await?;
        let started = timeout(START_WAIT, read_until_started(&mut socket)).await;
        started.context("the relay takes no publisher")??;
        Ok(Self {
            sending: tokio::spawn(send(socket, tags)),
        })
    }
}

/// Handshake, chunk size and commands in one go: the server takes them as they come.
fn opening(rtmp: SocketAddr, slug: &str) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u8(3);
    out.put_bytes(0, 2 * HANDSHAKE_BYTES);
    out.put_slice(&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0]);
    out.put_u32(CHUNK_BYTES_OUT as u32);
    let url = format!("rtmp://{rtmp}/live");
    let app = [("app", "live"), ("tcUrl", &url)].map(|(name, text)| (name.to_owned(), text.into()));
    put_command(
        &mut out,
        0,
        &["connect".into(), 1.0.into(), Value::Object(app.to_vec())],
    );
    put_command(
        &mut out,
        0,
        &["createStream".into(), 2.0.into(), Value::Null],
    );
    put_command(
        &mut out,
        STREAM_ID,
        &[
            "publish".into(),
            3.0.into(),
            Value::Null,
            slug.into(),
            "live".into(),
        ],
    );
    out
}

fn put_command(out: &mut BytesMut, stream_id: u32, values: &[Value]) {
    let mut body = BytesMut::new();
    amf0::encode(values, &mut body);
    out.put_slice(&[3, 0, 0, 0]);
    out.put_uint(body.len() as u64, 3);
    out.put_u8(20);
    out.put_u32_le(stream_id);
    out.put_slice(&body);
}

async fn read_until_started(socket: &mut TcpStream) -> Result<()> {
    let mut answer = Vec::new();
    while !answer
        .windows(STARTED.len())
        .any(|window| window == STARTED)
    {
        let read = socket.read_buf(&mut answer).await?;
        anyhow::ensure!(read > 0, "the relay refused the publisher");
    }
    Ok(())
}

async fn send(socket: TcpStream, tags: Vec<Tag>) -> Result<()> {
    let (mut answers, mut socket) = socket.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut answers, &mut tokio::io::sink()).await });
    let begun = tokio::time::Instant::now();
    let mut out = BytesMut::new();
    for round in 0.. {
        for tag in &tags {
            let time = source::DURATION * round + Duration::from_millis(tag.timestamp_ms.into());
            sleep_until(begun + time).await;
            put_message(&mut out, tag, time.as_millis() as u32);
            socket.write_all(&out).await?;
            out.clear();
        }
    }
    Ok(())
}

fn put_message(out: &mut BytesMut, tag: &Tag, timestamp_ms: u32) {
    let is_picture = tag.tag_type == TYPE_VIDEO && tag.body.get(1) == Some(&1);
    let kind = if tag.tag_type == TYPE_VIDEO {
        MessageKind::Video
    } else {
        MessageKind::Audio
    };
    let (head, rest) = tag
        .body
        .split_at(if is_picture { VIDEO_HEAD_BYTES } else { 0 });
    let mut stamp = BytesMut::new();
    if is_picture {
        stamp.put_slice(&STAMP_HEAD);
        stamp.put_u64(now());
    }
    let length = tag.body.len() + stamp.len();
    out.put_slice(&message_head(kind, timestamp_ms, STREAM_ID, length));
    [head, &stamp, rest]
        .iter()
        .for_each(|part| out.put_slice(part));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_carries_the_time_at_which_it_was_sent() {
        let body = [&[0x17, 1, 0, 0, 0][..], b"\0\0\0\x02\x65\x88"].concat();
        let mut out = BytesMut::new();
        let before = now();
        put_message(
            &mut out,
            &Tag {
                tag_type: TYPE_VIDEO,
                timestamp_ms: 0,
                body: body.into(),
            },
            0,
        );
        let sent = sent_at(&out[12..]).unwrap();
        assert!((before..=now()).contains(&sent));
        assert_eq!(sent_at(&out[12..20]), None);
    }

    #[test]
    fn the_stamp_is_as_long_as_it_says() {
        let length = u32::from_be_bytes(*STAMP_HEAD.first_chunk().unwrap()) as usize;
        assert_eq!(length, STAMP_HEAD.len() - 4 + 8);
    }
}
