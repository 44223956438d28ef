//! A network in which most of what can be measured has happened.

use harness::{Deployment, Publisher, Viewer, http};

/// The stream.
const SLUG: &str = "demo";

/// An origin and a leaf with a viewer; the relay between them is dead, and has been failed over from.
pub struct Live {
    pub deployment: Deployment,
    viewer: Viewer,
    _publisher: Publisher,
}

impl Live {
    pub async fn start() -> Self {
        let mut deployment = Deployment::start(1).await;
        let middle = deployment.add_relay("middle", "supernode", &[]).await.node();
        let relay = deployment.add_relay("origin", "node", &[]).await;
        let (origin, rtmp) = (relay.node(), relay.door("rtmp"));
        let relay = deployment.add_relay("leaf", "node", &[]).await;
        let (leaf, media) = (relay.node(), relay.door("media"));
        let publisher = Publisher::start(rtmp, SLUG);
        deployment.gateway().lists_live(SLUG).await;
        let viewer = Viewer::start(media, SLUG);
        viewer.sees_more(1).await;
        assert_eq!(
            http::get(media, &format!("/live/{SLUG}/index.m3u8")).await.map(|answer| answer.status),
            Some(200)
        );
        let hangs = |relay: &astral_proto::model::TreeRelay| {
            relay.provider == Some(middle) && relay.standby == Some(origin)
        };
        deployment.gateway().stands("the leaf hangs off the middle with a standby", SLUG, leaf, hangs).await;
        Self { deployment, viewer, _publisher: publisher }
    }

    /// The relay between origin and leaf dies.
    pub async fn fail_over(&mut self) {
        self.deployment.program("middle").kill();
        self.viewer.sees_more(100).await;
    }
}
