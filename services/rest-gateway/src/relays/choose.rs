//! Which relay one more viewer of a stream is sent to.

use astral_proto::limits::UNKNOWN_KBPS;
use astral_proto::model::{Node, NodeState};
use astral_proto::{Kbps, NodeId};

/// Most relays that send one viewer back for want of room before the gateway gives up. Each costs two redirects, and
/// browsers follow 20.
pub(crate) const FULL_TRIED_MAX: usize = 8;

/// What a viewer says of relays: those that it has tried just now, and one that it would like.
#[derive(Default)]
pub(crate) struct Shunned {
    /// The host:port of one that did not answer. It is chosen again only if no other will do.
    pub(crate) dead: Option<String>,
    /// Those that said that they are full, whatever their last heartbeats said, by id or by host:port. They are not
    /// chosen again. Relays behind one public URL are told apart by id only.
    pub(crate) full: Vec<String>,
    /// The one that the viewer asks for, by id or by host:port. It is chosen while the stream fits on it.
    pub(crate) preferred: Option<String>,
}

/// What a relay must have to serve a stream.
#[derive(Default)]
pub(crate) struct Wanted {
    /// The relays that carry the stream already.
    pub(crate) carriers: Vec<NodeId>,
    /// What one viewer needs; 0 while the rate of the stream is unknown.
    pub(crate) kbps: Kbps,
}

/// A relay with room for the stream. A relay that carries it is preferred.
///
/// While the rate is not known, a relay with room for the rate that is assumed then is preferred, and any room will do.
pub(crate) fn choose<'a>(
    nodes: &'a [Node],
    shunned: &Shunned,
    wanted: &Wanted,
    draw: u64,
) -> Option<&'a Node> {
    if shunned.full.len() >= FULL_TRIED_MAX {
        return None;
    }
    let with_room = |kbps| choose_with_room(nodes, shunned, wanted, draw, kbps);
    match wanted.kbps {
        Kbps::ZERO => with_room(UNKNOWN_KBPS).or_else(|| with_room(Kbps::new(1))),
        kbps => with_room(kbps),
    }
}

fn choose_with_room<'a>(
    nodes: &'a [Node],
    shunned: &Shunned,
    wanted: &Wanted,
    draw: u64,
    kbps: Kbps,
) -> Option<&'a Node> {
    let fits = |node: &Node| {
        node.state == NodeState::Up
            && room(node) >= kbps
            && !shunned.full.iter().any(|name| is_called(node, name))
    };
    let answers = |node: &Node| {
        shunned
            .dead
            .as_ref()
            .is_none_or(|host| !is_called(node, host))
    };
    let is_preferred = |node: &Node| {
        shunned
            .preferred
            .as_ref()
            .is_some_and(|name| is_called(node, name))
    };
    draw_one(
        nodes,
        |node| fits(node) && answers(node) && is_preferred(node),
        &wanted.carriers,
        draw,
    )
    .or_else(|| {
        draw_one(
            nodes,
            |node| fits(node) && answers(node),
            &wanted.carriers,
            draw,
        )
    })
    .or_else(|| draw_one(nodes, fits, &wanted.carriers, draw))
}

/// One of the relays that carry the stream, or else one of the others. Each is drawn as often as it has room. So figures
/// that are a heartbeat old do not send everybody to one relay, and a player that found one dead finds another.
fn draw_one<'a>(
    nodes: &'a [Node],
    fits: impl Fn(&Node) -> bool,
    carriers: &[NodeId],
    draw: u64,
) -> Option<&'a Node> {
    let fitting = nodes.iter().filter(|node| fits(node));
    let (carrying, others): (Vec<_>, Vec<_>) =
        fitting.partition(|node| carriers.contains(&node.uuid));
    let class = if carrying.is_empty() {
        others
    } else {
        carrying
    };
    let room = |node: &Node| u64::from(room(node).get());
    let total: u64 = class.iter().map(|node| room(node)).sum();
    let mut left = draw.checked_rem(total)?;
    class.into_iter().find(|node| {
        let chosen = left < room(node);
        left = left.saturating_sub(room(node));
        chosen
    })
}

/// Whether `name` is the id of `node`, or the host:port where viewers reach it.
fn is_called(node: &Node, name: &str) -> bool {
    let authority = node
        .media_url
        .split_once("://")
        .map_or("", |(_, rest)| rest);
    authority.split('/').next() == Some(name) || name.parse() == Ok(node.uuid)
}

/// What a relay may still send.
fn room(node: &Node) -> Kbps {
    node.limit_kbps - (node.promised_kbps + node.viewer_kbps)
}

#[cfg(test)]
pub(super) mod tests;
