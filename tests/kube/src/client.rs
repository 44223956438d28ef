//! An HTTP client as players have one: connections are kept, and one that turns out closed is made anew unseen.

use anyhow::{Context, bail, ensure};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// Longest body, in bytes.
const BODY_BYTES_MAX: usize = 64 << 20;
const FIELDS_MAX: usize = 32;
const CONNECT_WAIT: Duration = Duration::from_secs(2);
/// A relay itself waits up to 6 s for what comes next.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// A client of one server.
pub struct Client {
    server: String,
    keeps: bool,
    connection: Option<TcpStream>,
    /// How often a kept connection turned out closed.
    pub reconnects: u64,
}

struct Head {
    length: usize,
    body: usize,
    closes: bool,
    status: u16,
}

impl Client {
    /// Of `server`, a host:port; `keeps` its connection, or makes one for each request.
    pub fn new(server: &str, keeps: bool) -> Self {
        Self {
            server: server.to_owned(),
            keeps,
            connection: None,
            reconnects: 0,
        }
    }

    /// GETs `path`, which must be answered with 200 and whole.
    ///
    /// # Errors
    /// What a viewer would see of it.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<Vec<u8>> {
        if let Some(kept) = self.connection.take() {
            let mut bytes = Vec::new();
            match self.exchange(kept, path, &mut bytes).await {
                Err(_) if bytes.is_empty() => self.reconnects += 1,
                answered => return answered.with_context(|| path.to_owned()),
            }
        }
        let dialled = timeout(CONNECT_WAIT, TcpStream::connect(&self.server)).await;
        let socket = dialled
            .context("no connection in time")
            .and_then(|socket| Ok(socket?));
        let answered = match socket {
            Ok(socket) => self.exchange(socket, path, &mut Vec::new()).await,
            Err(error) => Err(error),
        };
        answered.with_context(|| path.to_owned())
    }

    async fn exchange(
        &mut self,
        mut socket: TcpStream,
        path: &str,
        bytes: &mut Vec<u8>,
    ) -> anyhow::Result<Vec<u8>> {
        let connection = if self.keeps { "keep-alive" } else { "close" };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: kube-test-{connection}\r\nConnection: {connection}\r\n\r\n",
            self.server
        );
        let answered = async {
            socket.write_all(request.as_bytes()).await?;
            let head = read_head(&mut socket, bytes).await?;
            read_body(&mut socket, bytes, &head).await?;
            anyhow::Ok(head)
        };
        let head = timeout(ANSWER_WAIT, answered)
            .await
            .context("no answer in time")??;
        let body = bytes.split_off(head.length);
        if self.keeps && !head.closes {
            self.connection = Some(socket);
        }
        ensure!(
            head.status == 200,
            "{} {}",
            head.status,
            String::from_utf8_lossy(&body)
        );
        Ok(body)
    }
}

async fn read_head(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> anyhow::Result<Head> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut head = httparse::Response::new(&mut fields);
        if let httparse::Status::Complete(length) = head.parse(bytes)? {
            let field = |name: &str| {
                let named = head
                    .headers
                    .iter()
                    .find(|field| field.name.eq_ignore_ascii_case(name));
                named.map(|field| String::from_utf8_lossy(field.value).to_ascii_lowercase())
            };
            let body = field("content-length")
                .context("no content-length")?
                .parse()?;
            ensure!(body <= BODY_BYTES_MAX, "a body of {body} bytes");
            let closes = field("connection").is_some_and(|value| value == "close");
            return Ok(Head {
                length,
                body,
                closes,
                status: head.code.unwrap_or_default(),
            });
        }
        ensure!(bytes.len() < HEAD_BYTES_MAX, "the head is too long");
        if socket.read_buf(bytes).await? == 0 {
            bail!("closed after {} bytes", bytes.len());
        }
    }
}

async fn read_body(socket: &mut TcpStream, bytes: &mut Vec<u8>, head: &Head) -> anyhow::Result<()> {
    while bytes.len() < head.length + head.body {
        if socket.read_buf(bytes).await? == 0 {
            bail!(
                "closed after {} of {} bytes",
                bytes.len() - head.length,
                head.body
            );
        }
    }
    Ok(())
}
