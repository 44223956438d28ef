use super::request::HEAD_WAIT;
use super::*;
use astral_proto::{Code, Problem};
use bytes::{Bytes, BytesMut};
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

async fn read(head: &[u8]) -> Result<Option<Request>, HttpError> {
    read_request(&mut &head[..], &mut BytesMut::new()).await
}

#[tokio::test]
async fn a_request_is_read_with_its_query_and_token() {
    let head =
        b"GET /relay/demo?from=3.4&x=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer abc\r\n\r\n";
    let request = read(head).await.unwrap().unwrap();
    assert_eq!(request.path, "/relay/demo");
    assert_eq!(request.parameter("from"), Some("3.4"));
    assert_eq!(request.parameter("y"), None);
    assert_eq!(request.bearer.as_deref(), Some("abc"));
    assert!(request.keep_alive);
}

#[tokio::test]
async fn a_connection_is_kept_unless_one_of_the_options_named_is_close() {
    for (version, fields, kept) in [
        ("1.1", "", true),
        ("1.1", "Connection: close, TE\r\n", false),
        ("1.1", "Connection: TE , Close\r\n", false),
        ("1.1", "Connection: TE\r\n", true),
        (
            "1.1",
            "Connection: close\r\nConnection: keep-alive\r\n",
            false,
        ),
        (
            "1.1",
            "Connection: keep-alive\r\nConnection: close\r\n",
            false,
        ),
        ("1.0", "", false),
        ("1.0", "Connection: TE, Keep-Alive\r\n", true),
    ] {
        let head = format!("GET / HTTP/{version}\r\n{fields}\r\n");
        let request = read(head.as_bytes()).await.unwrap().unwrap();
        assert_eq!(request.keep_alive, kept, "{head}");
    }
}

#[tokio::test]
async fn requests_behind_one_another_are_read_one_by_one() {
    let mut buffer = BytesMut::new();
    let mut socket = &b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.0\r\n\r\n"[..];
    let first = read_request(&mut socket, &mut buffer)
        .await
        .unwrap()
        .unwrap();
    let second = read_request(&mut socket, &mut buffer)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((first.path.as_str(), second.path.as_str()), ("/a", "/b"));
    assert!(!second.keep_alive);
    assert_eq!(read_request(&mut socket, &mut buffer).await.unwrap(), None);
}

#[tokio::test]
async fn long_heads_bodies_and_noise_are_refused() {
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(9000));
    assert_eq!(
        read(long.as_bytes()).await.unwrap_err().reason(),
        "head_too_long"
    );
    assert_eq!(
        read(b"\x03\x00\x00\x00 noise\r\n\r\n")
            .await
            .unwrap_err()
            .reason(),
        "not_http"
    );
    let body = b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(read(body).await.unwrap_err().reason(), "body");
    assert_eq!(
        read(b"GET / HTTP/1.1\r\nHos").await.unwrap(),
        None,
        "a peer that stops halfway is done"
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_drips_its_head_is_given_up() {
    let (_open, mut socket) = tokio::io::duplex(64);
    let outcome = read_request(&mut socket, &mut BytesMut::new()).await;
    assert_eq!(outcome.unwrap_err().reason(), "slow");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_given_up() {
    let (_deaf, mut socket) = tokio::io::duplex(64);
    let request = Request {
        method: "GET".into(),
        ..Request::default()
    };
    let response = Response::ok("video/mp4", IMMUTABLE, vec![Bytes::from(vec![0; 1000])]);
    assert_eq!(
        respond(&mut socket, &request, response)
            .await
            .unwrap_err()
            .reason(),
        "slow"
    );
}

#[tokio::test]
async fn a_response_has_its_length_and_head_leaves_the_body_out() {
    let body = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
    for (method, end) in [("GET", "\r\n\r\nonetwo"), ("HEAD", "\r\n\r\n")] {
        let request = Request {
            method: method.into(),
            keep_alive: true,
            ..Request::default()
        };
        let mut sent = Vec::new();
        let response = Response::ok("video/mp4", IMMUTABLE, body.clone());
        respond(&mut sent, &request, response).await.unwrap();
        let sent = String::from_utf8(sent).unwrap();
        assert!(
            sent.contains("Content-Length: 6\r\n") && sent.ends_with(end),
            "{sent}"
        );
    }
}

#[tokio::test]
async fn problems_are_documents_with_their_status() {
    let problem = Problem::new(Code::NotFound, "there is no stream nope");
    let mut sent = Vec::new();
    respond(&mut sent, &Request::default(), Response::problem(&problem))
        .await
        .unwrap();
    let sent = String::from_utf8(sent).unwrap();
    assert!(sent.starts_with("HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json"));
    assert!(sent.contains(r#""code":"not_found""#));
}

#[test]
fn a_peer_that_goes_away_is_no_failure_and_one_that_breaks_http_is() {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, PermissionDenied, TimedOut, UnexpectedEof};
    for left in [BrokenPipe, ConnectionReset, UnexpectedEof] {
        assert!(
            HttpError::from(io::Error::from(left)).is_departure(),
            "{left}"
        );
    }
    for failed in [TimedOut, PermissionDenied] {
        assert!(
            !HttpError::from(io::Error::from(failed)).is_departure(),
            "{failed}"
        );
    }
    assert!(!HttpError::Body.is_departure() && !HttpError::Slow(HEAD_WAIT).is_departure());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_byte_by_byte_is_given_up_as_soon_as_one_that_stops() {
    let (mut peer, mut socket) = tokio::io::duplex(64);
    let dripping = async {
        loop {
            peer.write_all(b"x").await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let begun = tokio::time::Instant::now();
    let mut buffer = BytesMut::new();
    let outcome = tokio::select! {
        outcome = read_request(&mut socket, &mut buffer) => outcome,
        () = dripping => unreachable!("it drips for ever"),
    };
    assert_eq!(outcome.unwrap_err().reason(), "slow");
    assert_eq!(begun.elapsed(), HEAD_WAIT);
}

/// The next head in `pieces`, fed one after the other, and how many bytes are left of those fed.
fn head<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<(Request, usize)> {
    let mut buffer = BytesMut::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        if let Some(request) = parse_head(&mut buffer).ok()? {
            return Some((request, buffer.len()));
        }
    }
    None
}

proptest::proptest! {
    #[test]
    fn a_head_is_the_same_however_its_bytes_come(
        path in "/[a-z0-9./]{0,40}",
        token in "[A-Za-z0-9._-]{1,40}",
        piece in 1..50usize,
    ) {
        let bytes = format!("GET {path}?a=b HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n");
        let expected = Request {
            method: "GET".into(),
            path,
            query: Some("a=b".into()),
            bearer: Some(token),
            keep_alive: true,
            ..Request::default()
        };
        proptest::prop_assert_eq!(head(bytes.as_bytes().chunks(piece)), Some((expected, 0)));
    }

    #[test]
    fn garbage_is_no_head_that_takes_nothing(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        if let Some((_, left)) = head(std::iter::once(&bytes[..])) {
            proptest::prop_assert!(left < bytes.len());
        }
    }
}
