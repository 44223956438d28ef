//! One media URL never has two contents.

use astral_proto::model::StreamState;
use harness::{Cluster, Publisher, conformance, eventually, hls, http};
use std::collections::BTreeSet;

/// The folders of the media that relay `number` lists of `demo`, once there are `count`.
async fn folders(cluster: &Cluster, number: usize, count: usize) -> BTreeSet<String> {
    eventually("the playlist lists media", || async {
        let playlist = hls::playlist(cluster.media(number), "demo").await?;
        let listed = hls::uris(&playlist)
            .into_iter()
            .filter_map(|uri| uri.split_once('/'));
        let folders: BTreeSet<String> = listed.map(|(folder, _)| folder.to_owned()).collect();
        (folders.len() >= count).then_some(folders)
    })
    .await
}

async fn published(cluster: &Cluster, number: usize) -> Publisher {
    let publisher = Publisher::start(cluster.rtmp(number), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    publisher
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_network_no_media_url_comes_again() {
    let mut seen = BTreeSet::new();
    for run in 1..=2 {
        let cluster = Cluster::start(2).await;
        let _publisher = published(&cluster, 1).await;
        let folders = folders(&cluster, 2, 1).await;
        assert!(
            seen.is_disjoint(&folders),
            "run {run} lists {folders:?}, and {seen:?} were listed before"
        );
        seen.extend(folders);
        assert!(cluster.stop().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_stream_that_is_published_again_has_other_media_urls() {
    let cluster = Cluster::start(2).await;
    let publisher = published(&cluster, 1).await;
    let before = folders(&cluster, 2, 1).await;
    let deleted = http::send(cluster.http(), "DELETE", "/v1/streams/demo", "")
        .await
        .expect("an answer");
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    drop(publisher);
    let _publisher = published(&cluster, 2).await;
    eventually("the playlist lists the new stream alone", || async {
        let after = folders(&cluster, 2, 1).await;
        let is_new = incarnations(&before).is_disjoint(&incarnations(&after));
        (is_new && incarnations(&after).len() == 1).then_some(())
    })
    .await;
    conformance::watch(cluster.media(2), "demo", 2)
        .await
        .faults
        .assert_none("the new stream");
}

fn incarnations(folders: &BTreeSet<String>) -> BTreeSet<&str> {
    folders
        .iter()
        .filter_map(|folder| folder.split_once('-'))
        .map(|(incarnation, _)| incarnation)
        .collect()
}
