//! The ops listener over real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use astral_chassis::{Config, Process};
use clap::Parser;
use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    process: Config,
}

fn start() -> Process {
    let args = Args::parse_from(["test", "--ops-listen=127.0.0.1:0", "--log-level=off"]);
    Process::start("test", &args.process).unwrap()
}

/// The status and the body.
async fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.into(),
    )
}

#[tokio::test]
async fn ready_once_started_and_every_latch_is_released_then_until_the_drain() {
    let process = start();
    let context = process.context();
    let address = process.ops_address();
    let latch = context.ready_latch("registration");
    assert_eq!(
        ask(address, "GET", "/readyz").await,
        (
            503,
            "not ready\nwaiting for start\nwaiting for registration\n".into()
        )
    );
    latch.release();
    assert_eq!(
        ask(address, "GET", "/readyz").await,
        (503, "not ready\nwaiting for start\n".into())
    );
    let running = tokio::spawn(process.run(ready(Ok::<_, Infallible>(()))));
    while !context.is_ready() {
        tokio::task::yield_now().await;
    }
    context.status("control_plane", "away");
    assert_eq!(
        ask(address, "GET", "/readyz").await,
        (200, "ready\ncontrol_plane: away\n".into())
    );
    assert_eq!(ask(address, "GET", "/livez").await, (200, "alive\n".into()));
    context.stop();
    assert_eq!(running.await.unwrap().unwrap(), ExitCode::SUCCESS);
}

#[tokio::test]
async fn metrics_counted_anywhere_in_the_program_are_shown() {
    let process = start();
    metrics::counter!("astral_test_total", "kind" => "good").increment(3);
    metrics::histogram!("astral_test_seconds").record(0.02);
    let (status, body) = ask(process.ops_address(), "GET", "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "astral_test_total{kind=\"good\"} 3",
        "astral_test_seconds_bucket{le=\"0.01\"} 0",
        "astral_test_seconds_bucket{le=\"0.025\"} 1",
        "astral_build_info{component=\"test\",version=\"0.1.0\"} 1",
    ] {
        assert!(body.lines().any(|found| found == line), "{line} in\n{body}");
    }
    assert!(body.contains("\nprocess_start_time_seconds 1"), "{body}");
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let process = start();
    assert_eq!(ask(process.ops_address(), "GET", "/").await.0, 404);
    assert_eq!(ask(process.ops_address(), "POST", "/livez").await.0, 405);
    assert_eq!(
        ask(process.ops_address(), "HEAD", "/livez").await,
        (200, String::new())
    );
}

#[tokio::test]
async fn garbage_closes_its_own_connection_and_no_other() {
    let process = start();
    let mut garbage = TcpStream::connect(process.ops_address()).await.unwrap();
    garbage.write_all(&[0xff; 1000]).await.unwrap();
    let mut answer = Vec::new();
    drop(garbage.read_to_end(&mut answer).await);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"));
    assert_eq!(ask(process.ops_address(), "GET", "/livez").await.0, 200);
}
