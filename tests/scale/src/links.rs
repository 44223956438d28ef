//! The links between the relays of the model: who sends to whom. Stands in for sockets.

use astral_proto::NodeId;
use astral_proto::TicketId;
use astral_proto::limits::HOPS_MAX;
use astral_proto::message::Offer;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What every stream takes, kbit/s.
pub const STREAM_KBPS: u32 = 2_500;

/// One relay as its peers meet it.
#[derive(Default)]
struct Peer {
    /// Where its frames come from.
    source: Source,
    /// Links it serves, by ticket.
    serves: BTreeMap<TicketId, NodeId>,
    /// Notified when its own link has ended.
    link_ended: Arc<Notify>,
}

/// Where the frames of a relay come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Source {
    /// Nowhere.
    #[default]
    Nothing,
    /// It has the publisher.
    Publisher,
    /// A link.
    Link(TicketId, NodeId),
}

/// Every link.
#[derive(Clone, Default)]
pub struct Links(Arc<Mutex<BTreeMap<NodeId, Peer>>>);

impl Links {
    /// A relay is there; what it waits on for the end of its link.
    pub fn join(&self, node: NodeId) -> Arc<Notify> {
        let mut peers = self.peers();
        let peer = Peer::default();
        let link_ended = peer.link_ended.clone();
        peers.insert(node, peer);
        link_ended
    }

    /// A relay is the origin.
    pub fn publish(&self, node: NodeId) {
        if let Some(peer) = self.peers().get_mut(&node) {
            peer.source = Source::Publisher;
        }
    }

    /// A relay has died: its links close.
    pub fn die(&self, node: NodeId) {
        let mut peers = self.peers();
        let Some(dead) = peers.remove(&node) else {
            return;
        };
        if let Source::Link(ticket, provider) = dead.source {
            stop_serving(&mut peers, provider, ticket);
        }
        for (ticket, subscriber) in dead.serves {
            end_link(&mut peers, subscriber, ticket);
        }
    }

    /// Opens the link by a ticket; whether the provider serves it.
    pub fn open(&self, offer: &Offer, subscriber: NodeId) -> bool {
        let mut peers = self.peers();
        let Some(path) = path(&peers, offer.provider) else {
            return false;
        };
        if path.contains(&subscriber) || path.len() > HOPS_MAX as usize {
            return false;
        }
        let Some(provider) = peers.get_mut(&offer.provider) else {
            return false;
        };
        provider.serves.insert(offer.id, subscriber);
        let before = peers.get_mut(&subscriber).map(|peer| {
            std::mem::replace(&mut peer.source, Source::Link(offer.id, offer.provider))
        });
        if let Some(Source::Link(ticket, provider)) = before {
            stop_serving(&mut peers, provider, ticket);
        }
        true
    }

    /// A provider closes the link by a ticket, since that is no longer good.
    pub fn revoke(&self, provider: NodeId, ticket: TicketId) {
        let mut peers = self.peers();
        if let Some(subscriber) = stop_serving(&mut peers, provider, ticket) {
            end_link(&mut peers, subscriber, ticket);
        }
    }

    /// A relay gives its own link up.
    pub fn leave(&self, node: NodeId) {
        let mut peers = self.peers();
        let Some(peer) = peers.get_mut(&node) else {
            return;
        };
        if let Source::Link(ticket, provider) = peer.source {
            peer.source = Source::Nothing;
            stop_serving(&mut peers, provider, ticket);
        }
    }

    /// The tickets by which a relay serves, with whom.
    pub fn served_by(&self, node: NodeId) -> Vec<(TicketId, NodeId)> {
        let peers = self.peers();
        let served = peers.get(&node).map(|peer| &peer.serves);
        served
            .into_iter()
            .flatten()
            .map(|(id, node)| (*id, *node))
            .collect()
    }

    /// From the origin to a relay, both included; None if it has no frames.
    pub fn path(&self, node: NodeId) -> Option<Vec<NodeId>> {
        path(&self.peers(), node)
    }

    /// How many hops each relay with frames is from the origin.
    pub fn hops(&self) -> BTreeMap<NodeId, usize> {
        let peers = self.peers();
        let hops = |node: &NodeId| Some((*node, path(&peers, *node)?.len() - 1));
        peers.keys().filter_map(hops).collect()
    }

    fn peers(&self) -> MutexGuard<'_, BTreeMap<NodeId, Peer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stop_serving(
    peers: &mut BTreeMap<NodeId, Peer>,
    provider: NodeId,
    ticket: TicketId,
) -> Option<NodeId> {
    peers.get_mut(&provider)?.serves.remove(&ticket)
}

fn end_link(peers: &mut BTreeMap<NodeId, Peer>, subscriber: NodeId, ticket: TicketId) {
    let Some(peer) = peers.get_mut(&subscriber) else {
        return;
    };
    if matches!(peer.source, Source::Link(own, _) if own == ticket) {
        peer.source = Source::Nothing;
        peer.link_ended.notify_one();
    }
}

fn path(peers: &BTreeMap<NodeId, Peer>, node: NodeId) -> Option<Vec<NodeId>> {
    let mut path = vec![node];
    loop {
        match peers.get(path.last()?)?.source {
            Source::Nothing => return None,
            Source::Publisher => break,
            Source::Link(_, provider) => path.push(provider),
        }
        if path.len() > 2 * HOPS_MAX as usize {
            return None;
        }
    }
    path.reverse();
    Some(path)
}
