//! A network in which most of what can be measured has happened.

use harness::{Deployment, Publisher, Viewer, eventually, http};

/// The stream.
pub const SLUG: &str = "demo";

/// An origin and a leaf with a viewer; the relay between them is dead, and has been failed over from.
pub struct Live {
    pub deployment: Deployment,
    viewer: Viewer,
    _publisher: Publisher,
}

impl Live {
    pub async fn start() -> Self {
        let mut deployment = Deployment::start(1).await;
        let middle = deployment
            .add_relay("middle", "supernode", &[])
            .await
            .node();
        let relay = deployment.add_relay("origin", "node", &[]).await;
        let origin = relay.node();
        let rtmp = relay.door("rtmp");
        let relay = deployment.add_relay("leaf", "node", &[]).await;
        let leaf = relay.node();
        let media = relay.door("media");
        let publisher = Publisher::start(rtmp, SLUG);
        deployment.gateway().lists_live(SLUG).await;
        let viewer = Viewer::start(media, SLUG);
        viewer.sees_more(1).await;
        assert_eq!(
            http::get(media, &format!("/live/{SLUG}/index.m3u8"))
                .await
                .map(|answer| answer.status),
            Some(200)
        );
        let hangs = |relay: &astral_proto::model::TreeRelay| {
            relay.provider == Some(middle) && relay.standby == Some(origin)
        };
        deployment
            .gateway()
            .stands(
                "the leaf hangs off the middle with a standby",
                SLUG,
                leaf,
                hangs,
            )
            .await;
        Self {
            deployment,
            viewer,
            _publisher: publisher,
        }
    }

    /// The origin stands still, and nobody else has the stream, until the leaf has given up on it `times` times. Each time
    /// takes it half a second.
    pub async fn stall(&mut self, times: u64) {
        let ops = self.deployment.program("leaf").door("ops");
        let line = "astral_failovers_total{cause=\"silent\"} ";
        self.deployment.program("origin").freeze();
        eventually(
            "the leaf gives up on the origin again and again",
            || async {
                let metrics = http::get(ops, "/metrics").await?.text();
                let count: u64 = metrics
                    .lines()
                    .find_map(|found| found.strip_prefix(line))?
                    .parse()
                    .ok()?;
                (count >= times).then_some(())
            },
        )
        .await;
        self.deployment.program("origin").thaw();
        self.viewer.sees_more(100).await;
    }

    /// The relay between origin and leaf dies.
    pub async fn fail_over(&mut self) {
        self.deployment.program("middle").kill();
        self.viewer.sees_more(100).await;
    }
}
