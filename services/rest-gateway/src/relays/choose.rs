//! Which relay the next viewer of a stream is sent to.

use astral_proto::limits::UNKNOWN_KBPS;
use astral_proto::model::{Node, NodeState};
use astral_proto::{Kbps, NodeId};

/// How many relays may turn one viewer away before the gateway gives up. Each costs two redirects,
/// and browsers follow 20.
pub(crate) const FULL_TRIED_MAX: usize = 8;

/// What a viewer reports: the relays that it has just tried, and the one that it prefers.
#[derive(Default)]
pub(crate) struct Shunned {
    /// The host:port of a relay that did not answer. It is chosen again only if no other relay
    /// fits.
    pub(crate) dead: Option<String>,
    /// Relays that turned the viewer away because they are full, by id or host:port. They are not
    /// chosen again, whatever their last heartbeat says. Relays behind one public URL differ only
    /// by id.
    pub(crate) full: Vec<String>,
    /// The relay that the viewer prefers, by id or host:port. It is chosen if the stream fits.
    pub(crate) preferred: Option<String>,
}

/// What a relay needs to serve a stream.
#[derive(Default)]
pub(crate) struct Wanted {
    /// The relays that carry the stream now.
    pub(crate) carriers: Vec<NodeId>,
    /// What one viewer needs; 0 while the rate of the stream is unknown.
    pub(crate) kbps: Kbps,
}

/// Returns a relay with room for the stream. Relays that carry it come first.
///
/// While the bitrate is unknown, relays with room for the assumed bitrate come first, and any room
/// is enough.
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

/// Draws one of the relays that carry the stream, or else one of the others. The chance of a relay
/// grows with its room. So figures that are one heartbeat old do not send every viewer to one
/// relay, and a player that finds one relay dead gets another one.
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
