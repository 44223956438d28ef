//! How soon `astral up` is ready, and what it weighs then.

use crate::process::Network;
use crate::report::{Promise, Report};
use crate::stats::median;
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const READY_SECONDS: Promise = Promise {
    most: 0.5,
    aim: 0.2,
};
const IDLE_MB: Promise = Promise {
    most: 60.0,
    aim: 30.0,
};
const STARTS: usize = 5;
const WAIT: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_secs(2);

/// Starts it a few times; the median counts.
///
/// # Errors
/// If it never is ready.
pub async fn run(report: &mut Report) -> Result<()> {
    let mut seconds = Vec::new();
    let mut megabytes = Vec::new();
    for _ in 0..STARTS {
        let begun = Instant::now();
        let network = Network::start(1).await?;
        timeout(WAIT, until_ready(network.ops))
            .await
            .context("astral up is never ready")??;
        seconds.push(begun.elapsed().as_secs_f64());
        sleep(SETTLE).await;
        megabytes.push(network.server.resident_bytes()? / 1e6);
    }
    report.judge(
        "astral up: ready after, s",
        median(&mut seconds),
        &READY_SECONDS,
    );
    report.judge(
        "astral up: idle memory, MB",
        median(&mut megabytes),
        &IDLE_MB,
    );
    Ok(())
}

async fn until_ready(ops: SocketAddr) -> Result<()> {
    while !is_ready(ops).await? {
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

async fn is_ready(ops: SocketAddr) -> Result<bool> {
    let mut socket = TcpStream::connect(ops).await?;
    socket
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: astral\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}
