//! Where viewers can be sent: what the control plane said last about relays and streams.
//!
//! Asked again when older than a second; kept, however old, while the control plane is away. A list that has lost most of
//! its relays at once comes from a state that was wiped, and is not taken at its word for one lease: by then whoever is
//! there has registered again.

use astral_backend::Bus;
use astral_proto::limits::LEASE;
use astral_proto::message::{GetStream, GetTree, ListNodes};
use astral_proto::model::{Node, NodeState};
use astral_proto::{Code, NodeId, Problem, Slug};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long an answer is used without asking again.
const FRESH: Duration = Duration::from_secs(1);
/// Longest an answer is waited for before the last one is used.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// Most relays that viewers are spread over.
const RELAYS_MAX: u32 = 1000;
/// Most streams remembered.
const STREAMS_MAX: usize = 1024;

/// What was last heard of relays and streams.
pub(crate) struct Relays {
    bus: Bus,
    nodes: tokio::sync::Mutex<Heard<Known>>,
    streams: Mutex<HashMap<Slug, Heard<Carriers>>>,
}

/// Relays, by host:port, that a viewer has tried just now.
#[derive(Clone, Copy, Default)]
pub(crate) struct Shunned<'a> {
    /// Did not answer: taken again only if no other will do.
    pub(crate) dead: Option<&'a str>,
    /// Said that it is full, whatever its last heartbeat said: not taken again.
    pub(crate) full: Option<&'a str>,
}

/// The relays that are known, if any were ever heard of.
#[derive(Clone, Default)]
struct Known {
    nodes: Option<Arc<[Node]>>,
    /// When a list was first doubted.
    doubted: Option<Instant>,
}

/// The relays that carry a stream.
type Carriers = Arc<[NodeId]>;

#[derive(Clone)]
struct Heard<T> {
    value: T,
    /// When it was last asked for; none before the first time.
    asked: Option<Instant>,
}

impl<T> Heard<T> {
    fn is_fresh(&self) -> bool {
        self.asked.is_some_and(|asked| asked.elapsed() < FRESH)
    }
}

impl Relays {
    pub(crate) fn new(bus: Bus) -> Self {
        let nodes = tokio::sync::Mutex::new(Heard { value: Known::default(), asked: None });
        Self { bus, nodes, streams: Mutex::default() }
    }

    /// A relay for one more viewer of `slug`: the base URL it serves at. Not one that is `shunned`.
    ///
    /// # Errors
    /// `not_found` if the directory does not know the stream; `control_plane_away` if no relay was ever heard of;
    /// `full` if none that is up has room.
    pub(crate) async fn for_viewer(&self, slug: &Slug, shunned: Shunned<'_>) -> Result<String, Problem> {
        let known = self.nodes().await;
        let in_doubt = known.as_ref().is_ok_and(Known::is_in_doubt);
        let carriers = self.carriers(slug, in_doubt).await?;
        let nodes = known?.nodes.unwrap_or_default();
        let draw = rand::random();
        let is_not = |host: Option<&str>, node: &Node| host.is_none_or(|host| !is_at(node, host));
        let has_room = |node: &Node| is_not(shunned.full, node);
        let relay = choose(&nodes, |node| has_room(node) && is_not(shunned.dead, node), &carriers, draw)
            .or_else(|| choose(&nodes, has_room, &carriers, draw))
            .ok_or_else(|| Problem::new(Code::Full, "no relay that is up has room for one more viewer"))?;
        Ok(relay.media_url.clone())
    }

    /// Callers at the same moment share one question; a failed one is not repeated within [`FRESH`].
    async fn nodes(&self) -> Result<Known, Problem> {
        let mut heard = self.nodes.lock().await;
        if !heard.is_fresh() {
            heard.asked = Some(Instant::now());
            let request = ListNodes { cursor: None, limit: RELAYS_MAX };
            match self.bus.request(&request, ANSWER_WITHIN).await {
                Ok(page) => heard.value.take_in(page.items),
                Err(problem) => tracing::debug!(%problem, "relays not heard of, going on with the last ones"),
            }
        }
        if heard.value.nodes.is_none() {
            let detail = "the control plane is away and no relay is known yet";
            return Err(Problem::new(Code::ControlPlaneAway, detail));
        }
        Ok(heard.value.clone())
    }

