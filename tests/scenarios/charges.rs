//! A relay is charged for what it sends, and nobody is refused for upstream that is not used.

use astral_proto::Kbps;
use astral_proto::model::{Node, StreamState};
use harness::publisher::TONE;
use harness::{Cluster, Gateway, Publisher, Viewer, eventually, hls};

/// What each relay may send, kbit/s: three times the stream, and no more.
const LIMIT_KBPS: u32 = 7_000;
/// Pictures with detail, at a constant 2 Mbit/s. With its tone the stream has 2.1 Mbit/s.
const PICTURES: &str = "-f lavfi -i testsrc2=size=640x360:rate=30";
const CODED: &str = "-c:v libx264 -preset ultrafast -tune zerolatency -b:v 2000k -minrate 2000k -maxrate 2000k \
                     -bufsize 1000k -x264-params nal-hrd=cbr";
/// An origin and seven media forwarders.
const RELAYS: usize = 8;
/// The relay that is a supernode.
const SUPERNODE: usize = 2;
/// The relays that get a viewer.
const LAST: [usize; 3] = [6, 7, 8];
/// Frames that a viewer gets in three heartbeats: by then all that was assumed has been put right.
const SETTLED: usize = 6 * 73;

async fn start() -> Cluster {
    let limit = LIMIT_KBPS.to_string();
    Cluster::start_with(RELAYS as u16, &["--upstream-limit", &limit]).await
}

/// Publishes at relay `number`, a keyframe every so many seconds.
fn publish(cluster: &Cluster, number: usize, seconds: u32) -> Publisher {
    let pictures = 30 * seconds;
    Publisher::start_with(
        cluster.rtmp(number),
        "demo",
        &format!("{PICTURES} {TONE} {CODED} -g {pictures}"),
    )
}

/// Relay `number` as the control plane knows it.
async fn node(cluster: &Cluster, number: usize) -> Node {
    let nodes = Gateway(cluster.http())
        .nodes()
        .await
        .expect("the nodes are listed");
    nodes
        .into_iter()
        .find(|node| node.uuid == cluster.node(number))
        .expect("it is listed")
}

/// The last three relays get a viewer each. All of them get pictures below the supernode, which has room for three, and
/// `origin` is never promised beyond its limit.
async fn three_viewers_come(cluster: &Cluster, origin: usize) {
    let viewers = LAST.map(|number| Viewer::start(cluster.media(number), "demo"));
    eventually("every viewer gets pictures", || async {
        let Node {
            promised_kbps,
            viewer_kbps,
            ..
        } = node(cluster, origin).await;
        assert!(
            promised_kbps + viewer_kbps <= Kbps::new(LIMIT_KBPS),
            "{promised_kbps} kbit/s are promised and {viewer_kbps} used by viewers"
        );
        for viewer in &viewers {
            assert_eq!(viewer.ending(), None);
        }
        viewers
            .iter()
            .all(|viewer| viewer.count() >= SETTLED)
            .then_some(())
    })
    .await;
    viewers.iter().for_each(|viewer| drop(viewer.frames()));
    for number in LAST {
        let relay = cluster
            .in_tree("demo", number)
            .await
            .expect("it is in the tree");
        assert_eq!(
            relay.provider,
            Some(cluster.node(SUPERNODE)),
            "relay {number} was refused room"
        );
    }
}

async fn three_viewers_come_after_the_first_playlist_of(origin: usize) {
    let cluster = start().await;
    let _publisher = publish(&cluster, origin, 2);
    eventually("the first playlist", || {
        hls::playlist(cluster.media(origin), "demo")
    })
    .await;
    three_viewers_come(&cluster, origin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_that_come_right_after_the_first_playlist_all_get_pictures_from_an_ordinary_node() {
    three_viewers_come_after_the_first_playlist_of(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_that_come_right_after_the_first_playlist_all_get_pictures_from_a_supernode() {
    three_viewers_come_after_the_first_playlist_of(SUPERNODE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_that_come_as_soon_as_the_stream_is_live_all_get_pictures_long_before_its_first_gop_is_complete()
 {
    let cluster = start().await;
    let _publisher = publish(&cluster, SUPERNODE, 10);
    cluster.is_listed("demo", StreamState::Live).await;
    three_viewers_come(&cluster, SUPERNODE).await;
}
