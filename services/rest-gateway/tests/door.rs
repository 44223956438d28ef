//! The gateway on a real socket: where it listens, and how it leaves.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use astral_backend::Backend;
use astral_chassis::Context;
use astral_rest_gateway::{Config, StartError, start};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn config(http_listen: &str, allow_open: bool) -> Config {
    Config {
        http_listen: http_listen.parse().unwrap(),
        allow_drills: false,
        api_tokens_file: None,
        publish_url: None,
        allow_open,
    }
}

async fn open(config: Config, context: &Context) -> Result<SocketAddr, StartError> {
    start(config, Backend::local(), context.clone())
        .await
        .map(|started| started.address)
}

/// Everything that comes until the gateway closes.
async fn rest(socket: &mut TcpStream) -> String {
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn strangers_are_served_only_where_that_is_meant() {
    let context = Context::detached();
    let refused = open(config("0.0.0.0:0", false), &context)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("--allow-open"), "{refused}");
    open(config("0.0.0.0:0", true), &context).await.unwrap();
    context.stop();
    assert!(context.drained().await);
}

#[tokio::test]
async fn with_tokens_it_serves_beyond_loopback_and_without_good_ones_not_at_all() {
    let context = Context::detached();
    let file = std::env::temp_dir().join(format!("astral-door-{}.toml", std::process::id()));
    let with_tokens = || Config {
        api_tokens_file: Some(file.clone()),
        ..config("0.0.0.0:0", false)
    };
    let refused = open(with_tokens(), &context).await.unwrap_err();
    assert!(
        refused.to_string().contains("--api-tokens-file"),
        "{refused}"
    );
    std::fs::write(&file, "").unwrap();
    let address = open(with_tokens(), &context).await.unwrap();
    std::fs::remove_file(&file).unwrap();
    let mut socket = TcpStream::connect(("127.0.0.1", address.port()))
        .await
        .unwrap();
    socket
        .write_all(b"GET /v1/nodes HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(rest(&mut socket).await.starts_with("HTTP/1.1 401"));
    context.stop();
    assert!(context.drained().await);
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let context = Context::detached();
    let taken = open(config("127.0.0.1:0", false), &context).await.unwrap();
    let refused = open(config(&taken.to_string(), false), &context)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains(&taken.to_string()),
        "{refused}"
    );
}

#[tokio::test]
async fn a_target_without_a_path_is_refused_and_harms_nothing() {
    let context = Context::detached();
    let address = open(config("127.0.0.1:0", false), &context).await.unwrap();
    for (request, status) in [
        ("GET example.com", 400),
        ("CONNECT example.com:443", 400),
        ("OPTIONS *", 404),
        ("GET http://example.com", 200),
        ("GET *", 404),
    ] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let head = format!("{request} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        let answer = rest(&mut socket).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
    }
    context.stop();
    assert!(context.drained().await);
}

/// A request is in hand when the drain begins: its head has arrived, its body has not. It is
/// answered; an idle connection is closed.
#[tokio::test]
async fn a_drain_answers_the_request_in_hand_and_closes_the_rest() {
    let context = Context::detached();
    let address = open(config("127.0.0.1:0", false), &context).await.unwrap();
    let mut busy = TcpStream::connect(address).await.unwrap();
    let head = b"POST /v1/ping HTTP/1.1\r\nhost: here\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    busy.write_all(head).await.unwrap();
    let mut go_on = [0; 25];
    busy.read_exact(&mut go_on).await.unwrap();
    assert!(
        go_on.starts_with(b"HTTP/1.1 100"),
        "the handler is reading the body"
    );
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /v1/ping?bytes=1 HTTP/1.1\r\nhost: here\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");

    context.stop();
    rest(&mut idle).await;
    busy.write_all(b"ping").await.unwrap();
    let answer = rest(&mut busy).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with(r#"{"bytes":4}"#),
        "{answer}"
    );
    assert!(context.drained().await);
    TcpStream::connect(address).await.unwrap_err();
}
