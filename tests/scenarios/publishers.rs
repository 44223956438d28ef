//! Publishers that go, come back, come twice, or hang.

use astral_proto::model::StreamState;
use harness::{Cluster, Link, Publisher, Viewer, conformance, eventually, hls, http};
use std::collections::BTreeSet;
use std::sync::Mutex;

/// Frames of about a second.
const SECOND: usize = 70;

async fn epoch(cluster: &Cluster) -> u64 {
    let streams = cluster.streams().await;
    streams
        .iter()
        .find(|stream| stream.slug.as_str() == "demo")
        .map_or(0, |stream| stream.epoch)
}

async fn reaches_epoch(cluster: &Cluster, wanted: u64) {
    eventually("the next epoch is live", || async {
        (epoch(cluster).await == wanted).then_some(())
    })
    .await;
    cluster.is_listed("demo", StreamState::Live).await;
}

async fn all_go_on(viewers: &[Viewer], links: &[Link]) {
    for viewer in viewers {
        viewer.sees_more(SECOND).await;
        viewer.frames();
    }
    for link in links {
        link.goes_on().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_stay_when_their_publisher_comes_back_on_the_same_relay_or_on_another() {
    let cluster = Cluster::start(3).await;
    let mut publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    let viewers = [1, 2, 3].map(|number| Viewer::start(cluster.media(number), "demo"));
    for viewer in &viewers {
        viewer.sees_more(SECOND).await;
    }
    let links = [1, 2, 3].map(|number| cluster.link(number, "demo"));
    all_go_on(&viewers, &links).await;
    let mut sequence = hls::media_sequence(
        &hls::playlist(cluster.media(3), "demo")
            .await
            .expect("a playlist"),
    );

    for (number, next) in [(1, 2), (3, 3), (1, 4)] {
        publisher.kill().await;
        cluster.is_listed("demo", StreamState::Grace).await;
        publisher = Publisher::start(cluster.rtmp(number), "demo");
        reaches_epoch(&cluster, next).await;
        all_go_on(&viewers, &links).await;
        let playlist = eventually("the playlist marks a discontinuity", || async {
            let playlist = hls::playlist(cluster.media(3), "demo").await?;
            let marked = playlist.contains("#EXT-X-DISCONTINUITY\n");
            (marked && playlist.contains(&format!("{next}/init-0.mp4"))).then_some(playlist)
        })
        .await;
        assert!(hls::media_sequence(&playlist) >= sequence, "{playlist}");
        sequence = hls::media_sequence(&playlist);
    }
    for number in [1, 2, 3] {
        let seen = conformance::watch(cluster.media(number), "demo", 1).await;
        seen.faults.clone().assert_none(&format!("relay {number}"));
        let folders = seen
            .segments
            .iter()
            .filter_map(|segment| segment.uri.split_once('/'));
        let epochs: BTreeSet<_> = folders.map(|(folder, _)| folder).collect();
        assert!(
            epochs.len() >= 3,
            "earlier publishes stay in the playlist: {epochs:?}"
        );
    }
    for link in &links {
        let brought = link.brought();
        assert_eq!(
            (brought.epochs, brought.discontinuity),
            (vec![1, 2, 3, 4], 3)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_publisher_is_told_that_there_is_one_already() {
    let cluster = Cluster::start(2).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    let viewer = Viewer::start(cluster.media(1), "demo");
    viewer.sees_more(1).await;
    for number in [1, 2] {
        let said = Publisher::start(cluster.rtmp(number), "demo")
            .gives_up()
            .await;
        assert!(
            said.contains("Server error: stream \"demo\" has a"),
            "on relay {number}: {said}"
        );
    }
    viewer.sees_more(SECOND).await;
    assert_eq!(epoch(&cluster).await, 1);
}

/// Goal: whoever has lost their key to somebody gets their stream back by changing it. Method: a publisher with the old key is
/// on the air and watched; the key is changed over REST; one with the new key publishes at the same relay, then at another.
#[tokio::test(flavor = "multi_thread")]
async fn another_key_takes_the_old_publisher_off_the_air_and_lets_the_new_one_in() {
    let cluster = Cluster::start(3).await;
    let gateway = cluster.network.http_address;
    let made = http::post(gateway, "/v1/streams", r#"{"slug":"demo","key":"key-0"}"#).await;
    assert_eq!(made.map(|answer| answer.status), Some(201));
    let mut publisher = Publisher::start(cluster.rtmp(1), "demo?key=key-0");
    cluster.is_listed("demo", StreamState::Live).await;
    let viewers = [1, 3].map(|number| Viewer::start(cluster.media(number), "demo"));
    for viewer in &viewers {
        viewer.sees_more(SECOND).await;
    }
    for (number, relay) in [(1, 1), (2, 3)] {
        let change = format!(r#"{{"key":"key-{number}"}}"#);
        let changed = http::send(gateway, "PUT", "/v1/streams/demo", &change).await;
        assert_eq!(changed.map(|answer| answer.status), Some(200));
        let next = Publisher::start(cluster.rtmp(relay), &format!("demo?key=key-{number}"));
        let said = publisher.gives_up().await;
        assert!(
            said.contains("publish key of the stream was changed"),
            "{said}"
        );
        publisher = next;
        cluster.is_listed("demo", StreamState::Live).await;
        for viewer in &viewers {
            viewer.sees_more(SECOND).await;
            viewer.frames();
        }
    }
}

/// Goal: every key that REST takes is one that an encoder can send. Method: one key of every character that is taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_every_character_that_is_taken_arrives_as_it_was_set() {
    let cluster = Cluster::start(1).await;
    let gateway = cluster.network.http_address;
    let taken = async |char: char| {
        let body =
            serde_json::json!({"slug": format!("c{}", u32::from(char)), "key": char.to_string()});
        let answer = http::post(gateway, "/v1/streams", &body.to_string()).await;
        answer.is_some_and(|answer| answer.status == 201)
    };
    let mut key = String::from("k");
    for char in (0..128).map(char::from) {
        if taken(char).await {
            key.push(char);
        }
    }
    assert!(key.len() > 70, "{key}");
    let body = serde_json::json!({"slug": "demo", "key": key});
    let made = http::post(gateway, "/v1/streams", &body.to_string()).await;
    assert_eq!(made.map(|answer| answer.status), Some(201));
    let _publisher = Publisher::start(cluster.rtmp(1), &format!("demo?key={key}"));
    cluster.is_listed("demo", StreamState::Live).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_hangs_is_taken_over() {
    let cluster = Cluster::start(3).await;
    let mut publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    let viewers = [1, 3].map(|number| Viewer::start(cluster.media(number), "demo"));
    for viewer in &viewers {
        viewer.sees_more(SECOND).await;
    }
    let links = [1, 3].map(|number| cluster.link(number, "demo"));
    all_go_on(&viewers, &links).await;
    for (number, next) in [(1, 2), (3, 3)] {
        publisher.freeze().await;
        let second = Mutex::new(Publisher::start(cluster.rtmp(number), "demo"));
        eventually("the second publisher is taken", || async {
            if second.lock().unwrap().has_given_up() {
                *second.lock().unwrap() = Publisher::start(cluster.rtmp(number), "demo");
            }
            (epoch(&cluster).await == next).then_some(())
        })
        .await;
        all_go_on(&viewers, &links).await;
        publisher = second.into_inner().unwrap();
        if number == 1 {
            let open_gops = links.each_ref().map(|link| link.brought().open_gops);
            assert_eq!(
                open_gops,
                [0, 0],
                "the relay that numbered a GOP can end it"
            );
        }
    }
}
