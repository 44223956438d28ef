//! Where encoders send: every form of address that ffmpeg makes of a URL, and what it shows when there is no stream in it.

use astral_proto::model::StreamState;
use harness::publisher::{CODED, PICTURES};
use harness::{Cluster, Publisher};

/// Pictures alone, which are enough to be live.
fn pictures() -> String {
    format!("{PICTURES} {CODED}")
}

/// Goal: whatever a guide or an app makes of an address, its last part is the stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_published_by_every_form_of_address() {
    let cluster = Cluster::start(1).await;
    let host = cluster.rtmp(1);
    let whole = format!("-rtmp_app live -rtmp_playpath rtmp://{host}/live/whole?key=");
    let publishers = [
        ("plain", format!("rtmp://{host}/live/plain"), ""),
        ("deep", format!("rtmp://{host}/live/0/deep"), ""),
        ("deeper", format!("rtmp://{host}/a/b/c/deeper"), ""),
        (
            "instance",
            format!("rtmp://{host}/live/_definst_/instance"),
            "",
        ),
        ("Upper", format!("rtmp://{host}/LIVE/Upper"), ""),
        ("dotted", format!("rtmp://{host}/my.app/v1.2/dotted"), ""),
        ("alone", format!("rtmp://{host}/alone"), ""),
        ("prefixed", format!("rtmp://{host}/live/flv:prefixed"), ""),
        ("recording", format!("rtmp://{host}/live/mp4:recording"), ""),
        ("container", format!("rtmp://{host}/live/container.mp4"), ""),
        (
            "ampersand",
            format!("rtmp://{host}/live/ampersand&key="),
            "",
        ),
        ("whole", format!("rtmp://{host}/live"), &whole),
    ];
    for (slug, address, options) in publishers {
        let _publisher = Publisher::start_at(&address, &format!("{} {options}", pictures()));
        cluster.is_listed(slug, StreamState::Live).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_shows_why_an_address_is_refused() {
    let cluster = Cluster::start(1).await;
    let host = cluster.rtmp(1);
    for (address, words) in [
        (format!("rtmp://{host}/live"), "the stream key is empty"),
        (format!("rtmp://{host}/live/"), "the stream key is empty"),
        (
            format!("rtmp://{host}/live/dotted.name"),
            "must be 1 to 64 letters, digits",
        ),
    ] {
        let said = Publisher::start_at(&address, &pictures()).gives_up().await;
        assert!(
            said.contains("Server error: ") && said.contains(words),
            "{address}: {said}"
        );
    }
}
