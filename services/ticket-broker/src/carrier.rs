//! One relay that carries a stream, and the paths that the stream takes through such relays.

use astral_proto::limits::{HOPS_MAX, OFFER};
use astral_proto::message::Carried;
use astral_proto::model::{Node, NodeState, Role};
use astral_proto::{Kbps, NodeId, UnixMillis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One relay and one stream, as last reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carrier {
    /// The relay, with its load at that time.
    pub node: Node,
    /// How it carries the stream. None if it has just been given a ticket and has not reported the
    /// stream yet.
    pub carried: Option<Carried>,
    /// The provider of the last ticket that the relay was given, and when that was. None once the
    /// relay reports that it pulls from this provider, or after 5 s ([`OFFER`]).
    pub upstream: Option<(NodeId, UnixMillis)>,
    /// When this was reported.
    pub as_of: UnixMillis,
    /// When the relay came into its present bucket of the index, which stands for its origin, its
    /// kind and its hops.
    pub since: UnixMillis,
}

/// All known relays that carry one stream.
pub type Carriers = BTreeMap<NodeId, Arc<Carrier>>;

impl Carrier {
    /// A relay as it reports itself. Keeps `upstream` only if the relay does not yet report that
    /// provider and the ticket is less than 5 s ([`OFFER`]) old.
    pub fn reported(
        node: Node,
        carried: Carried,
        upstream: Option<(NodeId, UnixMillis)>,
        now: UnixMillis,
    ) -> Self {
        let provider = second_to_last(&carried.path);
        let upstream =
            upstream.filter(|(granted, at)| Some(*granted) != provider && now.since(*at) < OFFER);
        Self {
            node,
            carried: Some(carried),
            upstream,
            as_of: now,
            since: now,
        }
    }

    /// A relay that has just been given a ticket of `provider`, and has not reported the stream
    /// yet. Nothing else is known about it, and no relay may pull from it.
    pub fn newly_granted(uuid: NodeId, provider: NodeId, now: UnixMillis) -> Self {
        let node = Node {
            uuid,
            name: String::new(),
            role: Role::Node,
            state: NodeState::Up,
            media_url: String::new(),
            rtmp_url: String::new(),
            advertise: String::new(),
            primary_supernode: None,
            limit_kbps: Kbps::ZERO,
            promised_kbps: Kbps::ZERO,
            viewer_kbps: Kbps::ZERO,
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

    /// Combines what a relay has reported with the last ticket that it was given. None if there is
    /// neither.
    pub fn merged(reported: Option<Self>, granted: Option<Self>, now: UnixMillis) -> Option<Self> {
        let Some(reported) = reported else {
            return granted;
        };
        let upstream = granted.and_then(|granted| granted.upstream);
        let as_of = reported.as_of;
        let since = reported.since;
        Some(Self {
            as_of,
            since,
            ..Self::reported(reported.node, reported.carried?, upstream, now)
        })
    }

    /// The path that the relay reports, from the origin to itself. Empty if it has not reported the
    /// stream.
    pub fn path(&self) -> &[NodeId] {
        self.carried.as_ref().map_or(&[], |carried| &carried.path)
    }

    /// Whether the relay reports that it is the origin, and has not been given a ticket since.
    pub fn is_origin(&self) -> bool {
        self.path().len() == 1 && self.upstream.is_none()
    }

    /// Relay links from the origin.
    pub fn hops(&self) -> u32 {
        u32::try_from(self.path().len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// How much of the relay's limit is promised or in use, in thousandths.
    pub fn load_permille(&self) -> u64 {
        let used = u64::from(self.used_kbps().get());
        used * 1_000 / u64::from(self.node.limit_kbps.get().max(1))
    }

    /// Whether `kbps` more would exceed the limit that the relay last reported.
    pub fn is_full_with(&self, kbps: Kbps) -> bool {
        self.used_kbps() + kbps > self.node.limit_kbps
    }

    /// The bitrate of the stream as the relay measures it. None until it has measured one.
    pub fn measured_kbps(&self) -> Option<Kbps> {
        self.carried
            .as_ref()
            .map(|carried| carried.kbps)
            .filter(|kbps| !kbps.is_zero())
    }

    /// The relay from which this one gets the stream: the provider of its last ticket if that still
    /// counts, else the one in its reported path.
    pub fn provider(&self) -> Option<NodeId> {
        self.upstream
            .map(|(granted, _)| granted)
            .or_else(|| second_to_last(self.path()))
    }

    fn used_kbps(&self) -> Kbps {
        self.node.promised_kbps + self.node.viewer_kbps
    }
}

/// The provider of the relay at the end of a path. None for an origin.
pub fn second_to_last(path: &[NodeId]) -> Option<NodeId> {
    path.len().checked_sub(2).map(|index| path[index])
}

/// The relays through which the stream comes to `node`: itself first, the origin last.
///
/// It follows the provider of each relay instead of the path that `node` reported: a relay above
/// may have moved since.
pub fn path_to_origin(carriers: &Carriers, node: NodeId) -> Vec<NodeId> {
    let mut path = vec![node];
    let mut at = node;
    while let Some(provider) = carriers.get(&at).and_then(|carrier| carrier.provider()) {
        if path.contains(&provider) || path.len() > HOPS_MAX as usize {
            break;
        }
        path.push(provider);
        at = provider;
    }
    path
}

/// Whether the stream no longer reaches `node` from `origin`: the path of `node` ends at an origin
/// that has gone, or its relays feed each other in a loop.
pub fn is_cut_off(carriers: &Carriers, node: NodeId, origin: NodeId) -> bool {
    let path = path_to_origin(carriers, node);
    let Some((last, below)) = path.split_last() else {
        return true;
    };
    let lowest_known = below.last().and_then(|below| carriers.get(below));
    match (carriers.get(last), lowest_known) {
        _ if *last == origin => false,
        // The last relay is unknown. Its subscriber has reported which origin the stream comes
        // from.
        (None, Some(below)) => below.path().first() != Some(&origin),
        _ => true,
    }
}

/// Whether the stream comes to `carrier` through `asker`, by the path that `carrier` reports or by
/// the newest information about the relays above it.
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
            limit_kbps: Kbps::new(100_000),
            promised_kbps: Kbps::ZERO,
            viewer_kbps: Kbps::ZERO,
            streams: 1,
        };
        let carried = Carried {
            slug: "demo".parse().unwrap(),
            incarnation: Incarnation::default(),
            epoch: 1,
            path: path.to_vec(),
            standby: None,
            newest: None,
            kbps: Kbps::new(2_500),
            viewers: Viewers::default(),
            origin: None,
            progress: None,
        };
        Carrier {
            node,
            carried: Some(carried),
            upstream: None,
            as_of: UnixMillis::ZERO,
            since: UnixMillis::ZERO,
        }
    }

    pub fn carriers(all: impl IntoIterator<Item = Carrier>) -> Carriers {
        all.into_iter()
            .map(|carrier| (carrier.node.uuid, Arc::new(carrier)))
            .collect()
    }

    #[test]
    fn a_path_follows_a_relay_above_that_has_moved() {
        let [origin, a, b, leaf] = std::array::from_fn(|_| NodeId::random());
        let mut moved = carrier(Role::Node, &[origin, a]);
        moved.upstream = Some((b, UnixMillis::ZERO));
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
    fn the_path_of_two_relays_that_feed_each_other_ends() {
        let [a, b] = std::array::from_fn(|_| NodeId::random());
        let all = carriers([carrier(Role::Node, &[a, b]), carrier(Role::Node, &[b, a])]);
        assert_eq!(path_to_origin(&all, a), [a, b]);
        assert!(is_cut_off(&all, a, NodeId::random()));
    }

    #[test]
    fn relays_below_an_origin_that_has_gone_are_cut_off_until_a_relay_above_returns() {
        let [old, new, a, unknown, child, far] = std::array::from_fn(|_| NodeId::random());
        let mut all = carriers([
            carrier(Role::Node, &[new]),
            carrier(Role::Node, &[old, a]),
            carrier(Role::Node, &[old, a, child]),
            carrier(Role::Node, &[new, unknown, far]),
        ]);
        let cut_off = |all: &Carriers| [a, child, far].map(|node| is_cut_off(all, node, new));
        assert_eq!(cut_off(&all), [true, true, false]);
        Arc::make_mut(all.get_mut(&a).unwrap()).upstream = Some((new, UnixMillis::ZERO));
        assert_eq!(cut_off(&all), [false, false, false]);
    }

    #[test]
    fn a_relay_s_own_report_counts_once_it_uses_its_ticket_or_the_offer_has_ended() {
        let [origin, a, b] = std::array::from_fn(|_| NodeId::random());
        let Carrier { node, carried, .. } = carrier(Role::Node, &[origin, b]);
        let upstream_after = |upstream, now| {
            Carrier::reported(node.clone(), carried.clone().unwrap(), Some(upstream), now).upstream
        };
        let granted_at = UnixMillis::new(1_000);
        let later = UnixMillis::new(2_000);
        let after_the_offer = UnixMillis::new(6_000);
        let granted = (a, granted_at);
        assert_eq!(upstream_after(granted, later), Some(granted));
        assert_eq!(upstream_after((origin, granted_at), later), None);
        assert_eq!(upstream_after(granted, after_the_offer), None);
    }
}
