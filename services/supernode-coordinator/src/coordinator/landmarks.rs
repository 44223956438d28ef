//! Supernodes that nodes measure the way to. Each word of the coordinator names a few others, and a node keeps the
//! nearest, so that it comes to know those near to it without measuring the way to all.

use crate::member::Member;
use astral_proto::NodeId;
use astral_proto::limits::LANDMARKS_MAX;
use astral_proto::message::Landmark;
use astral_proto::model::{Node, NodeState, Role};
use astral_runtime::{read_lock, write_lock};
use rand::seq::IndexedRandom;
use std::sync::RwLock;

/// Supernodes remembered from one sweep to the next, drawn anew by each.
const REMEMBERED_MAX: usize = 64;

/// Some supernodes that are up.
#[derive(Debug, Default)]
pub struct Landmarks {
    known: RwLock<Vec<Landmark>>,
}

impl Landmarks {
    /// Draws them from all nodes there are.
    pub fn renew(&self, members: &[Member]) {
        let up = |node: &&Node| node.role == Role::Supernode && node.state == NodeState::Up;
        let supernodes: Vec<&Node> = members
            .iter()
            .map(|member| &member.node)
            .filter(up)
            .collect();
        let drawn = supernodes.choose_multiple(&mut rand::rng(), REMEMBERED_MAX);
        let landmark = |node: &Node| Landmark {
            node: node.uuid,
            advertise: node.advertise.clone(),
        };
        let drawn = drawn.copied().map(landmark).collect();
        *write_lock(&self.known) = drawn;
    }

    /// A few for `node`, its primary supernode among them if it is remembered.
    pub fn some(&self, node: &Node) -> Vec<Landmark> {
        let known = read_lock(&self.known);
        let is = |of: Option<NodeId>| move |landmark: &&Landmark| Some(landmark.node) == of;
        let primary = known.iter().find(is(node.primary_supernode));
        let others: Vec<&Landmark> = known
            .iter()
            .filter(|landmark| {
                landmark.node != node.uuid && Some(landmark.node) != node.primary_supernode
            })
            .collect();
        let drawn = others
            .choose_multiple(&mut rand::rng(), LANDMARKS_MAX - 1)
            .copied();
        primary.into_iter().chain(drawn).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::{joined, tests::ask};

    fn member(role: Role) -> Member {
        let mut member = joined(&ask(role), None, 0);
        member.node.role = role;
        member
    }

    #[test]
    fn a_node_is_told_a_few_supernodes_its_own_among_them_and_never_itself() {
        let mut all: Vec<Member> = (0..50).map(|_| member(Role::Supernode)).collect();
        all.push(member(Role::Node));
        let landmarks = Landmarks::default();
        landmarks.renew(&all);
        let mut node = member(Role::Node).node;
        node.primary_supernode = Some(all[7].node.uuid);
        for _ in 0..20 {
            let some = landmarks.some(&node);
            assert_eq!(some.len(), LANDMARKS_MAX);
            assert_eq!(some[0].node, all[7].node.uuid);
            assert!(
                landmarks
                    .some(&all[3].node)
                    .iter()
                    .all(|other| other.node != all[3].node.uuid)
            );
            assert!(some.iter().all(|other| other.node != all[50].node.uuid));
        }
    }
}
