//! NATS, Redis, and the two services that a ticket needs.

use crate::process::{Server, build};
use anyhow::{Context, Result};
use astral_backend::{Backend, Config};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::{Add, Sub};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const START_WAIT: Duration = Duration::from_secs(20);
const ANSWER_WAIT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// All of them, and a backend on them.
pub struct Servers {
    /// The bus and the state.
    pub backend: Backend,
    redis: SocketAddr,
    nats: SocketAddr,
    nats_server: Server,
    redis_server: Server,
    broker: Server,
    _directory: Server,
}

/// Seconds on a CPU.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    /// Of the broker.
    pub broker: f64,
    /// Of NATS.
    pub bus: f64,
    /// Of Redis.
    pub state: f64,
}

impl Add for Cpu {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            broker: self.broker + other.broker,
            bus: self.bus + other.bus,
            state: self.state + other.state,
        }
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            broker: self.broker - other.broker,
            bus: self.bus - other.bus,
            state: self.state - other.state,
        }
    }
}

impl Servers {
    /// Starts them on free ports and waits until they answer.
    pub async fn start() -> Result<Self> {
        build(&["astral-directory", "astral-ticket-broker"])?;
        let nats = free()?;
        let redis = free()?;
        let nats_port = nats.port().to_string();
        let redis_port = redis.port().to_string();
        let nats_server = Server::anywhere("nats-server", &["-a", "127.0.0.1", "-p", &nats_port])?;
        let args = ["--port", &redis_port, "--save", "", "--appendonly", "no"];
        let redis_server = Server::anywhere("redis-server", &args)?;
        until_open(nats).await?;
        until_open(redis).await?;
        let [bus, bus_url, state, state_url] = addresses(nats, redis);
        let args = [
            &bus,
            &bus_url,
            &state,
            &state_url,
            "--ops-listen",
            "127.0.0.1:0",
        ];
        let directory = Server::anywhere_beside_this("astral-directory", &args)?;
        let broker = Server::anywhere_beside_this("astral-ticket-broker", &args)?;
        let backend = Backend::connect(&Config {
            bus_url: bus_url.into(),
            state_url: state_url.into(),
        })
        .await?;
        Ok(Self {
            backend,
            redis,
            nats,
            nats_server,
            redis_server,
            broker,
            _directory: directory,
        })
    }

    /// Where bus and state are, as arguments of a program.
    pub fn addresses(&self) -> [String; 4] {
        addresses(self.nats, self.redis)
    }

    /// What they have cost so far.
    pub fn cpu(&self) -> Result<Cpu> {
        let broker = self.broker.cpu_seconds()?;
        let bus = self.nats_server.cpu_seconds()?;
        Ok(Cpu {
            broker,
            bus,
            state: self.redis_server.cpu_seconds()?,
        })
    }

    /// What Redis holds, in bytes.
    pub async fn redis_bytes(&self) -> Result<f64> {
        let mut socket = TcpStream::connect(self.redis).await?;
        socket.write_all(b"INFO memory\r\n").await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") && answer.len() < 1 << 16 {
            let read = timeout(ANSWER_WAIT, socket.read_buf(&mut answer))
                .await
                .context("Redis is silent")??;
            if read == 0 || String::from_utf8_lossy(&answer).contains("used_memory_human") {
                break;
            }
        }
        let answer = String::from_utf8_lossy(&answer);
        let used = answer
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        Ok(used.context("Redis tells no memory")?.trim().parse()?)
    }
}

fn addresses(nats: SocketAddr, redis: SocketAddr) -> [String; 4] {
    [
        "--bus-url".into(),
        format!("nats://{nats}"),
        "--state-url".into(),
        format!("redis://{redis}"),
    ]
}

fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

async fn until_open(address: SocketAddr) -> Result<()> {
    let open = async {
        while TcpStream::connect(address).await.is_err() {
            sleep(LOOK).await;
        }
    };
    timeout(START_WAIT, open)
        .await
        .with_context(|| format!("nothing listens at {address}"))
}
