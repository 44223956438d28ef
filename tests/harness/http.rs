//! A plain HTTP client for playlists, segments and REST.

use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Longest time for an answer. A relay itself waits up to 6 s for what comes next.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// Most header fields of an answer.
const FIELDS_MAX: usize = 32;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    fields: Vec<(String, String)>,
    /// The complete body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Returns a header field. Its name must be in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        let parsed = serde_json::from_slice(&self.body);
        parsed.unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }
}

/// Gets `path` from `server` without following redirects. Returns `None` without an answer.
pub async fn get(server: SocketAddr, path: &str) -> Option<Answer> {
    send(server, "GET", path, "").await
}

/// Posts the JSON `body`. Returns `None` without an answer.
pub async fn post(server: SocketAddr, path: &str, body: &str) -> Option<Answer> {
    send(server, "POST", path, body).await
}

/// Sends the JSON `body` with `method`. Returns `None` without an answer.
pub async fn send(server: SocketAddr, method: &str, path: &str, body: &str) -> Option<Answer> {
    send_with(server, method, path, body, "").await
}

/// Sends a request with the bearer token `token`.
pub async fn send_as(
    server: SocketAddr,
    token: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Option<Answer> {
    send_with(
        server,
        method,
        path,
        body,
        &format!("Authorization: Bearer {token}\r\n"),
    )
    .await
}

/// Sends a request with additional header fields, each with its line end.
async fn send_with(
    server: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
    fields: &str,
) -> Option<Answer> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n{fields}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let asked = async {
        let mut socket = TcpStream::connect(server).await.ok()?;
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        socket
            .take(ANSWER_BYTES_MAX)
            .read_to_end(&mut answer)
            .await
            .ok()?;
        parse(&answer)
    };
    tokio::time::timeout(ANSWER_WAIT, asked)
        .await
        .ok()
        .flatten()
}

/// Parses an answer; `None` unless it is complete.
fn parse(answer: &[u8]) -> Option<Answer> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(answer).ok()? else {
        return None;
    };
    let field = |field: &httparse::Header<'_>| {
        (
            field.name.to_ascii_lowercase(),
            String::from_utf8_lossy(field.value).into_owned(),
        )
    };
    let fields = head.headers.iter().map(field).collect();
    let answer = Answer {
        status: head.code?,
        fields,
        body: answer[length..].to_vec(),
    };
    let told: usize = answer.field("content-length").unwrap_or("0").parse().ok()?;
    (answer.body.len() == told).then_some(answer)
}
