//! Which supernode a node is attached to, and which nodes become supernodes.

use crate::member::Member;
use astral_proto::limits::UNKNOWN_KBPS;
use astral_proto::model::Role;
use astral_proto::{Kbps, NodeId, UnixMillis};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

/// A promoted supernode that has had no children for this long is demoted, if another supernode has room for it.
const IDLE: Duration = Duration::from_secs(60);

/// The children of one supernode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Children {
    /// The nodes that are attached, each with the date on which it was last admitted.
    pub children: BTreeMap<NodeId, UnixMillis>,
    /// Whether the supernode admits no new children.
    pub draining: bool,
    /// Since when it has had no children; None while it has some, or if no sweep has looked yet.
    pub idle_since: Option<UnixMillis>,
}

impl Children {
    /// Admits `child` unless there would be more than `limit` children. Returns whether it is admitted.
    pub fn admit(&mut self, child: NodeId, limit: usize, now: UnixMillis) -> bool {
        let has_room = self.has_room_for(child, limit);
        if has_room {
            self.children.insert(child, now);
            self.idle_since = None;
        }
        has_room
    }

    /// Whether `child` may be attached. A child that is already attached may stay, even if the supernode drains.
    fn has_room_for(&self, child: NodeId, limit: usize) -> bool {
        let is_known = self.children.contains_key(&child);
        is_known || (!self.draining && self.children.len() < limit)
    }

    /// Notes at `now` whether there are children. Returns whether there have been none for `IDLE`.
    pub fn is_idle(&mut self, now: UnixMillis) -> bool {
        self.idle_since = self
            .children
            .is_empty()
            .then(|| self.idle_since.unwrap_or(now));
        self.idle_since
            .is_some_and(|since| now.since(since) >= IDLE)
    }
}

/// Whether a node is a supernode, however many others there are: it asked for it, or it was promoted before.
pub fn is_supernode(asked: Role, before: Option<&Member>) -> bool {
    let was = before.is_some_and(|member| member.node.role == Role::Supernode);
    asked == Role::Supernode || (asked == Role::Auto && was)
}

/// Whether a node becomes a supernode if no supernode has room for it: it leaves the choice to the coordinator, and can
/// send at least one stream to others.
pub fn may_be_promoted(asked: Role, limit: Kbps) -> bool {
    asked == Role::Auto && limit >= UNKNOWN_KBPS
}

/// The supernodes that have room for `node`, best first: its present one, then by round-trip time, then by number of
/// children. Supernodes with an unknown round-trip time come last.
pub fn rank_supernodes(
    node: NodeId,
    rtts: &[(NodeId, u32)],
    supernodes: &[(NodeId, Children)],
    limit: usize,
) -> Vec<NodeId> {
    let rtts: BTreeMap<NodeId, u32> = rtts.iter().copied().collect();
    let mut ranked: Vec<_> = supernodes
        .iter()
        .filter(|(supernode, children)| *supernode != node && children.has_room_for(node, limit))
        .map(|(supernode, children)| {
            let is_present = children.children.contains_key(&node) && !children.draining;
            let rtt = rtts.get(supernode).copied().unwrap_or(u32::MAX);
            let count = children.children.len();
            (Reverse(is_present), rtt, count, *supernode)
        })
        .collect();
    ranked.sort_unstable();
    ranked
        .into_iter()
        .map(|(.., supernode)| supernode)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::{new_member, tests::registration};

    fn with_children(count: usize) -> Children {
        Children {
            children: (0..count)
                .map(|_| (NodeId::random(), UnixMillis::ZERO))
                .collect(),
            ..Children::default()
        }
    }

    fn at(millis: u64) -> UnixMillis {
        UnixMillis::new(millis)
    }

    #[test]
    fn a_supernode_admits_exactly_its_limit() {
        let mut full = Children::default();
        let admitted = (0..150)
            .filter(|_| full.admit(NodeId::random(), 100, at(0)))
            .count();
        assert_eq!((admitted, full.children.len()), (100, 100));
        let child = *full.children.first_key_value().unwrap().0;
        assert!(
            full.admit(child, 100, at(1)),
            "a child that is already attached is admitted again"
        );
    }

    #[test]
    fn a_supernode_is_idle_a_minute_after_its_last_child_has_left() {
        let mut children = with_children(1);
        assert!(!children.is_idle(at(90_000)));
        children.children.clear();
        assert!(!children.is_idle(at(100_000)) && !children.is_idle(at(159_999)));
        let mut taken = children.clone();
        assert!(taken.admit(NodeId::random(), 1, at(159_999)) && !taken.is_idle(at(160_000)));
        assert!(children.is_idle(at(160_000)));
    }

    #[test]
    fn a_draining_supernode_admits_no_new_child() {
        let mut draining = Children {
            draining: true,
            ..with_children(1)
        };
        let child = *draining.children.first_key_value().unwrap().0;
        assert!(!draining.admit(NodeId::random(), 100, at(0)));
        assert!(draining.admit(child, 100, at(0)));
    }

    #[test]
    fn the_nearest_with_room_comes_first_then_the_emptiest() {
        let [node, near, far, empty, full, draining] = std::array::from_fn(|_| NodeId::random());
        let all = [
            (far, with_children(1)),
            (full, with_children(5)),
            (near, with_children(4)),
            (empty, with_children(0)),
            (
                draining,
                Children {
                    draining: true,
                    ..with_children(0)
                },
            ),
            (node, with_children(0)),
        ];
        let rtts = [(near, 2_000), (far, 90_000), (full, 1), (draining, 1)];
        assert_eq!(rank_supernodes(node, &rtts, &all, 5), [near, far, empty]);
        assert_eq!(rank_supernodes(node, &[], &all, 5), [empty, far, near]);
    }

    #[test]
    fn a_node_that_registers_again_keeps_its_supernode() {
        let [node, own, near] = std::array::from_fn(|_| NodeId::random());
        let mut mine = with_children(4);
        mine.children.insert(node, at(0));
        let all = [(near, with_children(0)), (own, mine)];
        assert_eq!(rank_supernodes(node, &[(near, 1)], &all, 5), [own, near]);
    }

    #[test]
    fn who_is_a_supernode() {
        let mut promoted = new_member(&registration(Role::Auto), None, at(0));
        promoted.node.role = Role::Supernode;
        for (asked, before, is) in [
            (Role::Supernode, None, true),
            (Role::Auto, None, false),
            (Role::Auto, Some(&promoted), true),
            (Role::Node, Some(&promoted), false),
        ] {
            assert_eq!(is_supernode(asked, before), is, "{asked:?}");
        }
        let one_less = UNKNOWN_KBPS - Kbps::new(1);
        assert!(may_be_promoted(Role::Auto, UNKNOWN_KBPS));
        assert!(!may_be_promoted(Role::Auto, one_less));
        assert!(!may_be_promoted(Role::Node, Kbps::new(1_000_000)));
    }
}
