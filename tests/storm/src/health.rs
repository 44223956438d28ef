//! How long each relay has been well, as the world knows it, so that the invariants can tell a broken promise from a fault.

use astral_proto::{NodeId, Slug};
use std::collections::BTreeMap;
use tokio::time::Instant;

/// Since when everything that a promise about a relay needs has been so.
#[derive(Clone, Copy, Debug)]
pub struct Well {
    /// Since when it has run, unfrozen, and reached the bus.
    pub since: Instant,
    /// The stand of its clock, so that a restart under the same id shows.
    pub life: u32,
}

/// What the world knows of relays and publishers.
#[derive(Debug, Default)]
pub struct Health {
    relays: BTreeMap<NodeId, Well>,
    /// By stream: since when its publisher has sent without a break, and to which node.
    publishers: BTreeMap<Slug, (NodeId, Instant)>,
}

impl Health {
    /// A relay is well from now on.
    pub fn is_well(&mut self, node: NodeId, life: u32) {
        let well = Well {
            since: Instant::now(),
            life,
        };
        self.relays.insert(node, well);
    }

    /// A relay is dead, frozen or cut off.
    pub fn is_unwell(&mut self, node: NodeId) {
        self.relays.remove(&node);
    }

    /// A publisher sends to `node` since `since`.
    pub fn publishes(&mut self, slug: &Slug, sends: Option<(NodeId, Instant)>) {
        match sends {
            Some(sends) => self.publishers.insert(slug.clone(), sends),
            None => self.publishers.remove(slug),
        };
    }

    /// Since when a relay has been well; None if it is not.
    pub fn well_since(&self, node: NodeId) -> Option<Instant> {
        self.relays.get(&node).map(|well| well.since)
    }

    /// The life of a relay that is well.
    pub fn life(&self, node: NodeId) -> Option<u32> {
        self.relays.get(&node).map(|well| well.life)
    }

    /// Since when the publisher of `slug` has sent to `node` without a break; None if it does not.
    pub fn published_since(&self, slug: &Slug, node: NodeId) -> Option<Instant> {
        let (origin, since) = self.publishers.get(slug)?;
        (*origin == node).then_some(*since)
    }
}
