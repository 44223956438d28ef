//! What it costs to answer an HTTP request for a playlist or a part, against a bare loop that answers with the same bytes.

use crate::process::{Network, Server, answer_loop};
use crate::publisher::Publisher;
use crate::report::{Promise, Report};
use crate::stats::median;
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::time::sleep;

/// CPU of the relay for one answer, as a multiple of the CPU of the bare loop.
const RATIO: Promise = Promise {
    most: 3.0,
    aim: 1.5,
};
const SLUG: &str = "answers";
/// Connections that ask at the same time, each for one answer after the other.
const CONNECTIONS: usize = 8;
const REQUESTS: usize = 2_000;
/// The relay and the loop take turns; the median of the ratios counts.
const PAIRS: usize = 5;
/// Until the playlist has as many segments as it will ever have.
const FILL: Duration = Duration::from_secs(26);
const HEAD_BYTES_MAX: usize = 16 << 10;
const MICROSECONDS: f64 = 1e6;

/// What the loop answers.
#[derive(clap::Args)]
pub struct LoopArgs {
    /// A file whose bytes are the whole answer, with its head
    #[arg(long)]
    file: PathBuf,
}

/// Prints where it listens, then answers every request with the same bytes until it is killed.
///
/// # Errors
/// If the file cannot be read, or the port cannot be opened.
pub fn run_loop(args: &LoopArgs) -> Result<()> {
    let answer = std::fs::read(&args.file)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    std::thread::scope(|scope| {
        for connection in listener.incoming() {
            let answer = &answer;
            // A connection that fails ends its thread only.
            scope.spawn(move || answer_all(connection?, answer));
        }
    });
    Ok(())
}

fn answer_all(mut connection: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut request = [0; HEAD_BYTES_MAX];
    let mut length = 0;
    loop {
        match connection.read(&mut request[length..])? {
            0 => return Ok(()),
            more => length += more,
        }
        if request[..length].ends_with(b"\r\n\r\n") {
            connection.write_all(answer)?;
            length = 0;
        }
    }
}

/// Measures the media playlist and the newest whole part of a stream.
///
/// # Errors
/// If a server fails, or an answer is not 200.
pub async fn run(report: &mut Report) -> Result<()> {
    let network = Network::start(1).await?;
    let _publisher = Publisher::start(network.rtmp(1), SLUG).await?;
    sleep(FILL).await;
    let relay = network.media(1);
    let playlist = format!("/live/{SLUG}/media.m3u8");
    compare("playlist", &network.server, relay, &playlist, report).await?;
    let part = newest_part(relay, &playlist)?;
    compare("part", &network.server, relay, &part, report).await
}

/// The path of the last part that the playlist lists.
fn newest_part(relay: SocketAddr, playlist: &str) -> Result<String> {
    let text = String::from_utf8(Connection::open(relay, playlist)?.ask()?.to_vec())?;
    let line = text
        .lines()
        .rev()
        .find(|line| line.starts_with("#EXT-X-PART:"));
    let uri = line.and_then(|line| line.split("URI=\"").nth(1)?.split('"').next());
    let uri = uri.context("the playlist lists no part")?;
    Ok(match uri.starts_with('/') {
        true => uri.to_owned(),
        false => format!("/live/{SLUG}/{uri}"),
    })
}

async fn compare(
    name: &str,
    relay: &Server,
    address: SocketAddr,
    path: &str,
    report: &mut Report,
) -> Result<()> {
    let answer = Connection::open(address, path)?.ask()?.to_vec();
    let file = std::env::temp_dir().join(format!("astral-bench-{}-{name}", std::process::id()));
    std::fs::write(&file, &answer)?;
    let (bare, bare_address) = answer_loop(&file).await?;
    let mut costs = vec![];
    let mut floors = vec![];
    let mut ratios = vec![];
    for _ in 0..PAIRS {
        let floor = microseconds_each(&bare, bare_address, path).await?;
        let cost = microseconds_each(relay, address, path).await?;
        floors.push(floor);
        costs.push(cost);
        ratios.push(cost / floor);
    }
    std::fs::remove_file(&file)?;
    report.note(
        &format!("{name}, {} bytes: bare loop, CPU us", answer.len()),
        median(&mut floors),
    );
    report.note(&format!("{name}: relay, CPU us"), median(&mut costs));
    report.judge(
        &format!("{name}: relay / bare loop"),
        median(&mut ratios),
        &RATIO,
    );
    Ok(())
}

/// CPU of the server for one request, microseconds.
async fn microseconds_each(server: &Server, address: SocketAddr, path: &str) -> Result<f64> {
    let before = server.cpu_seconds()?;
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| spawn_client(address, path.to_owned()))
        .collect();
    // Open until the CPU is read: the loop ends the thread of a closed connection, and its CPU is lost.
    let mut connections = vec![];
    for client in clients {
        let joined = tokio::task::spawn_blocking(move || client.join()).await?;
        connections.push(joined.map_err(|_| anyhow::anyhow!("a client panicked"))??);
    }
    let seconds = server.cpu_seconds()? - before;
    drop(connections);
    Ok(seconds * MICROSECONDS / (CONNECTIONS * REQUESTS) as f64)
}

fn spawn_client(address: SocketAddr, path: String) -> JoinHandle<Result<Connection>> {
    std::thread::spawn(move || {
        let mut connection = Connection::open(address, &path)?;
        for _ in 0..REQUESTS {
            connection.ask()?;
        }
        Ok(connection)
    })
}

/// A connection that asks for one path again and again.
struct Connection {
    socket: TcpStream,
    request: Vec<u8>,
    received: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr, path: &str) -> Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes();
        Ok(Self {
            socket,
            request,
            received: Vec::new(),
        })
    }

    /// The whole answer, with its head.
    fn ask(&mut self) -> Result<&[u8]> {
        self.socket.write_all(&self.request)?;
        self.received.clear();
        let mut buffer = [0; 64 << 10];
        loop {
            let length = self.socket.read(&mut buffer)?;
            ensure!(length > 0, "the server closed the connection");
            self.received.extend_from_slice(&buffer[..length]);
            if whole_length(&self.received)? == Some(self.received.len()) {
                return Ok(&self.received);
            }
        }
    }
}

/// How long the answer is that `received` begins with, as soon as its head is there.
fn whole_length(received: &[u8]) -> Result<Option<usize>> {
    let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let Some(end) = end else { return Ok(None) };
    let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
    ensure!(head.starts_with("http/1.1 200"), "the answer is {head:?}");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.context("the answer has no length")?.trim().parse()?;
    Ok(Some(end + 4 + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_head_and_its_body_are_there() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(whole_length(&answer[..20]).unwrap(), None);
        assert_eq!(whole_length(answer).unwrap(), Some(answer.len()));
        assert!(whole_length(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").is_err());
    }
}
