//! A small RTMP client for messages that no encoder would send.

use astral_media::rtmp::amf0::{self, Value};
use astral_media::rtmp::chunk::{ChunkReader, Message};
use bytes::BytesMut;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for an answer or a close. It is longer than every wait of a relay.
const ANSWER_WAIT: Duration = Duration::from_secs(40);
/// Message type of a command in AMF0.
const COMMAND: u8 = 20;

/// A small RTMP client.
pub struct Rtmp {
    /// The connection, for bytes that are not a message.
    pub socket: TcpStream,
    chunks: ChunkReader,
    unread: BytesMut,
}

impl Rtmp {
    /// Connects and completes the handshake.
    ///
    /// # Panics
    /// If the server does not answer.
    pub async fn connect(door: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(door).await.expect("the door is open");
        socket
            .write_all(&[&[3][..], &[0; 1536]].concat())
            .await
            .expect("C0 and C1 are taken");
        let mut answer = [0; 1 + 2 * 1536];
        socket
            .read_exact(&mut answer)
            .await
            .expect("S0, S1 and S2 come");
        socket
            .write_all(&answer[1..1537])
            .await
            .expect("C2 is taken");
        Self {
            socket,
            chunks: ChunkReader::new(),
            unread: BytesMut::new(),
        }
    }

    /// Connects and publishes `slug`.
    ///
    /// # Panics
    /// If the publish is refused.
    pub async fn publish(door: SocketAddr, slug: &str) -> Self {
        let mut client = Self::connect(door).await;
        let app = Value::Object(vec![("app".into(), "live".into())]);
        client.command(&["connect".into(), 1.0.into(), app]).await;
        client.start_publishing(slug).await;
        client
    }

    /// Publishes `slug` on a connection that does not publish yet, and waits until the publish is
    /// accepted.
    ///
    /// # Panics
    /// If the publish is refused.
    pub async fn start_publishing(&mut self, slug: &str) {
        self.command(&[
            "publish".into(),
            2.0.into(),
            Value::Null,
            slug.into(),
            "live".into(),
        ])
        .await;
        assert_eq!(
            self.status().await.expect("an answer").0,
            "NetStream.Publish.Start"
        );
    }

    /// Sends a command.
    pub async fn command(&mut self, values: &[Value]) {
        self.commands(&[values]).await;
    }

    /// Sends several commands in one write.
    pub async fn commands(&mut self, commands: &[&[Value]]) {
        let mut bytes = Vec::new();
        for values in commands {
            let mut body = BytesMut::new();
            amf0::encode(values, &mut body);
            bytes.extend(message_bytes(3, COMMAND, body.len(), &body));
        }
        drop(self.socket.write_all(&bytes).await);
    }

    /// Sends a message whose header states `length`, in chunks of 128 bytes.
    pub async fn message(&mut self, chunk_stream: u8, kind: u8, length: usize, body: &[u8]) {
        let bytes = message_bytes(chunk_stream, kind, length, body);
        // The server may close the connection in the middle of a message that it refuses.
        drop(self.socket.write_all(&bytes).await);
    }

    /// Sends a complete message with the timestamp `timestamp_ms`, which must fit into 24 bits.
    /// Returns whether it was sent.
    pub async fn message_at(
        &mut self,
        chunk_stream: u8,
        kind: u8,
        timestamp_ms: u32,
        body: &[u8],
    ) -> bool {
        let mut bytes = message_bytes(chunk_stream, kind, body.len(), body);
        bytes[1..4].copy_from_slice(&timestamp_ms.to_be_bytes()[1..]);
        self.socket.write_all(&bytes).await.is_ok()
    }

    /// Returns code and description of the next status; `None` when the server closes.
    ///
    /// # Panics
    /// If the answer is not RTMP, or there is none for long.
    pub async fn status(&mut self) -> Option<(String, String)> {
        loop {
            let message = self.next().await?;
            let values = if message.kind == COMMAND {
                amf0::decode(&message.body).ok()?
            } else {
                Vec::new()
            };
            if values.first().and_then(Value::as_str) == Some("onStatus") {
                let text = |name| Some(values.get(3)?.get(name)?.as_str()?.to_owned());
                return Some((text("code")?, text("description")?));
            }
        }
    }

    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self
                .chunks
                .read(&mut self.unread)
                .expect("relays send good chunks")
            {
                return Some(message);
            }
            let read = timeout(ANSWER_WAIT, self.socket.read_buf(&mut self.unread)).await;
            if !matches!(read.expect("an answer or a close"), Ok(1..)) {
                return None;
            }
        }
    }
}

/// Returns a message whose header states `length`, in chunks of 128 bytes.
fn message_bytes(chunk_stream: u8, kind: u8, length: usize, body: &[u8]) -> Vec<u8> {
    let length = (length as u32).to_be_bytes();
    let head = [
        &[chunk_stream, 0, 0, 0][..],
        &length[1..],
        &[kind, 1, 0, 0, 0],
    ]
    .concat();
    let next = [0xC0 | chunk_stream];
    let chunks = body.chunks(128).enumerate();
    let chunks =
        chunks.flat_map(|(at, chunk)| [if at == 0 { &[][..] } else { &next }, chunk].concat());
    head.into_iter().chain(chunks).collect()
}
