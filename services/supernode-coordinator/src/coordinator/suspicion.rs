//! Nodes whose lease has ended: suspected while a relay says that a link of theirs flows, lost once none does.

use super::Coordinator;
use crate::member::{Member, Silence, time_passed};
use crate::store::Passed;
use astral_proto::message::{FindFlowing, event};
use astral_proto::model::Role;
use astral_proto::{NodeId, Problem};
use astral_runtime::LogThrottle;
use std::collections::HashSet;
use std::time::Duration;

/// How long the ticket broker may take to say which silent nodes flow.
const BROKER_ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// What each sweep would log while no broker answers.
static NOBODY_SAYS: LogThrottle = LogThrottle::new();

impl Coordinator {
    /// Lets time pass over those of `members` for which it changes something.
    ///
    /// # Errors
    /// Those of the state and of the bus.
    pub(super) async fn suspect(&self, members: &[Member], now: u64) -> Result<(), Problem> {
        let truce = self.truce.holds();
        let silent = members
            .iter()
            .filter(|member| !truce && member.is_silent(now));
        let silent: Vec<NodeId> = silent.map(|member| member.node.uuid).collect();
        let flowing = self.flowing(&silent).await;
        for member in members {
            let node = member.node.uuid;
            let flows = flowing.contains(&node);
            if time_passed(member, now, truce, flows) == Silence::Short {
                continue;
            }
            match self.store.pass_time(node, now, truce, flows).await? {
                Passed::Same => {}
                Passed::Suspected(member) => self.suspected(&member).await?,
                Passed::Lost(member) => self.lost(&member).await?,
            }
        }
        Ok(())
    }

    /// Those of the `silent` nodes that flow by the word of other relays. While nobody can say, all may.
    pub(super) async fn flowing(&self, silent: &[NodeId]) -> HashSet<NodeId> {
        let mut flowing = HashSet::new();
        for nodes in silent.chunks(FindFlowing::NODES_MAX) {
            let ask = FindFlowing {
                nodes: nodes.to_vec(),
            };
            match self.bus.request(&ask, BROKER_ANSWERS_WITHIN).await {
                Ok(answer) => flowing.extend(answer.nodes),
                Err(error) => {
                    if let Some(times) = NOBODY_SAYS.occurred(error.code.as_str()) {
                        let silent = nodes.len();
                        tracing::warn!(silent, %error, times, "nobody can say whether silent nodes still flow");
                    }
                    flowing.extend(nodes);
                }
            }
        }
        flowing
    }

    /// A suspected supernode gets no new children; those that it has stay.
    async fn suspected(&self, member: &Member) -> Result<(), Problem> {
        let node = member.node.uuid;
        tracing::warn!(node.id = %node, "a node is suspected: it is not heard, and its links flow");
        if member.node.role == Role::Supernode {
            self.store.open_seats(node, true).await?;
        }
        self.tell(event::NODE_CHANGED, member).await;
        Ok(())
    }

    async fn lost(&self, member: &Member) -> Result<(), Problem> {
        tracing::warn!(node.id = %member.node.uuid, "a node is lost: it is not heard, and nothing flows from it or to it");
        metrics::counter!("astral_nodes_lost_total").increment(1);
        self.gone(member, true).await
    }
}
