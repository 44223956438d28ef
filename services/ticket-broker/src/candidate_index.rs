//! An index, in memory, of the carriers of one snapshot, in the order of preference. A request
//! looks only at a few dozen of them. (`store/carriers.rs` has the index of all carriers, which is
//! in the shared state.)

use crate::carrier::{Carrier, Carriers};
use crate::judge::Asker;
use astral_proto::limits::UNKNOWN_KBPS;
use astral_proto::model::{NodeState, Role};
use astral_proto::{Kbps, NodeId, UnixMillis};
use rand::Rng;
use rand::seq::index::sample;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Carriers of each kind that one request considers, besides the origin, the asker's primary
/// supernode, and the relays above all of these.
const CONSIDERED_MAX: usize = 8;

/// The kinds of provider, from the most to the least wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BucketKind {
    /// The relay that receives the stream from its publisher.
    Origin,
    /// A supernode with room.
    Supernode,
    /// An ordinary node with room.
    Node,
    /// A relay that was full when it last reported. Its ledger may have room again.
    Full,
}

/// The key of a bucket: (origin, kind, hops). A bucket holds the carriers of one kind at one
/// distance from one origin.
pub type Bucket = (NodeId, BucketKind, u32);

/// The carriers of one snapshot, in buckets.
///
/// The buckets are sorted, so the best providers are in the first ones. A carrier is removed from
/// its bucket in constant time: `positions` knows where it is, and the last carrier of the bucket
/// takes its place.
#[derive(Clone, Debug, Default)]
pub struct CandidateIndex {
    all: HashMap<NodeId, Arc<Carrier>>,
    buckets: BTreeMap<Bucket, Vec<NodeId>>,
    positions: HashMap<NodeId, (Bucket, usize)>,
}

impl CandidateIndex {
    /// What is known about a relay. None if it is not in the index.
    pub fn get(&self, node: NodeId) -> Option<&Carrier> {
        self.all.get(&node).map(|carrier| &**carrier)
    }

    /// Adds a carrier, or replaces what was known about it.
    pub fn insert(&mut self, carrier: impl Into<Arc<Carrier>>) {
        let carrier = carrier.into();
        let node = carrier.node.uuid;
        self.remove_from_bucket(node);
        if let Some(bucket) = bucket_of(&carrier) {
            let nodes = self.buckets.entry(bucket).or_default();
            self.positions.insert(node, (bucket, nodes.len()));
            nodes.push(node);
        }
        self.all.insert(node, carrier);
    }

    /// Adds to what a relay has promised, before its next heartbeat reports it.
    pub fn charge(&mut self, provider: NodeId, kbps: Kbps) {
        self.change(provider, |carrier| {
            carrier.node.promised_kbps += kbps;
        });
    }

    /// Notes that a relay has no room, because its ledger refused a ticket.
    pub fn mark_full(&mut self, provider: NodeId) {
        self.change(provider, |carrier| {
            carrier.node.promised_kbps = carrier.node.limit_kbps
        });
    }

    /// Notes that a relay has been given a ticket of `provider`, before its next heartbeat reports
    /// it.
    pub fn note_grant(&mut self, node: NodeId, provider: NodeId, now: UnixMillis) {
        let known = self
            .get(node)
            .filter(|known| known.carried.is_some())
            .cloned();
        let granted = Carrier::newly_granted(node, provider, now);
        if let Some(carrier) = Carrier::merged(known, Some(granted), now) {
            self.insert(carrier);
        }
    }

    /// The carriers among which a provider for `asker` is chosen: of each kind a few random ones
    /// that have the stream from `origin`. The nearest to the origin come first, so that the tree
    /// stays flat. The relays above each of them are included, because they show where it is in the
    /// tree.
    pub fn shortlist(&self, origin: NodeId, asker: &Asker, rng: &mut impl Rng) -> Carriers {
        let kinds = [
            BucketKind::Origin,
            BucketKind::Supernode,
            BucketKind::Node,
            BucketKind::Full,
        ];
        let drawn = kinds
            .into_iter()
            .flat_map(|kind| self.draw_nearest(origin, kind, rng));
        let mut shortlist = Carriers::new();
        for node in drawn.chain(asker.primary).chain([asker.node]) {
            self.add_with_ancestors(node, &mut shortlist);
        }
        shortlist
    }

