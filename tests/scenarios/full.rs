//! A relay without room sends its viewers to the gateway, which finds another, and says so when there is none.

use astral_proto::model::StreamState;
use harness::http::Answer;
use harness::{Cluster, Publisher, conformance, eventually, http};
use std::net::SocketAddr;

/// Most redirects that a player follows: 20 in browsers.
const REDIRECTS_MAX: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_without_room_is_sent_to_the_gateway_which_does_not_send_it_back() {
    let flags = [
        "--upstream-limit",
        "10",
        "--gateway-url",
        "http://gateway.test/",
    ];
    let cluster = Cluster::start_with(1, &flags).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;

    let relay = cluster.media(1);
    for (asked, mark) in [
        ("/live/demo.flv", ""),
        ("/live/demo/index.m3u8?x=1", "x=1&"),
    ] {
        let answer = http::get(relay, asked).await.expect("the relay answers");
        let path = asked.split('?').next().unwrap();
        let location = format!("http://gateway.test{path}?{mark}full={relay}");
        assert_eq!(
            (answer.status, answer.field("location")),
            (307, Some(&location[..]))
        );
    }
    let answer = cluster.get(&format!("/live/demo.flv?full={relay}")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(
        answer.text().contains(r#""code":"full""#),
        "{}",
        answer.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_whom_every_relay_sends_on_is_told_so_after_few_redirects() {
    let flags = [
        "--upstream-limit",
        "10",
        "--gateway-url",
        "http://gateway.test",
    ];
    let cluster = Cluster::start_with(3, &flags).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    for path in ["/live/demo.flv", "/live/demo/index.m3u8?x=1"] {
        let (redirects, answer) = follow(&cluster, cluster.media(1), path).await;
        assert!(redirects <= REDIRECTS_MAX, "{redirects} redirects");
        assert_eq!(
            (answer.status, answer.field("retry-after")),
            (503, Some("5")),
            "{}",
            answer.text()
        );
        assert!(
            answer.text().contains(r#""code":"full""#),
            "{}",
            answer.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_to_turn_a_viewer_away_has_an_answer_of_its_own_and_comes_at_once() {
    let cluster = Cluster::start(2).await;
    let made = http::post(cluster.http(), "/v1/streams", r#"{"slug":"later"}"#)
        .await
        .expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text());
    for door in [cluster.http(), cluster.media(1), cluster.media(2)] {
        for (slug, status, code, retry_after) in [
            ("later", 503, "not_begun", Some("2")),
            ("nowhere", 404, "not_found", None),
        ] {
            for path in [
                format!("/live/{slug}.flv"),
                format!("/live/{slug}/index.m3u8"),
            ] {
                let answer = http::get(door, &path).await.expect("an answer");
                assert_eq!(
                    (answer.status, answer.field("retry-after")),
                    (status, retry_after),
                    "{path}"
                );
                assert!(
                    answer.text().contains(&format!(r#""code":"{code}""#)),
                    "{}",
                    answer.text()
                );
            }
        }
    }
    let _publisher = Publisher::start(cluster.rtmp(1), "later");
    cluster.is_listed("later", StreamState::Live).await;
    eventually("a relay that said not_begun has the stream now", || async {
        let answer = http::get(cluster.media(2), "/live/later/index.m3u8").await?;
        (answer.status == 200).then_some(())
    })
    .await;
    conformance::watch(cluster.media(2), "later", 2)
        .await
        .faults
        .assert_none("a relay that said not_begun");
}

/// GETs `path` from `relay` and follows redirects; how many there were, and the last answer.
async fn follow(cluster: &Cluster, relay: SocketAddr, path: &str) -> (usize, Answer) {
    let mut door = relay;
    let mut path = path.to_owned();
    for redirects in 0..=REDIRECTS_MAX {
        let answer = http::get(door, &path).await.expect("an answer");
        let Some(location) = answer.field("location").map(str::to_owned) else {
            return (redirects, answer);
        };
        let (host, rest) = location
            .trim_start_matches("http://")
            .split_once('/')
            .expect("a path");
        door = if host == "gateway.test" {
            cluster.http()
        } else {
            host.parse().expect("a relay")
        };
        path = format!("/{rest}");
    }
    panic!("over {REDIRECTS_MAX} redirects, the last to {path}");
}
