//! An edge outside the cluster, which reaches the control plane by REST alone.

use astral_proto::NodeId;
use astral_proto::limits::LEASE;
use astral_proto::model::{Fault, StreamState};
use harness::processes::Proxy;
use harness::{
    Cluster, Edge, Ending, Gateway, Publisher, Viewer, assert_same_frames, conformance, eventually,
    http, player,
};
use sha2::{Digest, Sha256};

/// Frames that a viewer gets in about a second.
const SECOND: usize = 73;
/// In which every lease ends that is not renewed, and what was revoked with it is closed.
const LONGER_THAN_LEASES: usize = (LEASE.as_secs() as usize * 2 + 4) * SECOND;

/// Three relays with `demo` published to the first.
async fn network() -> (Cluster, Publisher) {
    let cluster = Cluster::start(3).await;
    let publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;
    (cluster, publisher)
}

/// Has `viewer` see `more` frames; it has then had every frame that `origin` had.
async fn loses_nothing(viewer: &Viewer, origin: &Viewer, more: usize) {
    viewer.sees_more(more).await;
    let seen = viewer.count();
    eventually("the origin's viewer is as far", || async {
        (origin.count() >= seen).then_some(())
    })
    .await;
    assert!(assert_same_frames(viewer, origin) > SECOND / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_pulls_a_stream_for_its_host_and_serves_it_in_every_form() {
    let (cluster, _publisher) = network().await;
    let edge = Edge::join(cluster.http()).await;
    let pulled = edge.ask("POST", "/v1/streams/demo", "").await;
    assert_eq!(pulled.status, 200, "{}", pulled.text());
    let provider = edge.hangs_in_tree(Gateway(cluster.http()), "demo").await;
    assert_eq!(
        provider,
        cluster.node(2),
        "it hangs off its primary supernode"
    );
    let origin = Viewer::start(cluster.media(1), "demo");
    let viewer = Viewer::start(edge.started.relay.media_address, "demo");
    origin.sees_more(1).await;
    loses_nothing(&viewer, &origin, SECOND).await;
    player::decode(
        &format!(
            "http://{}/live/demo/index.m3u8",
            edge.started.relay.media_address
        ),
        2,
    )
    .await;
    player::decode(
        &format!("rtmp://{}/live/demo", edge.started.relay.rtmp_address),
        2,
    )
    .await;
    let seen = conformance::watch(edge.started.relay.media_address, "demo", 3).await;
    seen.faults.assert_none("the edge");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_whose_provider_is_cut_goes_to_its_standby_without_losing_a_frame() {
    let (cluster, _publisher) = network().await;
    let edge = Edge::join(cluster.http()).await;
    let origin = Viewer::start(cluster.media(1), "demo");
    let viewer = Viewer::start(edge.started.relay.media_address, "demo");
    viewer.sees_more(1).await;
    assert_eq!(
        edge.hangs_in_tree(Gateway(cluster.http()), "demo").await,
        cluster.node(2)
    );
    cluster.drill(2, Fault::Cut, 20).await;
    loses_nothing(&viewer, &origin, 2 * SECOND).await;
    let left = |relay: &astral_proto::model::TreeRelay| relay.provider == Some(cluster.node(1));
    let gateway = Gateway(cluster.http());
    gateway
        .stands(
            "the edge hangs off its standby",
            "demo",
            edge.started.relay.node,
            left,
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_streams_on_while_the_gateway_is_away_and_is_back_after() {
    let (cluster, _publisher) = network().await;
    let wire = Proxy::start().await;
    wire.lead_to(cluster.http());
    let edge = Edge::join(wire.address()).await;
    let origin = Viewer::start(cluster.media(1), "demo");
    let viewer = Viewer::start(edge.started.relay.media_address, "demo");
    viewer.sees_more(1).await;
    edge.hangs_in_tree(Gateway(cluster.http()), "demo").await;
    wire.part();
    loses_nothing(&viewer, &origin, LONGER_THAN_LEASES).await;
    assert_eq!(edge.shown().await["control_plane_up"], false);
    wire.mend();
    eventually("the edge sees the gateway again", || async {
        edge.shown().await["control_plane_up"]
            .as_bool()
            .filter(|up| *up)
    })
    .await;
    edge.hangs_in_tree(Gateway(cluster.http()), "demo").await;
    loses_nothing(&viewer, &origin, SECOND).await;
    let path = format!("/v1/nodes/{}/drill", edge.started.relay.node);
    eventually("the edge answers what the network asks", || async {
        let answer = http::post(cluster.http(), &path, r#"{"fault":"cut","seconds":1}"#).await?;
        answer
            .text()
            .contains("drills are off on this node")
            .then_some(())
    })
    .await;
}

/// The directory asks the edge how far it is, and fences it: over the socket that the edge holds open.
#[tokio::test(flavor = "multi_thread")]
async fn viewers_at_an_edge_stay_when_its_publisher_comes_back_at_another_relay() {
    let cluster = Cluster::start(3).await;
    let edge = Edge::join(cluster.http()).await;
    let publisher = Publisher::start(edge.started.relay.rtmp_address, "venue");
    cluster.is_listed("venue", StreamState::Live).await;
    let viewer = Viewer::start(edge.started.relay.media_address, "venue");
    viewer.sees_more(SECOND).await;
    publisher.kill().await;
    cluster.is_listed("venue", StreamState::Grace).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "venue");
    viewer.sees_more(2 * SECOND).await;
    let stream = cluster.is_listed("venue", StreamState::Live).await;
    assert_eq!((stream.origin, stream.epoch), (Some(cluster.node(1)), 2));
    viewer.frames();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_joins_by_its_token_alone() {
    let node = NodeId::random();
    let hash: String = Sha256::digest(b"secret")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let entry = format!(
        "[[token]]\nname = \"venue\"\nrole = \"node\"\nnode = \"{node}\"\nsha256 = \"{hash}\"\n"
    );
    let tokens = File::new(&entry);
    let good = File::new("secret\n");
    let bad = File::new("guess\n");
    let cluster = Cluster::start_with(1, &["--api-tokens-file", &tokens.0]).await;
    let uuid = node.to_string();
    let refused = Edge::start(
        cluster.http(),
        &["--token-file", &bad.0, "--upstream-limit", "1"],
    )
    .await;
    eventually("the stranger is told why", || async {
        let shown = refused.shown().await;
        let problem = shown["problem"].as_str()?;
        (shown["joined"] == false && problem.contains("token")).then_some(())
    })
    .await;
    let edge = Edge::start(cluster.http(), &["--token-file", &good.0, "--uuid", &uuid]).await;
    edge.has_joined().await;
    assert_eq!(edge.started.relay.node, node);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_below_an_edge_that_lets_go_is_not_told_that_the_stream_has_ended() {
    let (cluster, _publisher) = network().await;
    let edge = Edge::join(cluster.http()).await;
    assert_eq!(edge.ask("POST", "/v1/streams/demo", "").await.status, 200);
    let link = Cluster::link_to(
        edge.started.relay.node,
        edge.started.relay.media_address,
        "demo",
    );
    link.goes_on().await;
    assert_eq!(edge.ask("DELETE", "/v1/streams/demo", "").await.status, 204);
    let ending = eventually("the link ends", || async { link.brought().ending }).await;
    assert_eq!(
        ending, "closed",
        "a subscriber goes to its next provider then"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_published_to_an_edge_runs_through_the_cluster() {
    let cluster = Cluster::start(3).await;
    let edge = Edge::join(cluster.http()).await;
    let publisher = Publisher::start(edge.started.relay.rtmp_address, "venue");
    let stream = cluster.is_listed("venue", StreamState::Live).await;
    assert_eq!(stream.origin, Some(edge.started.relay.node));
    let origin = Viewer::start(edge.started.relay.media_address, "venue");
    let viewer = Viewer::start(cluster.media(3), "venue");
    origin.sees_more(1).await;
    loses_nothing(&viewer, &origin, SECOND).await;
    publisher.kill().await;
    cluster.is_listed("venue", StreamState::Grace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_measures_its_upstream_before_it_lends_any() {
    let cluster = Cluster::start(1).await;
    let edge = Edge::start(cluster.http(), &[]).await;
    let gateway = Gateway(cluster.http());
    let node = eventually("the edge is listed", || async {
        gateway
            .nodes()
            .await?
            .into_iter()
            .find(|node| node.uuid == edge.started.relay.node)
    })
    .await;
    let settings = edge
        .ask("GET", "/v1/settings", "")
        .await
        .json::<serde_json::Value>();
    let measured = settings["upstream"]["measured_kbps"]
        .as_u64()
        .expect("it was measured");
    assert_eq!(settings["upstream"]["source"], "measured");
    assert_eq!(u64::from(node.limit_kbps.get()), measured * 80 / 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_lets_a_stream_go_keeps_it_out_and_lends_less() {
    let (cluster, _publisher) = network().await;
    let edge = Edge::join(cluster.http()).await;
    let watch = || Viewer::start(edge.started.relay.media_address, "demo");
    let ending = async |viewer: &Viewer| {
        eventually("a viewer's connection ends", || async { viewer.ending() }).await
    };
    let viewer = watch();
    viewer.sees_more(SECOND).await;
    assert_eq!(edge.ask("DELETE", "/v1/streams/demo", "").await.status, 204);
    assert_eq!(ending(&viewer).await, Ending::AtTagBorder);
    let again = watch();
    again.sees_more(SECOND).await;
    assert_eq!(
        edge.ask("PUT", "/v1/streams/demo", r#"{"streaming":false}"#)
            .await
            .status,
        200
    );
    assert_eq!(ending(&again).await, Ending::AtTagBorder);
    assert_eq!(ending(&watch()).await, Ending::Refused(503));
    assert_eq!(
        edge.ask("PUT", "/v1/streams/demo", r#"{"streaming":true}"#)
            .await
            .status,
        200
    );
    watch().sees_more(1).await;
    assert_eq!(
        edge.ask("PUT", "/v1/settings", r#"{"upstream_limit":1}"#)
            .await
            .status,
        200
    );
    assert_eq!(
        ending(&watch()).await,
        Ending::Refused(307),
        "the gateway knows who has room"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_leaves_tells_the_network_and_ends_in_time() {
    let (cluster, _publisher) = network().await;
    let edge = Edge::join(cluster.http()).await;
    let viewer = Viewer::start(edge.started.relay.media_address, "demo");
    viewer.sees_more(SECOND).await;
    let node = edge.started.relay.node;
    let gateway = Gateway(cluster.http());
    assert!(edge.stop().await, "all ends before the deadline");
    assert_eq!(viewer.ending(), Some(Ending::AtTagBorder));
    let nodes = gateway.nodes().await.expect("a list");
    assert!(
        nodes.iter().all(|known| known.uuid != node),
        "it has left: {nodes:?}"
    );
}

/// A file of its own, which is gone with this.
struct File(String);

impl File {
    fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("astral-edge-{}", NodeId::random()));
        std::fs::write(&path, text).expect("a file in the temporary directory");
        Self(path.display().to_string())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}
