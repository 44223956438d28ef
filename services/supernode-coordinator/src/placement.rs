//! Which supernode a node hangs off, and who becomes one.

use crate::member::Member;
use astral_proto::NodeId;
use astral_proto::limits::UNKNOWN_KBPS;
use astral_proto::model::Role;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

/// A supernode that was promoted and off which nobody hangs for so long is demoted if another has room for it.
const IDLE: Duration = Duration::from_secs(60);

/// The children of one supernode, each with when it was admitted, Unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seats {
    /// Who hangs off it.
    pub children: BTreeMap<NodeId, u64>,
    /// Whether it takes no new ones.
    pub draining: bool,
    /// Since when nobody hangs off it, Unix milliseconds; none while somebody does, or if it has not been looked at.
    pub idle_since: Option<u64>,
}

impl Seats {
    /// Admits `child` unless that would be more than `limit`; whether it is in.
    pub fn admit(&mut self, child: NodeId, limit: usize, now: u64) -> bool {
        let known = self.children.contains_key(&child);
        let room = known || (!self.draining && self.children.len() < limit);
        if room {
            self.children.insert(child, now);
            self.idle_since = None;
        }
        room
    }

    /// Notes whether nobody hangs off it at `now`; whether that has been so for `IDLE`.
    pub fn is_idle(&mut self, now: u64) -> bool {
        self.idle_since = self
            .children
            .is_empty()
            .then(|| self.idle_since.unwrap_or(now));
        self.idle_since
            .is_some_and(|since| now.saturating_sub(since) >= IDLE.as_millis() as u64)
    }
}

/// Whether a node is a supernode whoever else there is: it asked to be, or was promoted and is still.
pub fn is_supernode(asked: Role, before: Option<&Member>) -> bool {
    let was = before.is_some_and(|member| member.node.role == Role::Supernode);
    asked == Role::Supernode || (asked == Role::Auto && was)
}

/// Whether a node for which no supernode has room becomes one: it leaves that to us, and has the upstream to carry
/// at least one stream on.
pub fn may_be_promoted(asked: Role, limit_kbps: u32) -> bool {
    asked == Role::Auto && limit_kbps >= UNKNOWN_KBPS
}

/// Supernodes for `node` to hang off, best first: the one it has, then by round trip, then by children. A round trip
/// not known comes last.
pub fn candidates(
    node: NodeId,
    rtts: &[(NodeId, u32)],
    seats: &[(NodeId, Seats)],
    limit: usize,
) -> Vec<NodeId> {
    let rtts: BTreeMap<NodeId, u32> = rtts.iter().copied().collect();
    let mut ranked: Vec<_> = seats
        .iter()
        .filter(|(supernode, _)| *supernode != node)
        .filter_map(|(supernode, seats)| {
            let mine = seats.children.contains_key(&node);
            let room = mine || (!seats.draining && seats.children.len() < limit);
            let rtt = rtts.get(supernode).copied().unwrap_or(u32::MAX);
            room.then_some((
                Reverse(mine && !seats.draining),
                rtt,
                seats.children.len(),
                *supernode,
            ))
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
    use crate::member::{joined, tests::ask};

    fn seats(children: usize) -> Seats {
        Seats {
            children: (0..children).map(|_| (NodeId::random(), 0)).collect(),
            ..Seats::default()
        }
    }

    #[test]
    fn a_supernode_admits_exactly_its_limit() {
        let mut full = Seats::default();
        let admitted = (0..150)
            .filter(|_| full.admit(NodeId::random(), 100, 0))
            .count();
        assert_eq!((admitted, full.children.len()), (100, 100));
        let child = *full.children.first_key_value().unwrap().0;
        assert!(
            full.admit(child, 100, 1),
            "a child comes back to its own seat"
        );
    }

    #[test]
    fn a_supernode_is_idle_a_minute_after_nobody_hangs_off_it_any_more() {
        let mut seats = seats(1);
        assert!(!seats.is_idle(90_000));
        seats.children.clear();
        assert!(!seats.is_idle(100_000) && !seats.is_idle(159_999));
        let mut taken = seats.clone();
        assert!(taken.admit(NodeId::random(), 1, 159_999) && !taken.is_idle(160_000));
        assert!(seats.is_idle(160_000));
    }

    #[test]
    fn a_draining_supernode_admits_nobody_new() {
        let mut seats = Seats {
            draining: true,
            ..seats(1)
        };
        let child = *seats.children.first_key_value().unwrap().0;
        assert!(!seats.admit(NodeId::random(), 100, 0) && seats.admit(child, 100, 0));
    }

    #[test]
    fn the_nearest_with_room_comes_first_then_the_emptiest() {
        let [node, near, far, empty, full, draining] = std::array::from_fn(|_| NodeId::random());
        let all = [
            (far, seats(1)),
            (full, seats(5)),
            (near, seats(4)),
            (empty, seats(0)),
            (
                draining,
                Seats {
                    draining: true,
                    ..seats(0)
                },
            ),
            (node, seats(0)),
        ];
        let rtts = [(near, 2_000), (far, 90_000), (full, 1), (draining, 1)];
        assert_eq!(candidates(node, &rtts, &all, 5), [near, far, empty]);
        assert_eq!(candidates(node, &[], &all, 5), [empty, far, near]);
    }

    #[test]
    fn a_node_that_comes_again_keeps_its_supernode() {
        let [node, own, near] = std::array::from_fn(|_| NodeId::random());
        let mut mine = seats(4);
        mine.children.insert(node, 0);
        let all = [(near, seats(0)), (own, mine)];
        assert_eq!(candidates(node, &[(near, 1)], &all, 5), [own, near]);
    }

    #[test]
    fn who_is_a_supernode() {
        let mut promoted = joined(&ask(Role::Auto), None, 0);
        promoted.node.role = Role::Supernode;
        for (asked, before, is) in [
            (Role::Supernode, None, true),
            (Role::Auto, None, false),
            (Role::Auto, Some(&promoted), true),
            (Role::Node, Some(&promoted), false),
        ] {
            assert_eq!(is_supernode(asked, before), is, "{asked:?}");
        }
        assert!(may_be_promoted(Role::Auto, 4_000) && !may_be_promoted(Role::Auto, 3_999));
        assert!(!may_be_promoted(Role::Node, 1_000_000));
    }
}
