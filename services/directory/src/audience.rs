//! Who watches each stream, which relays carry it, and when one of them last got a new frame, summed over what every node
//! last said.

use astral_proto::message::{Carried, Heartbeat};
use astral_proto::model::Viewers;
use astral_proto::{FrameId, NodeId, Slug, UnixMillis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most relays remembered for one stream: those asked how far it is when a publisher comes back.
pub const RELAYS_MAX: usize = 16;

/// What one node last said; lives for one lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// When it said so, Unix milliseconds, by its own clock.
    pub sent_at: UnixMillis,
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
    /// Its publish.
    #[serde(default)]
    pub epoch: u64,
    /// The newest frame there.
    #[serde(default)]
    pub newest: Option<FrameId>,
    /// When that frame was first newer than what the node had said before, Unix milliseconds; 0 if it never was. A node
    /// is compared with itself alone, so that one which claims too much hides no other.
    #[serde(default)]
    pub advanced_at: UnixMillis,
}

impl NodeReport {
    /// What a heartbeat says at `now`, after what the node said `before`.
    pub fn of(heartbeat: &Heartbeat, before: Option<&Self>, now: UnixMillis) -> Self {
        let known = |carried: &Carried| {
            before?
                .streams
                .iter()
                .find(|known| known.slug == carried.slug)
        };
        let streams = heartbeat.streams.iter();
        let streams = streams.map(|carried| StreamReport::of(carried, known(carried), now));
        Self {
            sent_at: heartbeat.sent_at,
            streams: streams.collect(),
        }
    }
}

impl StreamReport {
    fn of(carried: &Carried, before: Option<&Self>, now: UnixMillis) -> Self {
        let before = before.filter(|before| before.epoch == carried.epoch);
        // Of a first report it is not known whether its frames are new.
        let advanced = before.is_some_and(|before| carried.newest > before.newest);
        let advanced_at = if advanced {
            now
        } else {
            before.map_or(UnixMillis::ZERO, |before| before.advanced_at)
        };
        Self {
            slug: carried.slug.clone(),
            hops: carried.path.len().saturating_sub(1),
            viewers: carried.viewers,
            epoch: carried.epoch,
            newest: carried.newest,
            advanced_at,
        }
    }
}

/// The sums, at most one sweep old.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    by_slug: BTreeMap<Slug, Crowd>,
}

/// One stream's viewers and relays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Crowd {
    viewers: Viewers,
    /// With their hops: the nearest to the origin, which know most.
    relays: Vec<(usize, NodeId)>,
    /// When a relay last got a new frame, by publish.
    advanced: BTreeMap<u64, UnixMillis>,
}

impl Audience {
    /// Adds what `node` last said.
    pub fn add(&mut self, node: NodeId, report: NodeReport) {
        for StreamReport {
            slug,
            hops,
            viewers,
            epoch,
            advanced_at,
            ..
        } in report.streams
        {
            let crowd = self.by_slug.entry(slug).or_default();
            crowd.viewers += viewers;
            let advanced = crowd.advanced.entry(epoch).or_default();
            *advanced = advanced_at.max(*advanced);
            let place = crowd.relays.partition_point(|known| *known <= (hops, node));
            crowd.relays.insert(place, (hops, node));
            crowd.relays.truncate(RELAYS_MAX);
        }
    }

    /// Who watches `slug`, over all relays.
    pub fn viewers(&self, slug: &Slug) -> Viewers {
        self.by_slug
            .get(slug)
            .map(|crowd| crowd.viewers)
            .unwrap_or_default()
    }

    /// When a relay last got a new frame of the publish `epoch` of `slug`, Unix milliseconds; 0 if none did.
    pub fn advanced_at(&self, slug: &Slug, epoch: u64) -> UnixMillis {
        self.by_slug
            .get(slug)
            .and_then(|crowd| crowd.advanced.get(&epoch))
            .copied()
            .unwrap_or_default()
    }

