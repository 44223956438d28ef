use super::*;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const WITHIN: Duration = Duration::from_secs(4);

/// Where nobody listens.
async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

/// A gateway that says `answer` to whatever it is asked; to nothing at all if that is empty.
async fn gateway(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            if answer.is_empty() {
                silent.push(socket);
                continue;
            }
            let mut request = [0; 4 << 10];
            drop(socket.read(&mut request).await);
            drop(socket.write_all(answer.as_bytes()).await);
        }
    });
    address
}

fn client(gateways: &[SocketAddr]) -> Client {
    let join: Vec<Uri> = gateways
        .iter()
        .map(|address| format!("http://{address}/").parse().unwrap())
        .collect();
    Client::new(&join, None).unwrap()
}

async fn ask(client: &Client) -> Result<Bytes, Problem> {
    client
        .send(Method::GET, "/v1/ping", Bytes::new(), WITHIN)
        .await
}

const GOOD: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ngood";
const JSON: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ntrue";
const AWAY: &str = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 45\r\n\r\n\
    {\"code\":\"control_plane_away\",\"detail\":\"away\"}";
const REFUSED: &str = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 34\r\n\r\n\
    {\"code\":\"forbidden\",\"detail\":\"no\"}";

#[tokio::test]
async fn the_next_gateway_is_asked_at_once_when_one_is_gone_and_from_then_on() {
    let gone = nowhere().await;
    let good = gateway(GOOD).await;
    let client = client(&[gone, good]);
    let mut switches = client.switches();
    assert_eq!(client.base(), format!("http://{gone}"));
    assert_eq!(ask(&client).await.unwrap(), "good");
    assert_eq!(client.base(), format!("http://{good}"));
    assert!(switches.has_changed().unwrap());
    switches.mark_unchanged();
    ask(&client).await.unwrap();
    assert!(!switches.has_changed().unwrap());
    assert_eq!(client.bases(), format!("http://{gone},http://{good}"));
}

const UNKNOWN_PATH: &str = "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 39\r\n\r\n\
    {\"code\":\"not_found\",\"detail\":\"no path\"}";

/// A gateway of the version before this one, which knows only its own path for the heartbeat of
/// node `n`.
async fn older_gateway() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 4 << 10];
            let length = socket.read(&mut request).await.unwrap_or(0);
            let is_known = request[..length].starts_with(b"PUT /v1/nodes/n HTTP/1.1");
            let answer = if is_known { JSON } else { UNKNOWN_PATH };
            drop(socket.write_all(answer.as_bytes()).await);
        }
    });
    address
}

#[tokio::test]
async fn an_older_gateway_is_asked_where_it_has_the_operations_of_nodes() {
    let client = client(&[older_gateway().await]);
    assert!(
        client
            .ask::<bool>(Method::PUT, "/v1/node/n", &(), WITHIN)
            .await
            .unwrap()
    );
    let unknown = client
        .ask::<bool>(Method::PUT, "/v1/node/m", &(), WITHIN)
        .await;
    assert_eq!(unknown.unwrap_err().code, Code::NotFound);
}

/// As [`gateway`], slow to say that all is good.
async fn slow_gateway(takes: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            drop(socket.read(&mut [0; 4 << 10]).await);
            tokio::time::sleep(takes).await;
            drop(socket.write_all(GOOD.as_bytes()).await);
        }
    });
    address
}

/// A ticket may take its gateway most of the time, whether or not there are others and one of them
/// is frozen.
#[tokio::test]
async fn each_gateway_has_all_of_the_time_that_one_may_take() {
    let within = Duration::from_secs(1);
    let frozen = gateway("").await;
    let slow = slow_gateway(within * 3 / 4).await;
    let client = client(&[slow, frozen]);
    assert_eq!(
        client
            .send(Method::GET, "/", Bytes::new(), within)
            .await
            .unwrap(),
        "good"
    );
    assert_eq!(
        client.base(),
        format!("http://{slow}"),
        "it is slow, and there"
    );
    let client = self::client(&[frozen, slow]);
    assert_eq!(
        client
            .send(Method::GET, "/", Bytes::new(), within)
            .await
            .unwrap(),
        "good"
    );
    assert_eq!(
        client.base(),
        format!("http://{slow}"),
        "the frozen one is left"
    );
}

#[tokio::test]
async fn a_gateway_without_a_control_plane_is_left_and_one_that_refuses_is_not() {
    let away = gateway(AWAY).await;
    let refusing = gateway(REFUSED).await;
    let client = client(&[away, refusing]);
    assert_eq!(ask(&client).await.unwrap_err().code, Code::ControlPlaneAway);
    for _ in 0..2 {
        assert_eq!(ask(&client).await.unwrap_err().code, Code::Forbidden);
        assert_eq!(client.base(), format!("http://{refusing}"));
    }
}

/// Such as a page that says that all will be well soon.
#[tokio::test]
async fn a_gateway_that_speaks_another_language_is_left() {
    let page = gateway(GOOD).await;
    let good = gateway(JSON).await;
    let client = client(&[page, good]);
    let ask = async || {
        client
            .ask::<bool>(Method::PUT, "/v1/nodes/n", &(), WITHIN)
            .await
    };
    let problem = ask().await.unwrap_err();
    assert_eq!(problem.code, Code::ControlPlaneAway);
    assert!(problem.detail.starts_with(&format!(
        "the gateway http://{page} answers what cannot be read"
    )));
    assert_eq!(client.base(), format!("http://{good}"));
    assert!(ask().await.unwrap());
}

#[tokio::test]
async fn each_gateway_is_asked_once_and_all_that_are_gone_are_named() {
    let gone = [nowhere().await, nowhere().await];
    let client = client(&gone);
    let problem = ask(&client).await.unwrap_err();
    assert_eq!(problem.code, Code::ControlPlaneAway);
    for address in gone {
        assert_eq!(
            problem
                .detail
                .matches(&format!("{address} cannot be reached"))
                .count(),
            1,
            "{problem}"
        );
    }
    let one = self::client(&gone[..1]);
    ask(&one).await.unwrap_err();
    assert_eq!(
        one.base(),
        format!("http://{}", gone[0]),
        "there is no other"
    );
}
