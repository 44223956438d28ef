//! What is not HTTP, or more of it than anybody needs, at the media listener and the gateway.

use crate::house::{SLUG, house};
use crate::wire::{get, send};
use std::net::SocketAddr;

/// Every HTTP listener of the house, by what it is.
fn listeners() -> [(&'static str, SocketAddr); 4] {
    let house = house();
    let control = house.edge.started.control_address;
    [
        ("gateway", house.cluster.http()),
        ("media", house.cluster.media(1)),
        ("ops", house.ops),
        ("control", control),
    ]
}

fn both() -> [SocketAddr; 2] {
    [house().cluster.media(1), house().cluster.http()]
}

/// A head of 1 MiB that never ends.
fn long_head() -> Vec<u8> {
    [
        b"GET / HTTP/1.1\r\nHost: relay\r\nX-Long: ".to_vec(),
        vec![b'x'; 1 << 20],
    ]
    .concat()
}

#[tokio::test]
async fn noise_is_answered_with_400() {
    let attack = async {
        for noise in [
            &b"\x03\0\0\0\0\0\r\n\r\n"[..],
            b"\x16\x03\x01\x02\0\x01\0\r\n\r\n",
            b"GET\r\n\r\n",
        ] {
            for door in both() {
                assert_eq!(send(door, noise).await.status, 400, "{door}");
            }
        }
    };
    house().endures("media", "not_http", attack).await;
}

#[tokio::test]
async fn a_head_of_1_mib_is_not_read_to_its_end() {
    let attack = async {
        for door in both() {
            let answer = send(door, &long_head()).await;
            // What is unread when the door closes may cost the peer the answer.
            assert!([0, 431].contains(&answer.status), "{door}: {}", answer.text);
        }
    };
    house().endures("media", "head_too_long", attack).await;
}

#[tokio::test]
async fn a_body_is_refused_where_none_is_taken() {
    let request = format!("GET /live/{SLUG}/index.m3u8 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
    let attack = async {
        send(house().cluster.media(1), request.as_bytes())
            .await
            .is_problem(413, "bad_request");
    };
    house().endures("media", "body", attack).await;
}

#[tokio::test]
async fn a_chunked_body_smuggles_no_request() {
    let request = "GET /live/a.flv HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /live/b HTTP/1.1\r\n\r\n";
    let answer = send(house().cluster.media(1), request.as_bytes()).await;
    answer.is_problem(413, "bad_request");
    assert_eq!(
        answer.text.matches("HTTP/1.1 ").count(),
        1,
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn requests_sent_all_at_once_are_answered_in_their_order() {
    let unknown = "GET /live/none-1/x HTTP/1.1\r\nHost: relay\r\n\r\n".repeat(20);
    let last = "GET /live/none-2/x HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
    let requests = unknown + last;
    let answer = send(house().cluster.media(1), requests.as_bytes()).await;
    assert_eq!(
        answer.text.matches("HTTP/1.1 404").count(),
        21,
        "{}",
        answer.text
    );
    let first = answer.text.rfind("none-1");
    let second = answer.text.find("none-2");
    assert!(first.is_some() && first < second, "{}", answer.text);
}

#[tokio::test]
async fn other_methods_are_answered_with_a_problem() {
    for method in ["DELETE", "PUT", "BREW"] {
        let request = format!(
            "{method} /live/{SLUG}.flv HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n"
        );
        send(house().cluster.media(1), request.as_bytes())
            .await
            .is_problem(400, "bad_request");
        send(house().cluster.http(), request.as_bytes())
            .await
            .is_problem(405, "bad_request");
    }
}

#[tokio::test]
async fn a_stream_that_does_not_exist_is_a_problem_document_everywhere() {
    for target in [
        "/live/nope.flv",
        "/live/nope/index.m3u8",
        "/live/nope/media.m3u8",
        "/live/nope/1/0.m4s",
    ] {
        for door in both() {
            get(door, target, "").await.is_problem(404, "not_found");
        }
        get(house().cluster.media(2), target, "")
            .await
            .is_problem(404, "not_found");
    }
    get(house().cluster.http(), "/v1/streams/nope", "")
        .await
        .is_problem(404, "not_found");
}

#[tokio::test]
async fn paths_lead_nowhere_else() {
    let climbing = [
        "/live/demo/../..",
        "/live/demo/../../etc/passwd",
        "/live/../../etc/passwd",
        "/live/%2e%2e/x",
        "/live/demo/%2e%2e/1.m4s",
        "/assets/../Cargo.toml",
        "/assets/..%2f..%2fCargo.toml",
        "//etc/passwd",
    ];
    for target in climbing {
        let answer = get(house().cluster.media(1), target, "").await;
        assert!(
            [400, 404].contains(&answer.status),
            "{target}: {}",
            answer.text
        );
        let answer = get(house().cluster.http(), target, "").await;
        assert!(
            [307, 400, 404].contains(&answer.status),
            "{target}: {}",
            answer.text
        );
        let location = answer
            .text
            .lines()
            .find(|line| line.to_ascii_lowercase().starts_with("location:"));
        let ours = [1, 2].map(|relay| format!("http://{}/live/", house().cluster.media(relay)));
        assert!(
            location.is_none_or(|to| ours.iter().any(|ours| to.contains(ours))),
            "{target}: {location:?}"
        );
    }
}

#[tokio::test]
async fn head_is_answered_as_get_without_the_body() {
    let ask = async |target: &str| {
        let request = format!("HEAD {target} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n");
        let answer = send(house().cluster.media(2), request.as_bytes()).await;
        let (head, body) = answer.text.split_once("\r\n\r\n").expect("a head");
        assert_eq!(body, "", "{target}");
        (answer.status, head.to_ascii_lowercase())
    };
    assert_eq!(ask("/live/nope.flv").await.0, 404);
    assert_eq!(ask("/live/nope/index.m3u8").await.0, 404);
    let (status, head) = ask(&format!("/live/{SLUG}.flv")).await;
    assert!(
        status == 200 && !head.contains("content-length") && head.contains("video/x-flv"),
        "{head}"
    );
    let (status, head) = ask(&format!("/live/{SLUG}/media.m3u8")).await;
    assert!(status == 200 && head.contains("content-length"), "{head}");
}

#[tokio::test]
async fn a_target_may_be_absolute_or_percent_encoded() {
    let media = house().cluster.media(2);
    let name = SLUG.replacen('d', "%64", 1);
    for target in [
        format!("http://relay:8081/live/{SLUG}/media.m3u8"),
        format!("HTTP://relay/live/{SLUG}/media.m3u8?x=1"),
        format!("/live/{name}/%6Dedia%2Em3u8"),
    ] {
        let answer = get(media, &target, "").await;
        assert!(
            answer.status == 200 && answer.text.contains("#EXTM3U"),
            "{target}: {}",
            answer.text
        );
    }
    get(media, &format!("/live%2F{SLUG}/media.m3u8"), "")
        .await
        .is_problem(404, "not_found");
}

#[tokio::test]
async fn every_listener_answers_whatever_stands_in_the_request_line() {
    let lines = [
        "GET example.com",
        "CONNECT example.com:443",
        "CONNECT /",
        "OPTIONS *",
        "GET *",
        "GET http://example.com",
        "GET http://example.com?x=1",
        "GET ftp://example.com/x",
        "GET http://[::1]:80/%2e%2e",
        "GET /%",
        "GET /%zz?%zz",
        "GET //",
        "GET ?x",
        "GET /?",
        "HEAD mailto:a@b",
        "TRACE /",
        "PRI *",
        "BREW /live/demo.flv",
    ];
    for (listener, door) in listeners() {
        for line in lines {
            let request =
                format!("{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
            let answer = send(door, request.as_bytes()).await;
            assert!(
                (200..500).contains(&answer.status),
                "{listener}: {line}: {answer:?}"
            );
        }
    }
    assert_eq!(house().panics(), Vec::<String>::new());
    house().is_unharmed().await;
}

#[tokio::test]
async fn a_target_without_a_path_is_a_bad_request() {
    for (listener, door) in listeners() {
        for line in ["GET example.com", "CONNECT example.com:443"] {
            let request =
                format!("{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
            let status = send(door, request.as_bytes()).await.status;
            assert!(
                [400, 404, 405].contains(&status),
                "{listener}: {line}: {status}"
            );
        }
    }
}

#[tokio::test]
async fn the_gateway_knows_a_stream_by_any_spelling_of_its_name() {
    let http = house().cluster.http();
    let name = SLUG.replacen('d', "%64", 1);
    for target in [
        format!("/live/{name}/index.m3u8?x=1"),
        format!("http://gateway.example/live/{SLUG}/index.m3u8?x=1"),
        format!("/live/{name}%2Eflv?x=1"),
    ] {
        let answer = get(http, &target, "").await;
        assert_eq!(answer.status, 307, "{target}: {}", answer.text);
        assert!(
            answer.text.contains(&format!("/live/{SLUG}")),
            "{target}: {}",
            answer.text
        );
    }
    assert_eq!(
        get(http, &format!("/v1/streams/{name}"), "").await.status,
        200
    );
    get(http, "/live/a%2Fb/index.m3u8", "")
        .await
        .is_problem(400, "bad_request");
}

#[tokio::test]
async fn pages_of_any_origin_may_play_from_the_gateway_and_the_relays() {
    for door in both() {
        for target in [
            format!("/live/{SLUG}/index.m3u8"),
            format!("/live/{SLUG}.flv"),
        ] {
            let request = format!(
                "OPTIONS {target} HTTP/1.1\r\nHost: here\r\nOrigin: https://a.example\r\n\
                 Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: range\r\n\
                 Connection: close\r\n\r\n"
            );
            let answer = send(door, request.as_bytes()).await;
            let head = answer.text.to_ascii_lowercase();
            assert_eq!(answer.status, 204, "{}", answer.text);
            assert!(
                head.contains("access-control-allow-origin: *\r\n"),
                "{head}"
            );
            assert!(
                head.contains("access-control-allow-headers: *\r\n"),
                "{head}"
            );
            let head_request =
                format!("HEAD {target} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
            let answer = send(door, head_request.as_bytes()).await;
            let head = answer.text.to_ascii_lowercase();
            assert!([200, 307].contains(&answer.status), "{}", answer.text);
            assert!(
                head.contains("access-control-allow-origin: *\r\n"),
                "{head}"
            );
            assert!(head.ends_with("\r\n\r\n"), "a body: {head}");
        }
    }
}

#[tokio::test]
async fn playlists_are_compressed_for_whoever_takes_gzip() {
    for name in ["index", "media"] {
        let target = format!("/live/{SLUG}/{name}.m3u8");
        let plain = get(
            house().cluster.media(2),
            &target,
            "Accept-Encoding: br, gzip;q=0\r\n",
        )
        .await;
        assert!(
            plain.text.contains("#EXTM3U") && plain.text.contains("Vary: Accept-Encoding"),
            "{}",
            plain.text
        );
        let packed = get(
            house().cluster.media(2),
            &target,
            "Accept-Encoding: br, gzip\r\n",
        )
        .await;
        assert!(
            packed.text.contains("Content-Encoding: gzip\r\n"),
            "{}",
            packed.text
        );
        assert!(!packed.text.contains("#EXTM3U"), "{}", packed.text);
    }
}
