//! Who watches each stream and which relays carry it, summed over what every node last said.

use astral_proto::message::Heartbeat;
use astral_proto::model::Viewers;
use astral_proto::{NodeId, Slug};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Most relays remembered for one stream: those asked how far it is when a publisher comes back.
pub const RELAYS_MAX: usize = 16;

/// What one node last said; lives for one lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// When it said so, Unix milliseconds, by its own clock.
    pub sent_at: u64,
    /// What it carries.
    pub streams: Vec<StreamReport>,
}

/// One stream on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamReport {
    /// The stream.
    pub slug: Slug,
    /// Relay links from the origin.
    pub hops: usize,
    /// Who watches there.
    pub viewers: Viewers,
}

impl NodeReport {
    /// What a heartbeat says of viewers.
    pub fn of(heartbeat: &Heartbeat) -> Self {
        let streams = heartbeat.streams.iter().map(|carried| StreamReport {
            slug: carried.slug.clone(),
            hops: carried.path.len().saturating_sub(1),
            viewers: carried.viewers,
        });
        Self { sent_at: heartbeat.sent_at, streams: streams.collect() }
    }
}

/// The sums, at most one sweep old.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    by_slug: HashMap<Slug, Crowd>,
}

/// One stream's viewers and relays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Crowd {
    viewers: Viewers,
    /// With their hops: the nearest to the origin, which know most.
    relays: Vec<(usize, NodeId)>,
}

impl Audience {
    /// Adds what `node` last said.
    pub fn add(&mut self, node: NodeId, report: NodeReport) {
        for StreamReport { slug, hops, viewers } in report.streams {
            let crowd = self.by_slug.entry(slug).or_default();
            crowd.viewers += viewers;
            let place = crowd.relays.partition_point(|known| *known <= (hops, node));
            crowd.relays.insert(place, (hops, node));
            crowd.relays.truncate(RELAYS_MAX);
        }
    }

    /// Who watches `slug`, over all relays.
    pub fn viewers(&self, slug: &Slug) -> Viewers {
        self.by_slug.get(slug).map(|crowd| crowd.viewers).unwrap_or_default()
    }

    /// Relays that carry `slug`, the nearest to the origin first, at most [`RELAYS_MAX`].
    pub fn relays(&self, slug: &Slug) -> Vec<NodeId> {
        let crowd = self.by_slug.get(slug);
        crowd.map(|crowd| crowd.relays.iter().map(|(_, node)| *node).collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(hops: usize, flv: u32) -> NodeReport {
        let viewers = Viewers { flv, rtmp: 1, hls: 0 };
        NodeReport {
            sent_at: 0,
            streams: vec![StreamReport { slug: "demo".parse().unwrap(), hops, viewers }],
        }
    }

    #[test]
    fn viewers_add_up_over_all_relays() {
        let mut audience = Audience::default();
        for flv in [2, 3] {
            audience.add(NodeId::random(), report(1, flv));
        }
        assert_eq!(audience.viewers(&"demo".parse().unwrap()), Viewers { flv: 5, rtmp: 2, hls: 0 });
        assert_eq!(audience.viewers(&"other".parse().unwrap()), Viewers::default());
    }

    #[test]
    fn the_relays_nearest_to_the_origin_are_remembered() {
        let mut audience = Audience::default();
        let nodes: Vec<_> = (0..40).map(|_| NodeId::random()).collect();
        for (hops, node) in nodes.iter().enumerate().rev() {
            audience.add(*node, report(hops, 0));
        }
        assert_eq!(audience.relays(&"demo".parse().unwrap()), nodes[..RELAYS_MAX]);
    }
}
