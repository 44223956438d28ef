//! The position of every relay in the trees, from its heartbeats. Only differences from the last
//! heartbeat become events.

use astral_proto::NodeId;
use astral_proto::limits::LEASE;
use astral_proto::message::{Carried, Heartbeat};
use astral_proto::rest::{CarriedPlace, Happening, RelayPlace};
use std::collections::HashMap;
use tokio::time::Instant;

/// Most relays that are remembered. Changes of further relays cause no events.
const RELAYS_MAX: usize = 10_000;

/// The last heartbeat of each relay.
#[derive(Default)]
pub(super) struct Places {
    relays: HashMap<NodeId, Last>,
}

struct Last {
    heard: Instant,
    /// When it was sent, by the relay's own clock.
    sent_at: u64,
    place: RelayPlace,
}

impl Places {
    /// Returns what a heartbeat changes. A late heartbeat changes nothing.
    pub(super) fn hear(&mut self, said: &Heartbeat) -> Option<Happening> {
        let before = self.relays.get(&said.node);
        let is_late = before.is_some_and(|before| before.sent_at > said.sent_at.get());
        if is_late || (before.is_none() && !self.has_room()) {
            return None;
        }
        let place = place(said);
        let last = Last {
            heard: Instant::now(),
            sent_at: said.sent_at.get(),
            place: place.clone(),
        };
        let before = self.relays.insert(said.node, last);
        let is_news = before.map_or(!place.streams.is_empty(), |before| before.place != place);
        is_news.then_some(Happening::TreeChanged { relay: place })
    }

    /// Forgets a relay that has gone.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.relays.remove(&node);
    }

    fn has_room(&mut self) -> bool {
        if self.relays.len() >= RELAYS_MAX {
            self.relays
                .retain(|_, last| last.heard.elapsed() < LEASE * 2);
        }
        self.relays.len() < RELAYS_MAX
    }
}

fn place(said: &Heartbeat) -> RelayPlace {
    let mut streams: Vec<_> = said.streams.iter().map(carried).collect();
    streams.sort_by(|one, other| one.slug.cmp(&other.slug));
    RelayPlace {
        node: said.node,
        draining: said.draining,
        streams,
    }
}

fn carried(carried: &Carried) -> CarriedPlace {
    let above = carried.path.len().checked_sub(2);
    CarriedPlace {
        slug: carried.slug.clone(),
        epoch: carried.epoch,
        provider: above.map(|above| carried.path[above]),
        standby: carried.standby,
        hops: carried.path.len().saturating_sub(1) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use astral_proto::model::Viewers;
    use astral_proto::{Incarnation, Kbps, UnixMillis};

    fn said(node: NodeId, sent_at: u64) -> Heartbeat {
        Heartbeat {
            node,
            draining: false,
            limit_kbps: Kbps::new(1),
            viewer_kbps: Kbps::new(0),
            streams: vec![],
            rtts: Vec::new(),
            serves: vec![],
            holds: vec![],
            generation: 0,
            sent_at: UnixMillis::new(sent_at),
            notices: vec![],
            process: 0,
        }
    }

    fn pulling(node: NodeId, provider: NodeId, sent_at: u64) -> Heartbeat {
        let carried = Carried {
            slug: "demo".parse().unwrap(),
            incarnation: Incarnation::default(),
            epoch: 1,
            path: vec![provider, node],
            standby: None,
            newest: None,
            kbps: Kbps::new(0),
            viewers: Viewers::default(),
            origin: None,
            progress: None,
        };
        Heartbeat {
            streams: vec![carried],
            ..said(node, sent_at)
        }
    }

    #[test]
    fn only_what_differs_from_the_last_heartbeat_is_news() {
        let mut places = Places::default();
        let node = NodeId::random();
        let provider = NodeId::random();
        assert_eq!(
            places.hear(&said(node, 1)),
            None,
            "one that carries nothing is in no tree"
        );
        let Some(Happening::TreeChanged { relay }) = places.hear(&pulling(node, provider, 2))
        else {
            panic!("it carries a stream now")
        };
        assert_eq!(
            (relay.streams[0].provider, relay.streams[0].hops),
            (Some(provider), 1)
        );
        let figures = Heartbeat {
            viewer_kbps: Kbps::new(9),
            ..pulling(node, provider, 3)
        };
        assert_eq!(places.hear(&figures), None, "figures are no news");
        assert_eq!(
            places.hear(&said(node, 2)),
            None,
            "a late word says nothing"
        );
        assert!(
            places.hear(&pulling(node, NodeId::random(), 4)).is_some(),
            "from another"
        );
        places.forget(node);
        assert!(
            places.hear(&pulling(node, provider, 5)).is_some(),
            "back again"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_relays_are_remembered_and_the_silent_give_way() {
        let mut places = Places::default();
        let provider = NodeId::random();
        for _ in 0..RELAYS_MAX {
            places.hear(&said(NodeId::random(), 1));
        }
        assert_eq!(places.hear(&pulling(NodeId::random(), provider, 1)), None);
        tokio::time::advance(LEASE * 2).await;
        assert!(
            places
                .hear(&pulling(NodeId::random(), provider, 1))
                .is_some()
        );
        assert_eq!(places.relays.len(), 1);
    }
}
