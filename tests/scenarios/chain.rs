//! Three relays in a row: the same bytes everywhere, and the tree as it is.

use astral_proto::model::StreamState;
use harness::{Cluster, Publisher, Viewer, conformance, hls, http};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;

async fn hash(media: SocketAddr, path: &str) -> [u8; 32] {
    let answer = http::get(media, path).await.expect("an answer");
    assert_eq!(answer.status, 200, "{media}{path}: {}", answer.text());
    Sha256::digest(&answer.body).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn sections_segments_and_parts_are_the_same_bytes_on_every_relay_of_a_chain() {
    let cluster = Cluster::start(3).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    let leaf = cluster.media(3);
    conformance::watch(leaf, "demo", 4)
        .await
        .faults
        .assert_none("the leaf");
    let playlist = hls::playlist(leaf, "demo").await.expect("a playlist");
    let uris = hls::uris(&playlist);
    assert!(uris.iter().any(|uri| uri.contains("init-")), "{playlist}");
    assert!(
        uris.iter().any(|uri| uri.matches('.').count() == 2),
        "{playlist}"
    );
    for uri in uris {
        let path = format!("/live/demo/{uri}");
        let at_leaf = hash(leaf, &path).await;
        for number in [1, 2] {
            assert_eq!(
                hash(cluster.media(number), &path).await,
                at_leaf,
                "{path} on relay {number}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tree_shows_each_relay_its_provider_and_its_standby() {
    let cluster = Cluster::start(3).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    let viewer = Viewer::start(cluster.media(3), "demo");
    viewer.sees_more(1).await;
    let leaf = cluster
        .stands("the leaf has a standby", "demo", 3, |relay| {
            relay.standby.is_some()
        })
        .await;
    assert_eq!(
        (leaf.provider, leaf.standby, leaf.hops),
        (Some(cluster.node(2)), Some(cluster.node(1)), 2)
    );
    cluster
        .stands("the leaf's viewer is counted", "demo", 3, |relay| {
            relay.viewers.flv == 1
        })
        .await;
    let middle = cluster
        .stands("the middle is there", "demo", 2, |relay| {
            relay.newest.is_some()
        })
        .await;
    assert_eq!((middle.provider, middle.hops), (Some(cluster.node(1)), 1));
    let origin = cluster
        .stands("the origin is there", "demo", 1, |relay| {
            relay.newest.is_some()
        })
        .await;
    assert_eq!(
        (origin.provider, origin.standby, origin.hops),
        (None, None, 0)
    );
}