    /// The carriers `nodes`, and the relays above each of them.
    pub fn with_ancestors(&self, nodes: impl IntoIterator<Item = NodeId>) -> Carriers {
        let mut found = Carriers::new();
        for node in nodes {
            self.add_with_ancestors(node, &mut found);
        }
        found
    }

    fn draw_nearest(&self, origin: NodeId, kind: BucketKind, rng: &mut impl Rng) -> Vec<NodeId> {
        let mut drawn = Vec::with_capacity(CONSIDERED_MAX);
        let buckets = self
            .buckets
            .range((origin, kind, 0)..=(origin, kind, u32::MAX));
        for nodes in buckets.map(|(_, nodes)| nodes) {
            let wanted = nodes.len().min(CONSIDERED_MAX - drawn.len());
            if wanted == 0 {
                break;
            }
            let indexes = sample(rng, nodes.len(), wanted);
            drawn.extend(indexes.iter().map(|at| nodes[at]));
        }
        drawn
    }

    /// Follows the providers upwards, as [`path_to_origin`](crate::carrier::path_to_origin) does.
    /// It may stop at a relay that `found` contains, because the relays above that one are there
    /// too.
    fn add_with_ancestors(&self, node: NodeId, found: &mut Carriers) {
        let mut at = Some(node);
        while let Some(carrier) = at.and_then(|at| self.all.get(&at)) {
            let relay = carrier.node.uuid;
            if found.contains_key(&relay) {
                break;
            }
            found.insert(relay, carrier.clone());
            at = carrier.provider();
        }
    }

    /// Changes a carrier, and moves it if it then belongs into another bucket. Shortlists that were
    /// made earlier keep the old version, because they share it.
    fn change(&mut self, node: NodeId, change: impl FnOnce(&mut Carrier)) {
        let Some(carrier) = self.all.get_mut(&node) else {
            return;
        };
        change(Arc::make_mut(carrier));
        if self.positions.get(&node).map(|(bucket, _)| *bucket) != bucket_of(carrier) {
            let carrier = carrier.clone();
            self.insert(carrier);
        }
    }

    fn remove_from_bucket(&mut self, node: NodeId) {
        let Some((bucket, at)) = self.positions.remove(&node) else {
            return;
        };
        let Some(nodes) = self.buckets.get_mut(&bucket) else {
            return;
        };
        nodes.swap_remove(at);
        if let Some(moved) = nodes.get(at) {
            self.positions.insert(*moved, (bucket, at));
        } else if nodes.is_empty() {
            self.buckets.remove(&bucket);
        }
    }
}

impl From<Carriers> for CandidateIndex {
    fn from(carriers: Carriers) -> Self {
        let mut index = Self::default();
        for carrier in carriers.into_values() {
            index.insert(carrier);
        }
        index
    }
}