    async fn carriers(&self, slug: &Slug, in_doubt: bool) -> Result<Carriers, Problem> {
        let last = self.lock().get(slug).cloned();
        if let Some(heard) = last.as_ref().filter(|heard| heard.is_fresh()) {
            return Ok(heard.value.clone());
        }
        let value = match self.bus.request(&GetStream { slug: slug.clone() }, ANSWER_WITHIN).await {
            Err(problem) if problem.code == Code::NotFound && !(in_doubt && last.is_some()) => {
                self.lock().remove(slug);
                return Err(problem);
            }
            Err(_) => last.map(|heard| heard.value).unwrap_or_default(),
            Ok(_) => self.ask_tree(slug).await.or(last.map(|heard| heard.value)).unwrap_or_default(),
        };
        self.remember(slug, value.clone());
        Ok(value)
    }

    async fn ask_tree(&self, slug: &Slug) -> Option<Carriers> {
        let tree = self.bus.request(&GetTree { slug: slug.clone() }, ANSWER_WITHIN).await.ok()?;
        Some(tree.relays.iter().map(|relay| relay.node).collect())
    }

    fn remember(&self, slug: &Slug, value: Carriers) {
        let mut streams = self.lock();
        if streams.len() >= STREAMS_MAX && !streams.contains_key(slug) {
            streams.retain(|_, heard| heard.is_fresh());
        }
        if streams.len() < STREAMS_MAX || streams.contains_key(slug) {
            streams.insert(slug.clone(), Heard { value, asked: Some(Instant::now()) });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Slug, Heard<Carriers>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn take_in(&mut self, told: Vec<Node>) {
        let last = self.nodes.take().unwrap_or_default();
        let shrunk = told.len() * 2 < last.len();
        let doubted = self.doubted.filter(|doubted| shrunk || doubted.elapsed() < LEASE);
        self.doubted = doubted.or_else(|| shrunk.then(Instant::now));
        self.nodes =
            Some(if shrunk && self.is_in_doubt() { joined(told, &last).into() } else { told.into() });
    }

    /// Whether the state may have been wiped within one lease.
    fn is_in_doubt(&self) -> bool {
        self.doubted.is_some_and(|doubted| doubted.elapsed() < LEASE)
    }
}

/// What was told, and what was known before and is not in it.
fn joined(mut told: Vec<Node>, last: &[Node]) -> Vec<Node> {
    let left_out = last.iter().filter(|node| told.iter().all(|other| other.uuid != node.uuid));
    let left_out: Vec<_> = left_out.cloned().collect();
    told.extend(left_out);
    told
}

/// One of the relays that carry the stream and have room, else one of the others that do. Each is drawn as often as it has
/// room, so that figures a heartbeat old send nobody to one relay only, and a player that found one dead finds another.
fn choose<'a>(
    nodes: &'a [Node],
    wanted: impl Fn(&Node) -> bool,
    carriers: &[NodeId],
    draw: u64,
) -> Option<&'a Node> {
    let has_room = |node: &&Node| node.state == NodeState::Up && room(node) > 0 && wanted(node);
    let (carrying, others): (Vec<_>, Vec<_>) =
        nodes.iter().filter(has_room).partition(|node| carriers.contains(&node.uuid));
    let class = if carrying.is_empty() { others } else { carrying };
    let total: u64 = class.iter().map(|node| room(node)).sum();
    let mut left = draw.checked_rem(total)?;
    class.into_iter().find(|node| {
        let chosen = left < room(node);
        left = left.saturating_sub(room(node));
        chosen
    })
}

/// Whether viewers reach `node` at `host`, a host:port.
fn is_at(node: &Node, host: &str) -> bool {
    let authority = node.media_url.split_once("://").map_or("", |(_, rest)| rest);
    authority.split('/').next() == Some(host)
}

