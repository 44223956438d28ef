//! A publisher over any socket: what ffmpeg has coded, sent again and again as time goes on.

use astral_media::flv::{FlvReader, TYPE_AUDIO, TYPE_VIDEO, Tag};
use astral_media::rtmp::amf0::{self, Value};
use astral_media::rtmp::{MessageKind, write_message};
use astral_proto::Slug;
use bytes::{Bytes, BytesMut};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Two seconds of a moving pattern and a tone, with a keyframe each second.
const RECORDED: &str = "-hide_banner -loglevel error -f lavfi -i testsrc2=size=160x90:rate=30 -f lavfi -i sine \
    -c:a aac -c:v libx264 -preset ultrafast -g 30 -t 2 -f flv -";
/// What each round of the clip adds to its times, milliseconds.
const CLIP_MS: u32 = 2_000;
/// A chunk is never longer than a message of the clip.
const CHUNK_BYTES: u32 = 1 << 20;
/// Chunk streams and message types of commands and of Set Chunk Size.
const COMMAND: [u8; 2] = [3, 20];
const SET_CHUNK_SIZE: [u8; 2] = [2, 1];

/// What is published.
#[derive(Clone)]
pub struct Clip(Arc<[Tag]>);

impl Clip {
    pub fn record() -> Self {
        let coded = Command::new("ffmpeg")
            .args(RECORDED.split_whitespace())
            .stdin(Stdio::null())
            .output();
        let mut reader = FlvReader::new();
        reader
            .push(&coded.expect("ffmpeg runs; `make setup` installs it").stdout)
            .expect("ffmpeg writes FLV");
        let tags = std::iter::from_fn(|| reader.next_tag().expect("ffmpeg writes FLV"));
        let media = tags.filter(|tag| matches!(tag.tag_type, TYPE_AUDIO | TYPE_VIDEO));
        Self(media.collect())
    }
}

/// A publisher; gone without a goodbye when dropped.
pub struct Publisher {
    sends: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Publisher {
    pub async fn start(mut socket: DuplexStream, slug: &Slug, clip: &Clip) -> Self {
        ask_to_publish(&mut socket, slug).await;
        let (sends, sending) = watch::channel(true);
        let clip = clip.clone();
        let task = tokio::spawn(async move {
            let (mut input, output) = tokio::io::split(socket);
            let mut nowhere = tokio::io::sink();
            tokio::select! {
                _ = tokio::io::copy(&mut input, &mut nowhere) => {}
                () = send(output, &clip, sending) => {}
            }
        });
        Self { sends, task }
    }

    /// Sends nothing, with its connection open, or goes on.
    pub fn sends(&self, sends: bool) {
        self.sends.send_replace(sends);
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn ask_to_publish(socket: &mut DuplexStream, slug: &Slug) {
    socket
        .write_all(&[&[3][..], &[0; 1536]].concat())
        .await
        .expect("C0 and C1 are taken");
    let mut answer = [0; 1 + 2 * 1536];
    socket
        .read_exact(&mut answer)
        .await
        .expect("S0, S1 and S2 come");
    let app = Value::Object(vec![("app".into(), "live".into())]);
    let connect = command(&["connect".into(), 1.0.into(), app]);
    let publish = command(&[
        "publish".into(),
        2.0.into(),
        Value::Null,
        slug.as_str().into(),
        "live".into(),
    ]);
    let chunks = message(SET_CHUNK_SIZE, 0, &CHUNK_BYTES.to_be_bytes());
    socket
        .write_all(&[&answer[1..1537], &connect, &publish, &chunks].concat())
        .await
        .expect("they are taken");
}

fn command(values: &[Value]) -> Vec<u8> {
    let mut body = BytesMut::new();
    amf0::encode(values, &mut body);
    message(COMMAND, 0, &body)
}

/// A message in one chunk, which commands as short as these fit into.
fn message([chunk_stream, kind]: [u8; 2], stream_id: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    let head = [
        &[chunk_stream, 0, 0, 0][..],
        &length[1..],
        &[kind, stream_id, 0, 0, 0],
    ]
    .concat();
    [&head, body].concat()
}

async fn send(
    mut output: impl AsyncWriteExt + Unpin,
    clip: &Clip,
    mut sending: watch::Receiver<bool>,
) {
    let begun = Instant::now();
    for round in 0.. {
        for tag in clip
            .0
            .iter()
            .filter(|tag| round == 0 || tag.body.get(1) != Some(&0))
        {
            let timestamp = tag.timestamp_ms + round * CLIP_MS;
            sleep_until(begun + Duration::from_millis(timestamp.into())).await;
            if sending.wait_for(|sends| *sends).await.is_err() {
                return;
            }
            let kind = if tag.tag_type == TYPE_VIDEO {
                MessageKind::Video
            } else {
                MessageKind::Audio
            };
            let pieces: Vec<Bytes> =
                write_message(kind, timestamp, std::slice::from_ref(&tag.body));
            if output.write_all(&pieces.concat()).await.is_err() {
                return;
            }
        }
    }
}
