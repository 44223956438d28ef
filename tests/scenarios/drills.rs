//! The relay in the middle is cut off or frozen while leaves below it are watched: they lose no frame.

use astral_proto::UnixMillis;
use astral_proto::model::{Fault, StreamState, TreeRelay};
use futures_util::future::join_all;
use harness::{Cluster, Link, Publisher, Viewer, assert_same_frames, conformance, eventually, hls};
use std::time::{SystemTime, UNIX_EPOCH};

/// Drills in an ordinary run, cuts and freezes in turn; `ASTRAL_DRILLS` asks for more.
const DRILLS: u16 = 5;
/// How long a fault lasts, in seconds: well over the 500 ms after which a silent link is dead.
const FAULT_SECONDS: u32 = 2;
/// Leaves in place of those that a starved machine drives away from the middle before their drill.
const SPARES: u16 = 3;
/// The relay in the middle.
const MIDDLE: usize = 2;
/// Frames a viewer must have before and after a drill: about a second.
const SECOND: usize = 70;

/// A leaf that has had no failover yet, and so hangs off the middle, with those who read it.
struct Leaf {
    number: usize,
    viewer: Viewer,
    link: Link,
}

impl Leaf {
    async fn new(cluster: &Cluster, number: usize) -> Self {
        let viewer = Viewer::start(cluster.media(number), "demo");
        viewer.sees_more(SECOND).await;
        let link = cluster.link(number, "demo");
        link.goes_on().await;
        Self {
            number,
            viewer,
            link,
        }
    }

    /// False if it has left the middle already, as it does where a starved machine keeps a link silent for 500 ms.
    async fn hangs_off_the_middle(&self, cluster: &Cluster) -> bool {
        let middle = Some(cluster.node(MIDDLE));
        let is = |relay: &TreeRelay| {
            relay.provider.is_some() && (relay.provider != middle || relay.standby.is_some())
        };
        let what = "a leaf hangs off the middle with a standby";
        cluster.stands(what, "demo", self.number, is).await.provider == middle
    }

    /// By what it has stated since `since`, Unix milliseconds.
    async fn has_a_standby_again(&self, cluster: &Cluster, since: u64) {
        let is = |relay: &TreeRelay| {
            relay.as_of > UnixMillis::new(since)
                && relay.standby.is_some()
                && relay.standby != relay.provider
        };
        cluster
            .stands("a leaf has a standby again", "demo", self.number, is)
            .await;
    }

    async fn has_lost_nothing_against(&self, origin: &Viewer) {
        self.viewer.sees_more(SECOND).await;
        self.link.goes_on().await;
        let seen = self.viewer.count();
        eventually("the origin's viewer is as far", || async {
            (origin.count() >= seen).then_some(())
        })
        .await;
        assert_same_frames(&self.viewer, origin);
    }
}

fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_millis() as u64
}

fn drills() -> u16 {
    std::env::var("ASTRAL_DRILLS").map_or(DRILLS, |count| {
        count.parse().expect("ASTRAL_DRILLS is a number")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_lose_no_frame_when_the_relay_above_them_is_cut_or_frozen() {
    let cluster = Cluster::start(drills() + SPARES + 2).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    let origin = Viewer::start(cluster.media(1), "demo");
    origin.sees_more(1).await;
    let mut numbers = MIDDLE + 1..=usize::from(drills() + SPARES) + MIDDLE;
    let mut leaves = Vec::new();
    for drill in 0..drills() {
        loop {
            let number = numbers.next().expect("a leaf that hangs off the middle");
            leaves.push(Leaf::new(&cluster, number).await);
            if leaves[leaves.len() - 1]
                .hangs_off_the_middle(&cluster)
                .await
            {
                break;
            }
        }
        let fault = if drill % 2 == 0 {
            Fault::Cut
        } else {
            Fault::Freeze
        };
        cluster.drill(MIDDLE, fault, FAULT_SECONDS).await;
        join_all(
            leaves
                .iter()
                .map(|leaf| leaf.has_lost_nothing_against(&origin)),
        )
        .await;
        let is_back = || async { hls::playlist(cluster.media(MIDDLE), "demo").await.map(drop) };
        eventually("the middle serves again", is_back).await;
        let since = unix_ms();
        join_all(
            leaves
                .iter()
                .map(|leaf| leaf.has_a_standby_again(&cluster, since)),
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_below_a_cut_sees_one_timeline_without_a_hole_in_times_or_numbers() {
    let cluster = Cluster::start(3).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    let leaf = cluster.media(3);
    eventually("there is a playlist", || hls::playlist(leaf, "demo")).await;
    cluster
        .stands("the leaf has a standby", "demo", 3, |relay| {
            relay.standby.is_some()
        })
        .await;
    let watch = conformance::watch(leaf, "demo", 7);
    let (seen, ()) = tokio::join!(watch, cluster.drill(MIDDLE, Fault::Cut, FAULT_SECONDS));
    seen.faults.assert_none("the leaf");
    assert!(seen.segments.iter().all(|segment| !segment.discontinuity));
}
