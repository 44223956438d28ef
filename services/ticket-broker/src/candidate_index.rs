//! The carriers of one stream on buckets, so that a choice among a hundred thousand looks at a few dozen of them.

use crate::carrier::{Carrier, Carriers};
use crate::judge::Asker;
use astral_proto::NodeId;
use astral_proto::limits::UNKNOWN_KBPS;
use astral_proto::model::{NodeState, Role};
use rand::Rng;
use rand::seq::index::sample;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Carriers of each kind that one request considers, besides the origin, the asker's primary and those above them.
const CONSIDERED_MAX: usize = 8;

/// Who provides, from the most to the least wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BucketKind {
    /// Who has the publisher.
    Origin,
    /// A supernode with room.
    Supernode,
    /// Any other with room.
    Node,
    /// Who is full by its own word; the ledger knows.
    Crowded,
}

/// Carriers of one kind, equally far from one origin.
pub type Bucket = (NodeId, BucketKind, u32);

/// Every carrier of one stream.
#[derive(Clone, Debug, Default)]
pub struct CandidateIndex {
    all: HashMap<NodeId, Arc<Carrier>>,
    buckets: BTreeMap<Bucket, Vec<NodeId>>,
    positions: HashMap<NodeId, (Bucket, usize)>,
}

impl CandidateIndex {
    /// What is known of a relay.
    pub fn get(&self, node: NodeId) -> Option<&Carrier> {
        self.all.get(&node).map(|carrier| &**carrier)
    }