    /// Relays that carry `slug`, the nearest to the origin first, at most [`RELAYS_MAX`].
    pub fn relays(&self, slug: &Slug) -> Vec<NodeId> {
        let crowd = self.by_slug.get(slug);
        crowd
            .map(|crowd| crowd.relays.iter().map(|(_, node)| *node).collect())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use astral_proto::Kbps;

    fn report(hops: usize, flv: u32) -> NodeReport {
        let viewers = Viewers {
            flv,
            rtmp: 1,
            hls: 0,
        };
        NodeReport {
            sent_at: UnixMillis::new(0),
            streams: vec![StreamReport {
                slug: "demo".parse().unwrap(),
                hops,
                viewers,
                epoch: 1,
                newest: None,
                advanced_at: UnixMillis::new(0),
            }],
        }
    }

    #[test]
    fn viewers_add_up_over_all_relays() {
        let mut audience = Audience::default();
        for flv in [2, 3] {
            audience.add(NodeId::random(), report(1, flv));
        }
        assert_eq!(
            audience.viewers(&"demo".parse().unwrap()),
            Viewers {
                flv: 5,
                rtmp: 2,
                hls: 0
            }
        );
        assert_eq!(
            audience.viewers(&"other".parse().unwrap()),
            Viewers::default()
        );
    }

    fn said(epoch: u64, gop: u64, sent_at: u64) -> Heartbeat {
        let carried = Carried {
            slug: "demo".parse().unwrap(),
            epoch,
            incarnation: astral_proto::Incarnation::default(),
            path: vec![NodeId::random(), NodeId::random()],
            standby: None,
            newest: Some(FrameId::new(gop, 0)),
            kbps: Kbps::new(0),
            viewers: Viewers::default(),
            origin: None,
            progress: None,
        };
        Heartbeat {
            node: NodeId::random(),
            draining: false,
            limit_kbps: Kbps::new(0),
            viewer_kbps: Kbps::new(0),
            streams: vec![carried],
            serves: vec![],
            holds: vec![],
            rtts: vec![],
            generation: 0,
            sent_at: UnixMillis::new(sent_at),
            notices: vec![],
            process: 0,
        }
    }

    #[test]
    fn a_frame_is_new_if_the_same_relay_had_an_older_one_of_the_same_publish() {
        let at = |report: &NodeReport| report.streams[0].advanced_at;
        let first = NodeReport::of(&said(1, 7, 1), None, UnixMillis::new(1_000));
        assert_eq!(
            at(&first),
            UnixMillis::new(0),
            "it may be what another relay had cached"
        );
        let second = NodeReport::of(&said(1, 8, 2), Some(&first), UnixMillis::new(3_000));
        let third = NodeReport::of(&said(1, 8, 3), Some(&second), UnixMillis::new(5_000));
        assert_eq!(
            (at(&second), at(&third)),
            (UnixMillis::new(3_000), UnixMillis::new(3_000))
        );
        assert_eq!(
            at(&NodeReport::of(
                &said(2, 9, 4),
                Some(&third),
                UnixMillis::new(7_000)
            )),
            UnixMillis::new(0),
            "another publish"
        );
    }

    #[test]
    fn a_relay_that_claims_too_much_hides_no_other() {
        let slug: Slug = "demo".parse().unwrap();
        let advanced = |epoch, gop| {
            let before = NodeReport::of(&said(epoch, 1, 1), None, UnixMillis::new(0));
            NodeReport::of(&said(epoch, gop, 2), Some(&before), UnixMillis::new(gop))
        };
        let mut audience = Audience::default();
        for (epoch, gop) in [(1, 5), (1, 7), (u64::MAX, u64::MAX), (1, 6)] {
            audience.add(NodeId::random(), advanced(epoch, gop));
        }
        assert_eq!(audience.advanced_at(&slug, 1), UnixMillis::new(7));
        assert_eq!(audience.advanced_at(&slug, 2), UnixMillis::new(0));
        assert_eq!(
            audience.advanced_at(&"other".parse().unwrap(), 1),
            UnixMillis::new(0)
        );
    }

    #[test]
    fn the_relays_nearest_to_the_origin_are_remembered() {
        let mut audience = Audience::default();
        let nodes: Vec<_> = (0..40).map(|_| NodeId::random()).collect();
        for (hops, node) in nodes.iter().enumerate().rev() {
            audience.add(*node, report(hops, 0));
        }
        assert_eq!(
            audience.relays(&"demo".parse().unwrap()),
            nodes[..RELAYS_MAX]
        );
    }
}
