//! Who carries a stream, and through whom it comes to each.

use astral_proto::NodeId;
use astral_proto::limits::{HOPS_MAX, OFFER};
use astral_proto::message::Carried;
use astral_proto::model::{Node, NodeState, Role};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One relay and one stream, as last heard. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carrier {
    /// The relay, with its load as of then.
    pub node: Node,
    /// How it carries the stream; none if it has only just been given a ticket for it.
    pub carried: Option<Carried>,
    /// The provider it was last given a ticket of, and when. Its own word takes this over.
    pub upstream: Option<(NodeId, u64)>,
    /// When this was said.
    pub as_of: u64,
    /// Since when it has been as far from that origin, with room as now.
    pub since: u64,
}

impl Carrier {
    /// A relay's own word, which leaves `upstream` standing only while a new ticket may not have been used yet.
    pub fn said(node: Node, carried: Carried, upstream: Option<(NodeId, u64)>, now: u64) -> Self {
        let path = &carried.path;
        let provider = path.len().checked_sub(2).map(|index| path[index]);
        let upstream = upstream.filter(|(granted, at)| {
            Some(*granted) != provider && now.saturating_sub(*at) < OFFER.as_millis() as u64
        });
        Self {
            node,
            carried: Some(carried),
            upstream,
            as_of: now,
            since: now,
        }
    }

    /// A relay that has just been given a ticket of `provider`, and has not said yet that it carries the stream.
    /// Nothing else is told of it: nobody may pull from it yet.
    pub fn granted(uuid: NodeId, provider: NodeId, now: u64) -> Self {
        let node = Node {
            uuid,
            name: String::new(),
            role: Role::Node,
            state: NodeState::Up,
            media_url: String::new(),
            rtmp_url: String::new(),
            advertise: String::new(),
            primary_supernode: None,
            limit_kbps: 0,
            promised_kbps: 0,
            viewer_kbps: 0,
            streams: 0,
        };
        Self {
            node,
            carried: None,
            upstream: Some((provider, now)),
            as_of: now,
            since: now,
        }
    }

    /// What is known by a relay's own word and by the last ticket that it was given.
    pub fn of(said: Option<Self>, granted: Option<Self>, now: u64) -> Option<Self> {
        let Some(said) = said else { return granted };
        let upstream = granted.and_then(|granted| granted.upstream);
        let as_of = said.as_of;
        let since = said.since;
        Some(Self {
            as_of,
            since,
            ..Self::said(said.node, said.carried?, upstream, now)
        })
    }

    /// The path by its own word; empty if it does not carry the stream yet.
    pub fn path(&self) -> &[NodeId] {
        self.carried.as_ref().map_or(&[], |carried| &carried.path)
    }

    /// Whether it is an origin, by its own word.
    pub fn is_origin(&self) -> bool {
        self.path().len() == 1 && self.upstream.is_none()
    }