    /// Every carrier, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Carrier> {
        self.all.values().map(AsRef::as_ref)
    }

    /// Takes in what a relay said last.
    pub fn put(&mut self, carrier: impl Into<Arc<Carrier>>) {
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

    /// Takes in that a relay has promised so much more, before it can say so itself.
    pub fn charge(&mut self, provider: NodeId, kbps: u32) {
        self.change(provider, |carrier| {
            carrier.node.promised_kbps = carrier.node.promised_kbps.saturating_add(kbps);
        });
    }

    /// Takes in that a relay has no room, as its ledger says.
    pub fn mark_full(&mut self, provider: NodeId) {
        self.change(provider, |carrier| {
            carrier.node.promised_kbps = carrier.node.limit_kbps
        });
    }

    /// Takes in that a relay has been given a ticket of `provider`, before it can say so itself.
    pub fn note_grant(&mut self, node: NodeId, provider: NodeId, now: u64) {
        let known = self
            .get(node)
            .filter(|known| known.carried.is_some())
            .cloned();
        let granted = Carrier::granted(node, provider, now);
        Carrier::of(known, Some(granted), now)
            .into_iter()
            .for_each(|carrier| self.put(carrier));
    }

    fn change(&mut self, node: NodeId, change: impl FnOnce(&mut Carrier)) {
        let Some(carrier) = self.all.get_mut(&node) else {
            return;
        };
        change(Arc::make_mut(carrier));
        if self.positions.get(&node).map(|(bucket, _)| *bucket) != bucket_of(carrier) {
            let carrier = carrier.clone();
            self.put(carrier);
        }
    }

    /// Forgets a relay.
    pub fn remove(&mut self, node: NodeId) -> Option<Arc<Carrier>> {
        self.remove_from_bucket(node);
        self.all.remove(&node)
    }

    /// Those to choose a provider for `asker` among: a few of each kind drawn at random of those that have the stream
    /// from `origin`, the nearest to it first so that the tree stays flat, with the relays above each, which tell where
    /// it hangs.
    pub fn shortlist(&self, origin: NodeId, asker: &Asker, rng: &mut impl Rng) -> Carriers {
        let kinds = [
            BucketKind::Origin,
            BucketKind::Supernode,
            BucketKind::Node,
            BucketKind::Crowded,
        ];
        let drawn = kinds
            .into_iter()
            .flat_map(|kind| self.nearest(origin, kind, rng));
        let mut considered = Carriers::new();
        for node in drawn.chain(asker.primary).chain([asker.node]) {
            self.add_with_ancestors(node, &mut considered);
        }
        considered
    }

    fn nearest(&self, origin: NodeId, kind: BucketKind, rng: &mut impl Rng) -> Vec<NodeId> {
        let mut drawn = Vec::with_capacity(CONSIDERED_MAX);
        let buckets = self
            .buckets
            .range((origin, kind, 0)..=(origin, kind, u32::MAX));
        for nodes in buckets.map(|(_, nodes)| nodes) {
            let left = CONSIDERED_MAX - drawn.len();
            if left == 0 {
                break;
            }
            drawn.extend(
                sample(rng, nodes.len(), left.min(nodes.len()))
                    .iter()
                    .map(|at| nodes[at]),
            );
        }
        drawn
    }

    /// The relays that the stream comes through to each of `ends`, themselves included.
    pub fn with_ancestors(&self, ends: impl IntoIterator<Item = NodeId>) -> Carriers {
        let mut with_ancestors = Carriers::new();
        ends.into_iter()
            .for_each(|end| self.add_with_ancestors(end, &mut with_ancestors));
        with_ancestors
    }

    fn add_with_ancestors(&self, node: NodeId, considered: &mut Carriers) {
        if considered.contains_key(&node) {
            return;
        }
        // As `path_to_origin` goes; whoever is known already is known with those above.
        let mut at = Some(node);
        while let Some(carrier) = at.and_then(|at| self.all.get(&at)) {
            let relay = carrier.node.uuid;
            if considered.contains_key(&relay) {
                break;
            }
            considered.insert(relay, carrier.clone());
            at = carrier.provider();
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
        carriers
            .into_values()
            .for_each(|carrier| index.put(carrier));
        index
    }
}

/// Where a relay stands; nowhere if nobody may pull from it.
pub fn bucket_of(carrier: &Carrier) -> Option<Bucket> {
    let origin = *carrier
        .path()
        .first()
        .filter(|_| carrier.node.state == NodeState::Up)?;
    let kind = if carrier.is_origin() {
        BucketKind::Origin
    } else if carrier.is_full_with(carrier.measured_kbps().unwrap_or(UNKNOWN_KBPS)) {
        BucketKind::Crowded
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
    use std::collections::HashSet;

    fn asker(primary: Option<NodeId>) -> Asker {
        let rtts = BTreeMap::new();
        let exclude = HashSet::new();
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
        index.put(carrier(Role::Node, &[origin]));
        for _ in 0..500 {
            let above = NodeId::random();
            index.put(carrier(Role::Supernode, &[origin, above]));
            index.put(carrier(Role::Node, &[origin, above, NodeId::random()]));
        }
        index.put(carrier(Role::Supernode, &[origin, NodeId::random(), far]));
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
            index.put(carrier(Role::Supernode, &[origin, *above]));
            index.put(carrier(
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
    fn who_has_the_stream_from_an_origin_that_has_gone_is_not_considered() {
        let [old, new, left, back] = std::array::from_fn(|_| NodeId::random());
        let mut index = CandidateIndex::default();
        index.put(carrier(Role::Node, &[new]));
        index.put(carrier(Role::Supernode, &[old, left]));
        index.put(carrier(Role::Supernode, &[new, back]));
        let considered = index.shortlist(new, &asker(None), &mut StdRng::seed_from_u64(1));
        assert_eq!(
            considered.into_keys().collect::<HashSet<_>>(),
            HashSet::from([new, back])
        );
    }

    #[test]
    fn a_relay_that_changes_its_kind_or_goes_leaves_its_shelf() {
        let [origin, relay, other] = std::array::from_fn(|_| NodeId::random());
        let mut index = CandidateIndex::default();
        index.put(carrier(Role::Node, &[origin, relay]));
        index.put(carrier(Role::Node, &[origin, other]));
        let mut full = carrier(Role::Node, &[origin, relay]);
        full.node.promised_kbps = full.node.limit_kbps;
        index.put(full);
        assert_eq!(index.buckets[&(origin, BucketKind::Node, 1)], [other]);
        assert_eq!(index.buckets[&(origin, BucketKind::Crowded, 1)], [relay]);
        assert!(index.remove(relay).is_some() && index.remove(relay).is_none());
        assert_eq!(index.buckets.len(), 1);
    }

    #[test]
    fn what_is_promised_of_a_relay_moves_it_to_the_crowded_and_leaves_earlier_shortlists_alone() {
        let [origin, relay] = std::array::from_fn(|_| NodeId::random());
        let mut index = CandidateIndex::default();
        index.put(carrier(Role::Node, &[origin]));
        index.put(carrier(Role::Node, &[origin, relay]));
        let before = index.shortlist(origin, &asker(None), &mut StdRng::seed_from_u64(1));
        index.charge(relay, 97_000);
        assert_eq!(index.buckets[&(origin, BucketKind::Node, 1)], [relay]);
        index.charge(relay, 1_000);
        assert_eq!(index.buckets[&(origin, BucketKind::Crowded, 1)], [relay]);
        assert_eq!(
            (
                before[&relay].node.promised_kbps,
                index.get(relay).unwrap().node.promised_kbps
            ),
            (0, 98_000)
        );
    }
}
