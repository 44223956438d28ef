//! Relays behind one public URL: a load balancer gives each connection to another of them.

use astral_proto::Kbps;
use astral_proto::model::StreamState;
use futures_util::future::join_all;
use harness::processes::Proxy;
use harness::viewer::fill;
use harness::{Cluster, Publisher, Viewer, eventually, http, player};

/// Relays behind the balancer.
const RELAYS: u16 = 5;
/// Which of them is full.
const FULL: usize = 3;
/// Players of each kind that come at the same time.
const PLAYERS: usize = 6;

/// Relays behind one URL, and a gateway at a door of its own, which relays know before it is there.
struct Behind {
    cluster: Cluster,
    balancer: Proxy,
    door: Proxy,
    _publisher: Publisher,
}

impl Behind {
    async fn start() -> Self {
        let balancer = Proxy::start().await;
        let door = Proxy::start().await;
        let public = format!("http://{}", balancer.address());
        let gateway = format!("http://{}", door.address());
        let flags = [
            "--public-url",
            &public,
            "--gateway-url",
            &gateway,
            "--upstream-limit",
            "4000",
        ];
        let cluster = Cluster::start_with(RELAYS, &flags).await;
        let all: Vec<_> = (1..=usize::from(RELAYS))
            .map(|number| cluster.media(number))
            .collect();
        balancer.spread_over(&all);
        door.lead_to(cluster.http());
        let publisher = Publisher::start(cluster.rtmp(1), "demo");
        cluster.is_listed("demo", StreamState::Live).await;
        eventually("its rate is known", || async {
            (cluster.streams().await[0].kbps > Kbps::new(0)).then_some(())
        })
        .await;
        Self {
            cluster,
            balancer,
            door,
            _publisher: publisher,
        }
    }

    /// One relay has as many viewers as fit.
    async fn with_a_full_relay() -> (Self, Vec<Viewer>) {
        let behind = Self::start().await;
        let crowd = fill(behind.cluster.media(FULL), "demo").await;
        (behind, crowd)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_viewer_gets_the_stream_while_one_relay_of_five_is_full() {
    let (behind, crowd) = Behind::with_a_full_relay().await;
    assert!(!crowd.is_empty());
    for door in [behind.door.address(), behind.balancer.address()] {
        for form in ["demo/index.m3u8", "demo.flv"] {
            let url = format!("http://{door}/live/{form}");
            let seen = join_all((0..PLAYERS).map(|_| player::probe(&url))).await;
            assert!(
                seen.iter().all(|codecs| *codecs == ["aac", "h264"]),
                "{url}: {seen:?}"
            );
        }
    }
    for viewer in &crowd {
        assert_eq!(
            viewer.ending(),
            None,
            "those who watch at the full relay stay"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_relay_closes_the_connection_by_which_it_sends_a_viewer_on() {
    let (behind, _crowd) = Behind::with_a_full_relay().await;
    let full = behind.cluster.media(FULL);
    let id = behind.cluster.node(FULL);
    for path in ["/live/demo.flv", "/live/demo/index.m3u8"] {
        let answer = http::get(full, path).await.expect("an answer");
        assert_eq!(
            (answer.status, answer.field("connection")),
            (307, Some("close"))
        );
        let location = format!("http://{}{path}?full={id}", behind.door.address());
        assert_eq!(answer.field("location"), Some(&*location));
        let sent_on = behind.cluster.get(&format!("{path}?full={id}")).await;
        let elsewhere = format!("http://{}{path}?full={id}", behind.balancer.address());
        assert_eq!(
            (sent_on.status, sent_on.field("location")),
            (307, Some(&*elsewhere))
        );
    }
}
