//! Encoders whose settings browsers cannot live with: the stream goes on as well as it can, and its page says what to
//! change.

use astral_proto::model::{Notice, StreamState};
use harness::publisher::{CODED, PICTURES, TONE};
use harness::{Cluster, Publisher, Viewer, eventually};

/// Pictures coded at once, a keyframe each second.
const PLAIN: &str = "-c:v libx264 -preset ultrafast -g 30";
/// Frames of about a second of pictures.
const SECOND: usize = 30;

/// The warnings of `slug`, once there is one.
async fn warnings(cluster: &Cluster, slug: &str) -> Vec<Notice> {
    eventually(&format!("{slug} is warned of"), || async {
        let streams = cluster.streams().await;
        let stream = streams
            .into_iter()
            .find(|stream| stream.slug.as_str() == slug)?;
        Some(stream.warnings).filter(|warnings| !warnings.is_empty())
    })
    .await
}

/// Goal: what real encoders send that no browser can show is said, by its own name, while the stream goes on.
#[tokio::test(flavor = "multi_thread")]
async fn settings_that_browsers_cannot_live_with_are_said_on_the_page_of_the_stream() {
    let cluster = Cluster::start(1).await;
    let encoders = [
        (
            "open",
            format!("{PICTURES} {PLAIN} -bf 2 -x264-params open-gop=1:scenecut=0"),
            "open_gop",
            "closed GOPs",
        ),
        (
            "refresh",
            format!("{PICTURES} {PLAIN} -x264-params intra-refresh=1"),
            "intra_refresh",
            "keyframe every 2 seconds",
        ),
        (
            "zero",
            format!("{PICTURES} {PLAIN} -bsf:v setts=dts=0:pts=0"),
            "timestamps_stand_still",
            "clock",
        ),
        (
            "mp3",
            format!("{PICTURES} -f lavfi -i sine -c:a libmp3lame {CODED}"),
            "sound_left_out",
            "send AAC",
        ),
    ];
    for (slug, arguments, reason, words) in encoders {
        let _publisher = Publisher::start_with(cluster.rtmp(1), slug, &arguments);
        cluster.is_listed(slug, StreamState::Live).await;
        let warnings = warnings(&cluster, slug).await;
        assert_eq!(warnings[0].reason, reason, "{warnings:?}");
        assert!(warnings[0].detail.contains(words), "{warnings:?}");
        let viewer = Viewer::start(cluster.media(1), slug);
        viewer.sees_more(SECOND).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_browsers_can_show_has_no_warning() {
    let cluster = Cluster::start(1).await;
    let _publisher = Publisher::start_with(
        cluster.rtmp(1),
        "plain",
        &format!("{PICTURES} {TONE} {CODED}"),
    );
    cluster.is_listed("plain", StreamState::Live).await;
    let viewer = Viewer::start(cluster.media(1), "plain");
    viewer.sees_more(4 * SECOND).await;
    let stream = cluster.is_listed("plain", StreamState::Live).await;
    assert_eq!((stream.warnings, stream.last_refusal), (vec![], None));
}
