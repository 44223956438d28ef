//! Leaving: what is there is served to the end of the deadline, then ended cleanly.

use astral_proto::model::StreamState;
use harness::{Cluster, Ending, Publisher, Viewer, eventually};

/// Tags of this type are pictures.
const VIDEO: u8 = 9;
/// Of the harness's publisher, in pictures.
const KEYFRAME_INTERVAL: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn viewers_of_a_network_that_leaves_are_served_on_and_end_at_a_gop_border() {
    let cluster = Cluster::start(3).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    let viewers = [Viewer::start(cluster.media(1), "demo"), Viewer::start(cluster.media(3), "demo")];
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
        assert_eq!(since_keyframe + 1, KEYFRAME_INTERVAL, "the last GOP is whole");
    }
    assert!(stopping.await.expect("it does not panic"), "everything ends before the deadline");
}
