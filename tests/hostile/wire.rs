//! Raw bytes over sockets: what no well-behaved client sends.

use astral_media::rtmp::amf0::{self, Value};
use astral_media::rtmp::chunk::{ChunkReader, Message};
use bytes::BytesMut;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for an answer or a close; longer than every wait of a relay.
const ANSWER_WAIT: Duration = Duration::from_secs(40);
/// Most bytes kept of an answer.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Message type of a command in AMF0.
const COMMAND: u8 = 20;

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    /// The status; 0 if the connection closed without one.
    pub status: u16,
    /// Head and body, and whatever answers follow.
    pub text: String,
}

impl Answer {
    /// Asserts that this is a problem document of this status and code.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.text);
        let lower = self.text.to_ascii_lowercase();
        assert!(lower.contains("content-type: application/problem+json"), "{}", self.text);
        assert!(self.text.contains(&format!("\"code\":\"{code}\"")), "{}", self.text);
    }
}

/// Sends `bytes` and takes in what comes back until the door closes.
pub async fn send(door: SocketAddr, bytes: &[u8]) -> Answer {
    let mut socket = TcpStream::connect(door).await.expect("the door is open");
    // The door may close before it has taken all.
    drop(socket.write_all(bytes).await);
    let text = String::from_utf8_lossy(&until_closed(&mut socket).await).into_owned();
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    Answer { status: status.unwrap_or(0), text }
}

/// Asks for `target` with further `fields`, each ended by CRLF, on a connection of its own.
pub async fn get(door: SocketAddr, target: &str, fields: &str) -> Answer {
    let head = format!("GET {target} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n{fields}\r\n");
    send(door, head.as_bytes()).await
}

/// Everything that comes until the peer closes, cleanly or not.
pub async fn until_closed(socket: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let reading = async {
        while bytes.len() < ANSWER_BYTES_MAX && matches!(socket.read_buf(&mut bytes).await, Ok(1..)) {}
    };
    timeout(ANSWER_WAIT, reading).await.expect("the door closes a connection that is of no use");
    bytes
}

/// A small RTMP client that says what it is told to.
pub struct Rtmp {
    /// The connection, for what is no message.
    pub socket: TcpStream,
    chunks: ChunkReader,
    unread: BytesMut,
}

impl Rtmp {
    /// Connects and shakes hands.
    pub async fn connect(door: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(door).await.expect("the door is open");
        socket.write_all(&[&[3][..], &[0; 1536]].concat()).await.expect("C0 and C1 are taken");
        let mut answer = [0; 1 + 2 * 1536];
        socket.read_exact(&mut answer).await.expect("S0, S1 and S2 come");
        socket.write_all(&answer[1..1537]).await.expect("C2 is taken");
        Self { socket, chunks: ChunkReader::new(), unread: BytesMut::new() }
    }

    /// The same, and publishes `slug`.
    pub async fn publish(door: SocketAddr, slug: &str) -> Self {
        let mut client = Self::connect(door).await;
        let app = Value::Object(vec![("app".into(), "live".into())]);
        client.command(&["connect".into(), 1.0.into(), app]).await;
        client.start_publishing(slug).await;
        client
    }

    /// Publishes `slug` on a connection that does not publish, and waits until it may.
    pub async fn start_publishing(&mut self, slug: &str) {
        self.command(&["publish".into(), 2.0.into(), Value::Null, slug.into(), "live".into()]).await;
        assert_eq!(self.status().await.expect("an answer").0, "NetStream.Publish.Start");
    }

    /// Sends a command.
    pub async fn command(&mut self, values: &[Value]) {
        self.commands(&[values]).await;
    }

    /// Sends commands all at once.
    pub async fn commands(&mut self, commands: &[&[Value]]) {
        let mut bytes = Vec::new();
        for values in commands {
            let mut body = BytesMut::new();
            amf0::encode(values, &mut body);
            bytes.extend(message_bytes(3, COMMAND, body.len(), &body));
        }
        drop(self.socket.write_all(&bytes).await);
    }

    /// Sends a message whose header says `length`, in chunks of 128 bytes.
    pub async fn message(&mut self, chunk_stream: u8, kind: u8, length: usize, body: &[u8]) {
        let bytes = message_bytes(chunk_stream, kind, length, body);
        // The door may close in the middle of what it refuses.
        drop(self.socket.write_all(&bytes).await);
    }

    /// Sends a whole message that is shown at `timestamp_ms`.
    pub async fn message_at(&mut self, chunk_stream: u8, kind: u8, timestamp_ms: u32, body: &[u8]) {
        let mut bytes = message_bytes(chunk_stream, kind, body.len(), body);
        bytes[1..4].copy_from_slice(&timestamp_ms.to_be_bytes()[1..]);
        drop(self.socket.write_all(&bytes).await);
    }

    /// Code and description of the next status; none when the door closes.
    pub async fn status(&mut self) -> Option<(String, String)> {
        loop {
            let message = self.next().await?;
            let values = if message.kind == COMMAND { amf0::decode(&message.body).ok()? } else { Vec::new() };
            if values.first().and_then(Value::as_str) == Some("onStatus") {
                let text = |name| Some(values.get(3)?.get(name)?.as_str()?.to_owned());
                return Some((text("code")?, text("description")?));
            }
        }
    }

    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.chunks.read(&mut self.unread).expect("relays send good chunks") {
                return Some(message);
            }
            let read = timeout(ANSWER_WAIT, self.socket.read_buf(&mut self.unread)).await;
            if !matches!(read.expect("an answer or a close"), Ok(1..)) {
                return None;
            }
        }
    }
}

/// A message whose header says `length`, in chunks of 128 bytes.
fn message_bytes(chunk_stream: u8, kind: u8, length: usize, body: &[u8]) -> Vec<u8> {
    let length = (length as u32).to_be_bytes();
    let head = [&[chunk_stream, 0, 0, 0][..], &length[1..], &[kind, 1, 0, 0, 0]].concat();
    let next = [0xC0 | chunk_stream];
    let chunks = body.chunks(128).enumerate();
    let chunks = chunks.flat_map(|(at, chunk)| [if at == 0 { &[][..] } else { &next }, chunk].concat());
    head.into_iter().chain(chunks).collect()
}
