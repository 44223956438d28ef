//! A relay has a stream only while somebody wants it there.

use astral_proto::model::StreamState;
use harness::{Cluster, Publisher, Viewer, conformance, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_lets_a_stream_go_after_its_last_viewer_and_gets_it_again_for_the_next() {
    let cluster = Cluster::start(3).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    assert!(
        cluster.in_tree("demo", 3).await.is_none(),
        "nobody has asked relay 3 yet"
    );
    let viewer = Viewer::start(cluster.media(3), "demo");
    viewer.sees_more(30).await;
    cluster
        .stands("the relay has the stream", "demo", 3, |relay| {
            relay.newest.is_some()
        })
        .await;
    drop(viewer);
    for number in [3, 2] {
        let gone = || async {
            cluster
                .in_tree("demo", number)
                .await
                .is_none()
                .then_some(())
        };
        eventually(&format!("relay {number} lets the stream go"), gone).await;
    }
    let next = Viewer::start(cluster.media(3), "demo");
    next.sees_more(30).await;
    next.frames();
    conformance::watch(cluster.media(3), "demo", 2)
        .await
        .faults
        .assert_none("a relay that has it again");
}