/// The bucket that a carrier belongs into. None if no relay may pull from it.
pub fn bucket_of(carrier: &Carrier) -> Option<Bucket> {
    let origin = *carrier
        .path()
        .first()
        .filter(|_| carrier.node.state == NodeState::Up)?;
    let kind = if carrier.is_origin() {
        BucketKind::Origin
    } else if carrier.is_full_with(carrier.measured_kbps().unwrap_or(UNKNOWN_KBPS)) {
        BucketKind::Full
    } else if carrier.node.role == Role::Supernode {
        BucketKind::Supernode
    } else {
        BucketKind::Node
    };
    Some((origin, kind, carrier.hops()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::tests::carrier;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::collections::{BTreeSet, HashSet};

    fn asker(primary: Option<NodeId>) -> Asker {
        let rtts = BTreeMap::new();
        let exclude = BTreeSet::new();
        Asker {
            node: NodeId::random(),
            role: Role::Node,
            primary,
            rtts,
            exclude,
        }
    }

    #[test]
    fn of_many_carriers_a_few_are_considered_with_all_above_them() {
        let [origin, far] = std::array::from_fn(|_| NodeId::random());
        let mut index = CandidateIndex::default();
        index.insert(carrier(Role::Node, &[origin]));
        for _ in 0..500 {
            let above = NodeId::random();
            index.insert(carrier(Role::Supernode, &[origin, above]));
            index.insert(carrier(Role::Node, &[origin, above, NodeId::random()]));
        }
        index.insert(carrier(Role::Supernode, &[origin, NodeId::random(), far]));
        let mut rng = StdRng::seed_from_u64(1);
        let considered = index.shortlist(origin, &asker(Some(far)), &mut rng);
        assert!(
            considered.len() <= 4 * CONSIDERED_MAX,
            "{}",
            considered.len()
        );
        assert!(considered.contains_key(&origin) && considered.contains_key(&far));
        let above = |node: &NodeId| index.get(*node).and_then(Carrier::provider);
        for provider in considered.keys().filter_map(above) {
            assert!(
                index.get(provider).is_none() || considered.contains_key(&provider),
                "{provider}"
            );
        }
    }

    #[test]
    fn the_nearest_to_the_origin_are_considered_before_those_below_them() {
        let origin = NodeId::random();
        let mut index = CandidateIndex::default();
        let near: Vec<_> = (0..CONSIDERED_MAX).map(|_| NodeId::random()).collect();
        for above in &near {
            index.insert(carrier(Role::Supernode, &[origin, *above]));
            index.insert(carrier(
                Role::Supernode,
                &[origin, *above, NodeId::random()],
            ));
        }
        let considered = index.shortlist(origin, &asker(None), &mut StdRng::seed_from_u64(1));
        assert_eq!(
            considered.into_keys().collect::<HashSet<_>>(),
            near.into_iter().collect()
        );
    }

    #[test]
    fn relays_that_have_the_stream_from_an_origin_that_has_gone_are_not_considered() {
        let [old, new, left, back] = std::array::from_fn(|_| NodeId::random());
        let mut index = CandidateIndex::default();
        index.insert(carrier(Role::Node, &[new]));
        index.insert(carrier(Role::Supernode, &[old, left]));
        index.insert(carrier(Role::Supernode, &[new, back]));
        let considered = index.shortlist(new, &asker(None), &mut StdRng::seed_from_u64(1));
        assert_eq!(
            considered.into_keys().collect::<HashSet<_>>(),
            HashSet::from([new, back])
        );
    }

    #[test]
    fn a_relay_that_changes_its_kind_leaves_its_bucket() {
        let [origin, relay, other] = std::array::from_fn(|_| NodeId::random());
        let mut index = CandidateIndex::default();
        index.insert(carrier(Role::Node, &[origin, relay]));
        index.insert(carrier(Role::Node, &[origin, other]));
        let mut full = carrier(Role::Node, &[origin, relay]);
        full.node.promised_kbps = full.node.limit_kbps;
        index.insert(full);
        assert_eq!(index.buckets[&(origin, BucketKind::Node, 1)], [other]);
        assert_eq!(index.buckets[&(origin, BucketKind::Full, 1)], [relay]);
        let mut full = carrier(Role::Node, &[origin, other]);
        full.node.promised_kbps = full.node.limit_kbps;
        index.insert(full);
        assert_eq!(index.buckets.len(), 1, "an empty bucket is removed");
    }

    #[test]
    fn a_promise_moves_a_relay_to_the_full_ones_and_leaves_earlier_shortlists_alone() {
        let [origin, relay] = std::array::from_fn(|_| NodeId::random());
        let mut index = CandidateIndex::default();
        index.insert(carrier(Role::Node, &[origin]));
        index.insert(carrier(Role::Node, &[origin, relay]));
        let before = index.shortlist(origin, &asker(None), &mut StdRng::seed_from_u64(1));
        index.charge(relay, Kbps::new(97_000));
        assert_eq!(index.buckets[&(origin, BucketKind::Node, 1)], [relay]);
        index.charge(relay, Kbps::new(1_000));
        assert_eq!(index.buckets[&(origin, BucketKind::Full, 1)], [relay]);
        assert_eq!(
            (
                before[&relay].node.promised_kbps,
                index.get(relay).unwrap().node.promised_kbps
            ),
            (Kbps::ZERO, Kbps::new(98_000))
        );
    }
}
