//! Leaving: what is there is served to the end of the deadline, then ended cleanly.

use astral_proto::model::StreamState;
use harness::{Cluster, Ending, Publisher, Viewer, conformance, eventually, hls, http};

/// Tags of this type are pictures.
const VIDEO: u8 = 9;
/// Of the harness's publisher, in pictures.
const KEYFRAME_INTERVAL: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn viewers_of_a_network_that_leaves_are_served_on_and_end_at_a_gop_border() {
    let cluster = Cluster::start(3).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    let viewers = [
        Viewer::start(cluster.media(1), "demo"),
        Viewer::start(cluster.media(3), "demo"),
    ];
    for viewer in &viewers {
        viewer.sees_more(30).await;
    }
    let late = cluster.media(1);
    let stopping = tokio::spawn(cluster.stop());
    for viewer in &viewers {
        viewer.sees_more(60).await;
    }
    let refused = Viewer::start(late, "demo");
    assert_eq!(
        eventually("a late viewer is refused", || async { refused.ending() }).await,
        Ending::Refused(503)
    );
    for viewer in &viewers {
        let ending = eventually("a viewer's connection ends", || async { viewer.ending() }).await;
        assert_eq!(ending, Ending::AtTagBorder);
        let frames = viewer.frames();
        let pictures = frames.iter().rev().filter(|frame| frame.tag_type == VIDEO);
        let since_keyframe = pictures.take_while(|frame| !frame.keyframe).count();
        assert_eq!(
            since_keyframe + 1,
            KEYFRAME_INTERVAL,
            "the last GOP is whole"
        );
    }
    assert!(
        stopping.await.expect("it does not panic"),
        "everything ends before the deadline"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_whose_request_waits_as_its_relay_leaves_is_answered() {
    let cluster = Cluster::start(1).await;
    let publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    let media = cluster.media(1);
    let playlist = eventually("there is a playlist", || hls::playlist(media, "demo")).await;
    let newest = hls::media_sequence(&playlist) + playlist.matches("#EXTINF").count() as u64;
    publisher.kill().await;
    cluster.is_listed("demo", StreamState::Grace).await;
    let next = format!("/live/demo/media.m3u8?_HLS_msn={}", newest + 1);
    let waiting = tokio::spawn(async move { http::get(media, &next).await });
    eventually("the player is counted", || async {
        let viewers = cluster.is_listed("demo", StreamState::Grace).await.viewers;
        (viewers.hls > 0).then_some(())
    })
    .await;
    assert!(cluster.stop().await, "everything ends before the deadline");
    let answer = waiting
        .await
        .expect("it does not panic")
        .expect("the answer is whole");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_leaves_shows_players_what_it_has_and_then_closes() {
    let cluster = Cluster::start(1).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    let media = cluster.media(1);
    let viewer = Viewer::start(media, "demo");
    viewer.sees_more(30).await;
    conformance::watch(media, "demo", 2)
        .await
        .faults
        .assert_none("a relay before it leaves");
    let stopping = tokio::spawn(cluster.stop());
    eventually("the relay takes no new viewer", || async {
        let late = Viewer::start(media, "demo");
        let ending = eventually("a late viewer is told", || async {
            late.ending()
                .or((late.count() > 0).then_some(Ending::AtTagBorder))
        });
        (ending.await == Ending::Refused(503)).then_some(())
    })
    .await;
    let playlist = hls::playlist(media, "demo")
        .await
        .expect("players are still answered");
    let uri = hls::uris(&playlist)
        .pop()
        .expect("it names a segment or a part")
        .to_owned();
    let answer = http::get(media, &format!("/live/demo/{uri}"))
        .await
        .expect("an answer");
    assert_eq!(
        (answer.status, answer.field("connection")),
        (200, Some("close"))
    );
    assert!(
        stopping.await.expect("it does not panic"),
        "everything ends before the deadline"
    );
}