/// What a relay may still spend, kbit/s.
fn room(node: &Node) -> u64 {
    u64::from(node.limit_kbps).saturating_sub(u64::from(node.promised_kbps) + u64::from(node.viewer_kbps))
}

#[cfg(test)]
mod tests {
    use super::*;
    use astral_proto::model::Role;

    fn node(state: NodeState, limit_kbps: u32, viewer_kbps: u32) -> Node {
        let uuid = NodeId::random();
        Node {
            uuid,
            role: Role::Supernode,
            state,
            media_url: format!("http://{uuid}"),
            rtmp_url: String::new(),
            advertise: String::new(),
            primary_supernode: None,
            limit_kbps,
            promised_kbps: 1000,
            viewer_kbps,
            streams: 0,
        }
    }

    #[test]
    fn a_relay_that_carries_the_stream_is_preferred_while_it_has_room() {
        let [carrier, other] = [node(NodeState::Up, 2000, 999), node(NodeState::Up, 900_000, 0)];
        let carriers = [carrier.uuid];
        for draw in [0, 1, u64::MAX] {
            let nodes = [other.clone(), carrier.clone()];
            assert_eq!(choose(&nodes, |_| true, &carriers, draw).unwrap().uuid, carrier.uuid);
            let full = Node { viewer_kbps: 1000, ..carrier.clone() };
            assert_eq!(choose(&[full, other.clone()], |_| true, &carriers, draw).unwrap().uuid, other.uuid);
        }
    }

    #[test]
    fn relays_are_drawn_in_proportion_to_their_room() {
        let nodes = [node(NodeState::Up, 1001, 0), node(NodeState::Up, 1003, 0)];
        let drawn = (0..400)
            .filter(|&draw| choose(&nodes, |_| true, &[], draw).unwrap().uuid == nodes[1].uuid)
            .count();
        assert_eq!(drawn, 300);
    }

    #[test]
    fn relays_that_drain_are_lost_or_are_full_get_nobody() {
        let nodes =
            [node(NodeState::Draining, 9000, 0), node(NodeState::Lost, 9000, 0), node(NodeState::Up, 0, 0)];
        assert!(choose(&nodes, |_| true, &[], 7).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_shrinks_at_once_is_doubted_for_one_lease() {
        let nodes: Vec<_> = (0..3).map(|_| node(NodeState::Up, 1, 0)).collect();
        let mut known = Known::default();
        known.take_in(nodes.clone());
        assert!(!known.is_in_doubt());
        let count = |known: &Known| known.nodes.as_ref().unwrap().len();
        known.take_in(vec![]);
        assert_eq!((count(&known), known.is_in_doubt()), (3, true), "a wipe");
        tokio::time::advance(LEASE / 2).await;
        known.take_in(vec![Node { viewer_kbps: 7, ..nodes[1].clone() }]);
        assert_eq!(
            (count(&known), known.nodes.as_ref().unwrap()[0].viewer_kbps),
            (3, 7),
            "the first is back"
        );
        tokio::time::advance(LEASE / 2).await;
        known.take_in(vec![nodes[1].clone()]);
        assert_eq!(count(&known), 1, "the others are really gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_relay_that_leaves_among_others_is_gone_at_once() {
        let nodes: Vec<_> = (0..3).map(|_| node(NodeState::Up, 1, 0)).collect();
        let mut known = Known::default();
        known.take_in(nodes.clone());
        known.take_in(nodes[1..].to_vec());
        assert_eq!((known.nodes.as_ref().unwrap().len(), known.is_in_doubt()), (2, false));
    }

    #[test]
    fn a_relay_is_known_by_the_host_that_viewers_see() {
        let node = Node { media_url: "http://a:8081/edge".to_owned(), ..node(NodeState::Up, 1, 0) };
        assert!(is_at(&node, "a:8081"));
        assert!(!is_at(&node, "a:808") && !is_at(&node, "") && !is_at(&node, "b:8081"));
    }
}
