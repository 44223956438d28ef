//! Landmarks: supernodes whose distance nodes measure.
//!
//! Each answer of the coordinator names a few supernodes, chosen at random. A node keeps the nearest ones that it has
//! measured. So over time it finds those near to it, without measuring all of them.

use crate::member::Member;
use astral_env::Env;
use astral_proto::limits::LANDMARKS_MAX;
use astral_proto::message::Landmark;
use astral_proto::model::{Node, NodeState, Role};
use astral_runtime::{read_lock, write_lock};
use rand::seq::IndexedRandom;
use std::sync::RwLock;

/// How many supernodes are kept from one sweep to the next.
const KEPT_MAX: usize = 64;

/// A random choice of the supernodes that are up.
#[derive(Debug, Default)]
pub struct Landmarks {
    chosen: RwLock<Vec<Landmark>>,
}

impl Landmarks {
    /// Chooses again, from all nodes.
    pub fn update(&self, members: &[Member], env: &Env) {
        let is_up = |node: &&Node| node.role == Role::Supernode && node.state == NodeState::Up;
        let supernodes: Vec<&Node> = members
            .iter()
            .map(|member| &member.node)
            .filter(is_up)
            .collect();
        let landmark = |node: &Node| Landmark {
            node: node.uuid,
            advertise: node.advertise.clone(),
        };
        let chosen = supernodes
            .choose_multiple(&mut env.random(), KEPT_MAX)
            .copied()
            .map(landmark)
            .collect();
        *write_lock(&self.chosen) = chosen;
    }

    /// A few landmarks for `node`. The first is its primary supernode, if that is among the chosen ones.
    pub fn choose_for(&self, node: &Node, env: &Env) -> Vec<Landmark> {
        let chosen = read_lock(&self.chosen);
        let is_primary = |landmark: &Landmark| Some(landmark.node) == node.primary_supernode;
        let is_self = |landmark: &Landmark| landmark.node == node.uuid;
        let primary = chosen.iter().find(|landmark| is_primary(landmark));
        let others: Vec<&Landmark> = chosen
            .iter()
            .filter(|landmark| !is_self(landmark) && !is_primary(landmark))
            .collect();
        let others = others
            .choose_multiple(&mut env.random(), LANDMARKS_MAX - 1)
            .copied();
        primary.into_iter().chain(others).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::{new_member, tests::registration};
    use astral_proto::{NodeId, UnixMillis};

    fn member(role: Role) -> Member {
        let mut member = new_member(&registration(role), None, UnixMillis::ZERO);
        member.node.role = role;
        member
    }

    fn nodes_for(landmarks: &Landmarks, node: &Node, env: &Env) -> Vec<NodeId> {
        let landmarks = landmarks.choose_for(node, env);
        landmarks.iter().map(|landmark| landmark.node).collect()
    }

    #[test]
    fn a_node_gets_a_few_supernodes_including_its_own_and_never_itself() {
        let env = Env::seeded(1);
        let mut all: Vec<Member> = (0..50).map(|_| member(Role::Supernode)).collect();
        all.push(member(Role::Node));
        let landmarks = Landmarks::default();
        landmarks.update(&all, &env);
        let mut node = member(Role::Node).node;
        node.primary_supernode = Some(all[7].node.uuid);
        for _ in 0..20 {
            let nodes = nodes_for(&landmarks, &node, &env);
            assert_eq!(nodes.len(), LANDMARKS_MAX);
            assert_eq!(nodes[0], all[7].node.uuid);
            assert!(!nodes.contains(&all[50].node.uuid));
            let of_supernode = nodes_for(&landmarks, &all[3].node, &env);
            assert!(!of_supernode.contains(&all[3].node.uuid));
        }
    }
}