    /// Relay links from the origin.
    pub fn hops(&self) -> u32 {
        u32::try_from(self.path().len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// What of its limit is promised or in use, in thousandths.
    pub fn share(&self) -> u64 {
        let used = u64::from(self.node.promised_kbps) + u64::from(self.node.viewer_kbps);
        used * 1_000 / u64::from(self.node.limit_kbps.max(1))
    }

    /// Whether `kbps` more would be over its limit, by what it said last.
    pub fn is_full_with(&self, kbps: u32) -> bool {
        let used = u64::from(self.node.promised_kbps) + u64::from(self.node.viewer_kbps);
        used + u64::from(kbps) > u64::from(self.node.limit_kbps)
    }

    /// The stream's bitrate as it measures it; none until it has.
    pub fn measured_kbps(&self) -> Option<u32> {
        self.carried
            .as_ref()
            .map(|carried| carried.kbps)
            .filter(|kbps| *kbps > 0)
    }

    /// Who it gets the stream from, by the newest word.
    pub fn provider(&self) -> Option<NodeId> {
        let path = self.path();
        let said = path.len().checked_sub(2).map(|index| path[index]);
        self.upstream.map(|(granted, _)| granted).or(said)
    }
}

/// Every relay known to carry one stream.
pub type Carriers = BTreeMap<NodeId, Arc<Carrier>>;

/// The relays that the stream comes through to `node`: itself first, its origin last. Each relay's newest word counts,
/// so a path told before one of its relays moved is put right.
pub fn path_to_origin(carriers: &Carriers, node: NodeId) -> Vec<NodeId> {
    let mut line = vec![node];
    let mut at = node;
    while let Some(provider) = carriers.get(&at).and_then(|carrier| carrier.provider()) {
        if line.contains(&provider) || line.len() > HOPS_MAX as usize {
            break;
        }
        line.push(provider);
        at = provider;
    }
    line
}

/// Whether the stream no longer comes to `node` from `origin`, by the newest word of the relays above it: their origin
/// has gone, or they feed each other.
pub fn is_cut_off(carriers: &Carriers, node: NodeId, origin: NodeId) -> bool {
    let line = path_to_origin(carriers, node);
    let Some((last, below)) = line.split_last() else {
        return true;
    };
    match (
        carriers.get(last),
        below.last().and_then(|below| carriers.get(below)),
    ) {
        _ if *last == origin => false,
        // Of a relay that is not known, whoever pulls from it knows where its stream comes from.
        (None, Some(below)) => below.path().first() != Some(&origin),
        _ => true,
    }
}

/// Whether the stream comes to `carrier` through `asker`, by its own word or by that of the relays above it.
pub fn receives_through(carriers: &Carriers, carrier: &Carrier, asker: NodeId) -> bool {
    carrier.path().contains(&asker) || path_to_origin(carriers, carrier.node.uuid).contains(&asker)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use astral_proto::Incarnation;
    use astral_proto::model::Viewers;

    pub fn carrier(role: Role, path: &[NodeId]) -> Carrier {
        let uuid = *path.last().unwrap();
        let node = Node {
            uuid,
            name: String::new(),
            role,
            state: NodeState::Up,
            media_url: "http://host:1".into(),
            rtmp_url: "rtmp://host:2/live".into(),
            advertise: "host:1".into(),
            primary_supernode: None,
            limit_kbps: 100_000,
            promised_kbps: 0,
            viewer_kbps: 0,
            streams: 1,
        };
        let carried = Carried {
            slug: "demo".parse().unwrap(),
            incarnation: Incarnation::default(),
            epoch: 1,
            path: path.to_vec(),
            standby: None,
            newest: None,
            kbps: 2_500,
            viewers: Viewers::default(),
            origin: None,
            progress: None,
        };
        Carrier {
            node,
            carried: Some(carried),
            upstream: None,
            as_of: 0,
            since: 0,
        }
    }

    pub fn carriers(all: impl IntoIterator<Item = Carrier>) -> Carriers {
        all.into_iter()
            .map(|carrier| (carrier.node.uuid, Arc::new(carrier)))
            .collect()
    }

    #[test]
    fn a_path_told_before_a_relay_above_moved_is_put_right() {
        let [origin, a, b, leaf] = std::array::from_fn(|_| NodeId::random());
        let mut moved = carrier(Role::Node, &[origin, a]);
        moved.upstream = Some((b, 0));
        let all = carriers([
            carrier(Role::Node, &[origin]),
            moved,
            carrier(Role::Node, &[origin, b]),
            carrier(Role::Node, &[origin, a, leaf]),
        ]);
        assert_eq!(path_to_origin(&all, leaf), [leaf, a, b, origin]);
        assert!(receives_through(&all, &all[&leaf], b));
        assert!(!receives_through(&all, &all[&b], leaf));
    }

    #[test]
    fn a_ring_told_by_two_relays_ends() {
        let [a, b] = std::array::from_fn(|_| NodeId::random());
        let all = carriers([carrier(Role::Node, &[a, b]), carrier(Role::Node, &[b, a])]);
        assert_eq!(path_to_origin(&all, a), [a, b]);
        assert!(is_cut_off(&all, a, NodeId::random()));
    }

    #[test]
    fn who_hangs_off_an_origin_that_has_gone_is_adrift_until_the_relays_above_are_back() {
        let [old, new, a, unknown, child, far] = std::array::from_fn(|_| NodeId::random());
        let mut all = carriers([
            carrier(Role::Node, &[new]),
            carrier(Role::Node, &[old, a]),
            carrier(Role::Node, &[old, a, child]),
            carrier(Role::Node, &[new, unknown, far]),
        ]);
        let adrift = |all: &Carriers| [a, child, far].map(|node| is_cut_off(all, node, new));
        assert_eq!(adrift(&all), [true, true, false]);
        Arc::make_mut(all.get_mut(&a).unwrap()).upstream = Some((new, 0));
        assert_eq!(adrift(&all), [false, false, false]);
    }

    #[test]
    fn a_relays_own_word_takes_over_once_it_uses_its_ticket_or_lets_it_go() {
        let [origin, a, b] = std::array::from_fn(|_| NodeId::random());
        let Carrier { node, carried, .. } = carrier(Role::Node, &[origin, b]);
        let said = |upstream, now| {
            Carrier::said(node.clone(), carried.clone().unwrap(), Some(upstream), now)
        };
        assert_eq!(said((a, 1_000), 2_000).upstream, Some((a, 1_000)));
        assert_eq!(said((origin, 1_000), 2_000).upstream, None);
        assert_eq!(said((a, 1_000), 6_000).upstream, None);
    }
}
