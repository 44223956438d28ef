//! A publisher over RTMP: five small pictures a second, each with its number in it.

use crate::wires::Wires;
use astral_media::rtmp::amf0::{self, Value};
use astral_media::rtmp::{MessageKind, write_message};
use astral_proto::Slug;
use astral_relay::ListenerKind;
use bytes::{BufMut, Bytes, BytesMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// Between two pictures.
const PICTURE: Duration = Duration::from_millis(200);
/// Every picture of this many is a keyframe.
const KEYFRAME_EVERY: u64 = 5;
/// Size of a picture: 160 kbit/s in all.
const PICTURE_BYTES: usize = 4_000;
/// Before a publisher that was cut off connects again.
const RETRY: Duration = Duration::from_secs(1);
/// H.264 baseline, 64 by 64 pixels: an AVCDecoderConfigurationRecord in an FLV video tag.
const CONFIGURATION: &[u8] = &[
    0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x0a, 0xff, 0xe1, 0, 9, 0x67, 0x42, 0xc0, 0x0a, 0xda, 0x11,
    0x3f, 0x96, 0x84, 1, 0, 4, 0x68, 0xce, 0x0f, 0x2c,
];
/// What stands before the number in the body of a picture: FLV's head, the length of the NAL unit and its type.
const BEFORE_NUMBER: usize = 5 + 4 + 1;

/// Chunk streams and message types of commands and of Set Chunk Size.
const COMMAND: [u8; 2] = [3, 20];
const SET_CHUNK_SIZE: [u8; 2] = [2, 1];
/// A chunk is never longer than a message.
const CHUNK_BYTES: u32 = 1 << 20;

/// Whoever publishes one stream: connects again and again until told to leave.
pub struct Publisher {
    slug: Slug,
    wires: Wires,
    /// The number of the next picture, whichever connection it goes by.
    next: Arc<AtomicU64>,
    sending: Arc<Mutex<Sending>>,
    task: Option<JoinHandle<()>>,
}

/// Where a publisher sends, and since when without a break.
#[derive(Clone, Debug, Default)]
struct Sending {
    address: String,
    since: Option<Instant>,
}

impl Publisher {
    /// One of `slug` that is not there yet.
    pub fn absent(slug: Slug, wires: Wires) -> Self {
        Self {
            slug,
            wires,
            next: Arc::default(),
            sending: Arc::default(),
            task: None,
        }
    }

    /// Publishes at the relay at `address` from now on.
    pub fn publish_at(&mut self, address: &str) {
        self.leave();
        *lock(&self.sending) = Sending {
            address: address.to_owned(),
            since: None,
        };
        let publishing = publish(
            self.slug.clone(),
            self.wires.clone(),
            self.next.clone(),
            self.sending.clone(),
        );
        self.task = Some(tokio::spawn(publishing));
    }

    /// Is gone without a goodbye.
    pub fn leave(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        lock(&self.sending).since = None;
    }

    /// Whether it wants to publish.
    pub fn is_there(&self) -> bool {
        self.task.is_some()
    }

    /// What it publishes.
    pub fn slug(&self) -> &Slug {
        &self.slug
    }

    /// Where it publishes, or tries to.
    pub fn address(&self) -> String {
        lock(&self.sending).address.clone()
    }

    /// Since when pictures have been taken from it without a break; None while none are.
    pub fn sends_since(&self) -> Option<Instant> {
        lock(&self.sending).since
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.leave();
    }
}

fn lock(sending: &Mutex<Sending>) -> MutexGuard<'_, Sending> {
    sending.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn publish(slug: Slug, wires: Wires, next: Arc<AtomicU64>, sending: Arc<Mutex<Sending>>) {
    loop {
        let address = lock(&sending).address.clone();
        if let Some(socket) = wires.knock(&address, ListenerKind::Rtmp) {
            // How it ended makes no difference: it comes again.
            drop(publish_once(socket, &slug, &next, &sending).await);
        }
        lock(&sending).since = None;
        sleep(RETRY).await;
    }
}

async fn publish_once(
    mut socket: DuplexStream,
    slug: &Slug,
    next: &AtomicU64,
    sending: &Mutex<Sending>,
) -> std::io::Result<()> {
    ask_to_publish(&mut socket, slug).await?;
    let (mut input, output) = tokio::io::split(socket);
    let mut nowhere = tokio::io::sink();
    tokio::select! {
        biased;
        ended = tokio::io::copy(&mut input, &mut nowhere) => ended.map(drop),
        ended = send(output, next, sending) => ended,
    }
}

async fn ask_to_publish(socket: &mut DuplexStream, slug: &Slug) -> std::io::Result<()> {
    socket.write_all(&[&[3][..], &[0; 1536]].concat()).await?;
    let mut answer = [0; 1 + 2 * 1536];
    socket.read_exact(&mut answer).await?;
    let app = Value::Object(vec![("app".into(), "live".into())]);
    let connect = command(&["connect".into(), 1.0.into(), app]);
    let publish = command(&[
        "publish".into(),
        2.0.into(),
        Value::Null,
        slug.as_str().into(),
        "live".into(),
    ]);
    let chunks = message(SET_CHUNK_SIZE, &CHUNK_BYTES.to_be_bytes());
    socket
        .write_all(&[&answer[1..1537], &connect, &publish, &chunks].concat())
        .await
}

fn command(values: &[Value]) -> Vec<u8> {
    let mut body = BytesMut::new();
    amf0::encode(values, &mut body);
    message(COMMAND, &body)
}

/// A message in one chunk, which commands as short as these fit into.
fn message([chunk_stream, kind]: [u8; 2], body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    let head = [
        &[chunk_stream, 0, 0, 0][..],
        &length[1..],
        &[kind, 0, 0, 0, 0],
    ];
    [&head.concat(), body].concat()
}

async fn send(
    mut output: impl AsyncWriteExt + Unpin,
    next: &AtomicU64,
    sending: &Mutex<Sending>,
) -> std::io::Result<()> {
    let begun = Instant::now();
    output
        .write_all(&video(0, Bytes::from_static(CONFIGURATION)))
        .await?;
    for at in 0.. {
        let time = PICTURE * at;
        sleep_until(begun + time).await;
        let number = next.fetch_add(1, Ordering::Relaxed);
        let picture = picture(u64::from(at) % KEYFRAME_EVERY == 0, number);
        output
            .write_all(&video(time.as_millis() as u32, picture))
            .await?;
        lock(sending).since.get_or_insert(begun);
    }
    Ok(())
}

fn video(timestamp_ms: u32, body: Bytes) -> Vec<u8> {
    let pieces: Vec<Bytes> = write_message(
        MessageKind::Video,
        timestamp_ms,
        std::slice::from_ref(&body),
    );
    pieces.concat()
}

fn picture(is_keyframe: bool, number: u64) -> Bytes {
    let (head, nal) = if is_keyframe {
        (0x17, 0x65)
    } else {
        (0x27, 0x41)
    };
    let mut body = BytesMut::with_capacity(PICTURE_BYTES);
    body.put_slice(&[head, 1, 0, 0, 0]);
    body.put_u32((PICTURE_BYTES - 5 - 4) as u32);
    body.put_u8(nal);
    body.put_u64(number);
    body.resize(PICTURE_BYTES, 0xab);
    body.freeze()
}

/// The number of the picture in an FLV video tag; None if it is a configuration.
pub fn number_of(body: &[u8]) -> Option<u64> {
    if body.get(1) != Some(&1) {
        return None;
    }
    let number = body.get(BEFORE_NUMBER..BEFORE_NUMBER + 8)?;
    number.try_into().ok().map(u64::from_be_bytes)
}
