//! Raw bytes over sockets: what no well-behaved client sends.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for an answer or a close; longer than every wait of a relay.
const ANSWER_WAIT: Duration = Duration::from_secs(40);
/// Most bytes kept of an answer.
const ANSWER_BYTES_MAX: usize = 4 << 20;

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
        assert!(
            lower.contains("content-type: application/problem+json"),
            "{}",
            self.text
        );
        assert!(
            self.text.contains(&format!("\"code\":\"{code}\"")),
            "{}",
            self.text
        );
    }
}

/// Sends `bytes` and takes in what comes back until the door closes.
pub async fn send(door: SocketAddr, bytes: &[u8]) -> Answer {
    let mut socket = TcpStream::connect(door).await.expect("the door is open");
    // The door may close before it has taken all.
    drop(socket.write_all(bytes).await);
    let text = String::from_utf8_lossy(&until_closed(&mut socket).await).into_owned();
    let status = text
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    Answer {
        status: status.unwrap_or(0),
        text,
    }
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
        while bytes.len() < ANSWER_BYTES_MAX && matches!(socket.read_buf(&mut bytes).await, Ok(1..))
        {
        }
    };
    timeout(ANSWER_WAIT, reading)
        .await
        .expect("the door closes a connection that is of no use");
    bytes
}
