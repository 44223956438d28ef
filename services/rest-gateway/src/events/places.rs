//! What every node does, by its heartbeats: only what differs from the last one is news.

use astral_proto::limits::LEASE;
use astral_proto::message::{Carried, Heartbeat};
use astral_proto::rest::{CarriedPlace, Happening, NodePlace, TicketPlace};
use astral_proto::{NodeId, TicketId};
use std::collections::{BTreeMap, HashMap};
use tokio::time::Instant;

/// Most nodes remembered; of further ones no events are told.
const NODES_MAX: usize = 10_000;

/// Every node's last word.
#[derive(Default)]
pub(super) struct Places {
    nodes: HashMap<NodeId, Last>,
}

struct Last {
    heard: Instant,
    /// By the node's own clock.
    sent_at: u64,
    place: NodePlace,
    tickets: BTreeMap<TicketId, TicketPlace>,
}

impl Places {
    /// What a heartbeat says that was not so before. A late one says nothing.
    pub(super) fn hear(&mut self, said: &Heartbeat) -> Vec<Happening> {
        let before = self.nodes.get(&said.node);
        if before.is_some_and(|before| before.sent_at > said.sent_at) {
            return Vec::new();
        }
        if before.is_none() && !self.has_room() {
            return Vec::new();
        }
        let now = Last::of(said);
        let before = self.nodes.remove(&said.node);
        let mut news = node_news(before.as_ref(), &now);
        let none = BTreeMap::new();
        news.extend(ticket_news(before.as_ref().map_or(&none, |before| &before.tickets), &now.tickets));
        self.nodes.insert(said.node, now);
        news
    }

    /// What it means that a node has gone.
    pub(super) fn gone(&mut self, uuid: NodeId) -> Vec<Happening> {
        let tickets = self.nodes.remove(&uuid).map(|last| last.tickets).unwrap_or_default();
        let mut news = ticket_news(&tickets, &BTreeMap::new());
        news.push(Happening::NodeGone { uuid });
        news
    }

    fn has_room(&mut self) -> bool {
        if self.nodes.len() >= NODES_MAX {
            self.nodes.retain(|_, last| last.heard.elapsed() < LEASE * 2);
        }
        self.nodes.len() < NODES_MAX
    }
}

impl Last {
    fn of(said: &Heartbeat) -> Self {
        let mut streams: Vec<_> = said.streams.iter().map(carried).collect();
        streams.sort_by(|one, other| one.slug.cmp(&other.slug));
        let held = said.holds.iter().map(|held| TicketPlace {
            id: held.id,
            slug: held.slug.clone(),
            provider: held.provider,
            subscriber: said.node,
            standby: held.standby,
        });
        Self {
            heard: Instant::now(),
            sent_at: said.sent_at,
            place: NodePlace { uuid: said.node, draining: said.draining, streams },
            tickets: held.map(|ticket| (ticket.id, ticket)).collect(),
        }
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

fn node_news(before: Option<&Last>, now: &Last) -> Vec<Happening> {
    let node = now.place.clone();
    match before {
        None => vec![Happening::NodeCreated { node }],
        Some(before) if before.place != node => vec![Happening::NodeChanged { node }],
        Some(_) => Vec::new(),
    }
}

fn ticket_news(
    before: &BTreeMap<TicketId, TicketPlace>,
    now: &BTreeMap<TicketId, TicketPlace>,
) -> Vec<Happening> {
    let gone = before.iter().filter(|(id, _)| !now.contains_key(id));
    let gone = gone.map(|(_, ticket)| Happening::TicketGone { ticket: ticket.clone() });
    let here = now.iter().filter_map(|(id, ticket)| {
        let ticket = ticket.clone();
        match before.get(id) {
            None => Some(Happening::TicketCreated { ticket }),
            Some(before) if *before != ticket => Some(Happening::TicketChanged { ticket }),
            Some(_) => None,
        }
    });
    gone.chain(here).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use astral_proto::message::HeldTicket;
    use astral_proto::model::Viewers;

    fn said(node: NodeId, sent_at: u64) -> Heartbeat {
        Heartbeat {
            node,
            draining: false,
            limit_kbps: 1,
            viewer_kbps: 0,
            streams: vec![],
            serves: vec![],
            holds: vec![],
            generation: 0,
            sent_at,
        }
    }

    fn pulling(node: NodeId, provider: NodeId, id: TicketId, standby: bool, sent_at: u64) -> Heartbeat {
        let slug: astral_proto::Slug = "demo".parse().unwrap();
        let carried = Carried {
            slug: slug.clone(),
            epoch: 1,
            path: vec![provider, node],
            standby: None,
            newest: None,
            kbps: 0,
            viewers: Viewers::default(),
            origin: None,
        };
        let holds = vec![HeldTicket { id, slug, provider, standby }];
        Heartbeat { streams: vec![carried], holds, ..said(node, sent_at) }
    }

    fn kinds(news: &[Happening]) -> Vec<String> {
        let kind = |news| serde_json::to_value(news).unwrap()["type"].as_str().unwrap().to_owned();
        news.iter().map(kind).collect()
    }

    #[test]
    fn only_what_differs_from_the_last_heartbeat_is_news() {
        let (mut places, node, id) = (Places::default(), NodeId::random(), TicketId::random());
        let provider = NodeId::random();
        assert_eq!(kinds(&places.hear(&said(node, 1))), ["node.created"]);
        assert!(
            places.hear(&Heartbeat { viewer_kbps: 9, ..said(node, 2) }).is_empty(),
            "figures are no news"
        );
        let news = places.hear(&pulling(node, provider, id, true, 3));
        assert_eq!(kinds(&news), ["node.changed", "ticket.created"]);
        let Happening::NodeChanged { node: place } = &news[0] else { panic!("{news:?}") };
        assert_eq!((place.streams[0].provider, place.streams[0].hops), (Some(provider), 1));
        assert_eq!(kinds(&places.hear(&pulling(node, provider, id, false, 4))), ["ticket.changed"]);
        assert!(places.hear(&said(node, 3)).is_empty(), "a late word says nothing");
        assert_eq!(kinds(&places.gone(node)), ["ticket.gone", "node.gone"]);
        assert_eq!(kinds(&places.gone(node)), ["node.gone"]);
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_nodes_are_remembered_and_the_silent_give_way() {
        let mut places = Places::default();
        for _ in 0..NODES_MAX {
            places.hear(&said(NodeId::random(), 1));
        }
        assert!(places.hear(&said(NodeId::random(), 1)).is_empty());
        tokio::time::advance(LEASE * 2).await;
        assert_eq!(kinds(&places.hear(&said(NodeId::random(), 1))), ["node.created"]);
        assert_eq!(places.nodes.len(), 1);
    }
}
