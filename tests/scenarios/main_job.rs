//! One relay: a publisher's stream is listed, plays, and ends.

use astral_proto::model::StreamState;
use harness::{Cluster, Ending, Publisher, Viewer, conformance, eventually, hls, http, player};

#[tokio::test(flavor = "multi_thread")]
async fn a_published_stream_is_listed_live_and_plays_without_error_in_every_form() {
    let cluster = Cluster::start(1).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    let listed = cluster.is_listed("demo", StreamState::Live).await;
    assert_eq!((listed.epoch, listed.origin), (1, Some(cluster.node(1))));

    let gateway = cluster.http();
    let rtmp = cluster.rtmp(1);
    let urls = [
        format!("http://{gateway}/live/demo/index.m3u8"),
        format!("http://{gateway}/live/demo.flv"),
        format!("rtmp://{rtmp}/live/demo"),
    ];
    for url in urls {
        assert_eq!(player::probe(&url).await, ["aac", "h264"], "{url}");
        player::decode(&url, 4).await;
    }
    conformance::watch(cluster.media(1), "demo", 3)
        .await
        .faults
        .assert_none("the origin");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nobody_has_published_is_a_404_problem_document() {
    let cluster = Cluster::start(1).await;
    let doors = [
        (cluster.http(), "/v1/streams/nobody"),
        (cluster.http(), "/v1/streams/nobody/tree"),
        (cluster.http(), "/live/nobody/index.m3u8"),
        (cluster.media(1), "/live/nobody/index.m3u8"),
        (cluster.media(1), "/live/nobody.flv"),
    ];
    for (server, path) in doors {
        let answer = http::get(server, path).await.expect("an answer");
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        assert_eq!(
            answer.field("content-type"),
            Some("application/problem+json"),
            "{path}"
        );
        assert_eq!(
            answer.json::<serde_json::Value>()["code"],
            "not_found",
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_publisher_stays_away_ends_for_viewers_and_in_its_playlist() {
    let cluster = Cluster::start(3).await;
    let publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    let viewer = Viewer::start(cluster.media(3), "demo");
    viewer.sees_more(30).await;
    publisher.kill().await;
    cluster.is_listed("demo", StreamState::Grace).await;
    assert_eq!(viewer.ending(), None, "the grace window holds viewers");
    cluster.is_listed("demo", StreamState::Ended).await;
    for number in [1, 3] {
        eventually("the playlist has an end", || async {
            let playlist = hls::playlist(cluster.media(number), "demo").await?;
            playlist.contains("#EXT-X-ENDLIST").then_some(())
        })
        .await;
    }
    assert_eq!(
        eventually("the viewer's connection ends", || async { viewer.ending() }).await,
        Ending::AtTagBorder
    );
    player::decode(
        &format!("http://{}/live/demo/index.m3u8", cluster.media(3)),
        4,
    )
    .await;
}
