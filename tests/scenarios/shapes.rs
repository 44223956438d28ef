//! Streams of every shape play without error, from HLS and from FLV, two hops from their origin.

use astral_proto::model::StreamState;
use harness::publisher::{CODED, PICTURES, TONE};
use harness::{Cluster, Publisher, Viewer, conformance, eventually, hls, http, player, splice};
use std::net::SocketAddr;

const LEAF: usize = 3;
/// How much of each is decoded, in seconds.
const SECONDS: u32 = 6;
/// How many segments of each are checked.
const SEGMENTS: usize = 4;

struct Shape {
    cluster: Cluster,
    _publisher: Publisher,
}

impl Shape {
    async fn publish(arguments: &str) -> Self {
        let cluster = Cluster::start(3).await;
        let publisher = Publisher::start_with(cluster.rtmp(1), "demo", arguments);
        cluster.is_listed("demo", StreamState::Live).await;
        Self {
            cluster,
            _publisher: publisher,
        }
    }

    async fn plays(&self, codecs: &[&str]) {
        let media = self.cluster.media(LEAF);
        let urls = [
            format!("http://{media}/live/demo/index.m3u8"),
            format!("http://{media}/live/demo.flv"),
        ];
        tokio::join!(
            self.url_plays(&urls[0], codecs),
            self.url_plays(&urls[1], codecs),
            self.conforms()
        );
    }

    /// Every playlist, section, segment and part of it keeps the rules.
    async fn conforms(&self) {
        let seen = conformance::watch(self.cluster.media(LEAF), "demo", SEGMENTS).await;
        seen.faults.assert_none("demo");
    }

    async fn url_plays(&self, url: &str, codecs: &[&str]) {
        assert_eq!(player::probe(url).await, codecs, "{url}");
        player::decode(url, SECONDS).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_alone_plays() {
    Shape::publish(TONE).await.plays(&["aac"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_alone_play() {
    Shape::publish(&format!("{PICTURES} {CODED}"))
        .await
        .plays(&["h264"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_out_of_order_play() {
    let coded = "-c:v libx264 -preset veryfast -bf 3 -g 60";
    Shape::publish(&format!("{PICTURES} {TONE} {coded}"))
        .await
        .plays(&["aac", "h264"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_keyframes_a_second_play() {
    let coded = "-c:v libx264 -preset ultrafast -tune zerolatency -g 8 -r 32";
    Shape::publish(&format!("{PICTURES} {TONE} {coded}"))
        .await
        .plays(&["aac", "h264"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyframe_every_twelve_seconds_is_cut_into_pieces_that_play() {
    let coded =
        "-c:v libx264 -preset ultrafast -tune zerolatency -g 360 -keyint_min 360 -sc_threshold 0";
    let shape = Shape::publish(&format!("{PICTURES} {TONE} {coded}")).await;
    let viewer = Viewer::start(shape.cluster.media(LEAF), "demo");
    let link = shape.cluster.link(LEAF, "demo");
    eventually("a GOP is cut", || async {
        (link.brought().dependent_gops > 0).then_some(())
    })
    .await;
    shape.plays(&["aac", "h264"]).await;
    viewer.frames();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_size_that_changes_on_the_way_plays() {
    let part = |size: &str| {
        format!("-f lavfi -i testsrc2=size={size}:rate=30 -f lavfi -i sine {CODED} -c:a aac -t 6")
    };
    let name = format!("astral-splice-{}.flv", std::process::id());
    let file = std::env::temp_dir().join(name);
    splice::write(
        &file,
        &[&part("320x180"), &part("640x360"), &part("320x180")],
    )
    .await;
    let shape = Shape::publish(&format!("-i {} -c copy", file.display())).await;
    let viewer = Viewer::start(shape.cluster.media(LEAF), "demo");
    let link = shape.cluster.link(LEAF, "demo");
    let media = shape.cluster.media(LEAF);
    let each_part = every_section_plays(media);
    let flv = format!("http://{media}/live/demo.flv");
    tokio::join!(each_part, player::decode(&flv, 10));
    assert!(
        viewer.configurations() >= 3,
        "told of {} configurations",
        viewer.configurations()
    );
    viewer.frames();
    link.brought();
    drop(std::fs::remove_file(file));
}

/// What ffmpeg's HLS demuxer cannot do, since it takes no second section: plays each run of segments with its own.
async fn every_section_plays(media: SocketAddr) {
    for init in [0, 1] {
        let section = format!("-1/init-{init}.mp4");
        let (name, segments) = eventually("the playlist has the next section", || async {
            let playlist = hls::playlist(media, "demo").await?;
            let run = hls::runs(&playlist)
                .into_iter()
                .find(|(name, segments)| name.ends_with(&section) && segments.len() > 2)?;
            assert_eq!(
                playlist.contains("#EXT-X-DISCONTINUITY\n"),
                hls::runs(&playlist).len() > 1,
                "{playlist}"
            );
            Some((
                run.0.to_owned(),
                run.1.into_iter().map(str::to_owned).collect::<Vec<_>>(),
            ))
        })
        .await;
        let mut bytes = Vec::new();
        for uri in std::iter::once(&name).chain(&segments) {
            let answer = http::get(media, &format!("/live/demo/{uri}"))
                .await
                .expect("an answer");
            assert_eq!(answer.status, 200, "{uri}: {}", answer.text());
            bytes.extend_from_slice(&answer.body);
        }
        player::decode_bytes(&name, &bytes).await;
    }
}
