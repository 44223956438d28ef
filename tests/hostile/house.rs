//! The house under attack, one for all tests: two relays, a publisher that is a real ffmpeg, and a viewer at each.

use crate::wire;
use astral_chassis::Process;
use astral_media::flv::FlvReader;
use clap::Parser;
use ed25519_dalek::SigningKey;
use harness::{Cluster, Edge, Publisher, eventually};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The stream that must go on.
pub const SLUG: &str = "demo";
/// How many tags a viewer must get after an attack to count as well: about a second.
const TAGS_AFTER: u64 = 70;
/// Bytes of an answer's head before a viewer's FLV.
const HEAD_BYTES_MAX: usize = 4096;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    process: astral_chassis::Config,
}

/// What runs, for as long as the tests do.
pub struct House {
    /// The relays and services. Relay 1 is the origin of [`SLUG`].
    pub cluster: Cluster,
    /// A relay that knows the gateway alone.
    pub edge: Edge,
    /// What signs tickets here.
    pub key: SigningKey,
    /// The ops listener of the process.
    pub ops: SocketAddr,
    panics: Arc<Mutex<Vec<String>>>,
    viewers: Vec<Arc<Viewer>>,
    _publisher: Publisher,
    _process: Process,
}

/// A viewer's account.
#[derive(Default)]
struct Viewer {
    tags: AtomicU64,
    hurt: Mutex<Option<String>>,
}

/// The house; the first who asks has it built.
pub fn house() -> &'static House {
    static HOUSE: OnceLock<House> = OnceLock::new();
    HOUSE.get_or_init(|| std::thread::spawn(build).join().expect("the house stands"))
}

fn build() -> House {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let house = runtime.block_on(House::build());
    // Its tasks run until the process ends.
    std::mem::forget(runtime);
    house
}

impl House {
    async fn build() -> Self {
        let flags = [
            "hostile",
            "--ops-listen",
            "127.0.0.1:0",
            "--log-level",
            "warn",
        ];
        let process =
            Process::start("hostile", &Flags::parse_from(flags).process).expect("a process starts");
        let key = Cluster::ticket_key();
        let panics = noted_panics();
        let cluster = Cluster::start(2).await;
        let publisher = Publisher::start(cluster.rtmp(1), SLUG);
        let mut viewers = Vec::new();
        for relay in [1, 2] {
            let viewer = Arc::new(Viewer::default());
            let door = cluster.media(relay);
            let socket = eventually("a viewer is let in", async || Viewer::enter(door).await).await;
            tokio::spawn(viewer.clone().watch(socket));
            viewers.push(viewer);
        }
        let edge = Edge::join(cluster.http()).await;
        let ops = process.ops_address();
        let house = Self {
            cluster,
            edge,
            key,
            ops,
            panics,
            viewers,
            _publisher: publisher,
            _process: process,
        };
        house.is_unharmed().await;
        house
    }

    /// Asserts that every viewer goes on over the connection it has had from the start, and the publisher too.
    pub async fn is_unharmed(&self) {
        let before: Vec<_> = self.viewers.iter().map(|viewer| viewer.tags()).collect();
        for (viewer, before) in self.viewers.iter().zip(before) {
            eventually("the viewer gets the stream", async || {
                (viewer.tags() >= before + TAGS_AFTER).then_some(())
            })
            .await;
        }
        let stream = self.stream(SLUG).await;
        assert_eq!(
            (&stream["state"], &stream["epoch"]),
            (&"live".into(), &1.into()),
            "{stream}"
        );
    }

    /// Where tasks of the house have panicked.
    pub fn panics(&self) -> Vec<String> {
        self.panics
            .lock()
            .expect("whoever notes a panic does not panic")
            .clone()
    }

    /// A stream as the gateway tells it.
    pub async fn stream(&self, slug: &str) -> serde_json::Value {
        self.json(&format!("/v1/streams/{slug}")).await
    }

    /// What the gateway answers.
    pub async fn json(&self, target: &str) -> serde_json::Value {
        let answer = wire::get(self.cluster.http(), target, "").await;
        let body = answer
            .text
            .split_once("\r\n\r\n")
            .map_or("", |(_, body)| body);
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {}", answer.text))
    }

    /// How many connections of `door` ended for `reason`, as the ops listener tells it.
    pub async fn failures(&self, door: &str, reason: &str) -> u64 {
        let metrics = wire::get(self.ops, "/metrics", "").await.text;
        let labels = [format!("door=\"{door}\""), format!("reason=\"{reason}\"")];
        let is_it = |line: &&str| {
            line.starts_with("astral_connections_failed_total{")
                && labels.iter().all(|label| line.contains(label))
        };
        let line = metrics.lines().find(is_it);
        line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok())
            .unwrap_or(0)
    }

    /// Asserts that `attack` makes a connection of `door` end for `reason`, and harms nobody else.
    pub async fn endures(&self, door: &str, reason: &str, attack: impl Future<Output = ()>) {
        let before = self.failures(door, reason).await;
        attack.await;
        let what = format!("astral_connections_failed_total counts {reason} at {door}");
        eventually(&what, async || {
            (self.failures(door, reason).await > before).then_some(())
        })
        .await;
        self.is_unharmed().await;
    }
}

/// Where tasks on the threads of runtimes panic from now on. Tests run on threads of their own names.
fn noted_panics() -> Arc<Mutex<Vec<String>>> {
    let panics = Arc::new(Mutex::new(Vec::new()));
    let noted = panics.clone();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        if thread.name().is_some_and(|name| name.starts_with("tokio-")) {
            noted
                .lock()
                .expect("whoever notes a panic does not panic")
                .push(panic.to_string());
        }
        usual(panic);
    }));
    panics
}

impl Viewer {
    fn tags(&self) -> u64 {
        if let Some(hurt) = &*self.hurt.lock().expect("no viewer panics") {
            panic!("a viewer was hurt: {hurt}");
        }
        self.tags.load(Ordering::Relaxed)
    }

    /// A connection on which FLV comes; none before the stream is there.
    async fn enter(door: SocketAddr) -> Option<TcpStream> {
        let mut socket = TcpStream::connect(door).await.ok()?;
        let request = format!("GET /live/{SLUG}.flv HTTP/1.1\r\nHost: relay\r\n\r\n");
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
            head.push(socket.read_u8().await.ok()?);
        }
        head.starts_with(b"HTTP/1.1 200").then_some(socket)
    }

    async fn watch(self: Arc<Self>, mut socket: TcpStream) {
        let hurt = self
            .follow(&mut socket)
            .await
            .expect_err("it watches for ever");
        *self.hurt.lock().expect("no viewer panics") = Some(hurt);
    }

    async fn follow(&self, socket: &mut TcpStream) -> Result<std::convert::Infallible, String> {
        let mut reader = FlvReader::new();
        let mut bytes = vec![0; 64 << 10];
        let mut last = [0; 32];
        loop {
            let count = socket
                .read(&mut bytes)
                .await
                .map_err(|error| error.to_string())?;
            if count == 0 {
                return Err("its connection was closed".into());
            }
            reader
                .push(&bytes[..count])
                .map_err(|error| error.to_string())?;
            while let Some(tag) = reader.next_tag().map_err(|error| error.to_string())? {
                let last = &mut last[usize::from(tag.tag_type & 31)];
                if tag.timestamp_ms < *last {
                    return Err(format!("{} ms came after {last} ms", tag.timestamp_ms));
                }
                *last = tag.timestamp_ms;
                self.tags.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
