//! Nodes whose lease has ended. They are suspected while a relay reports that one of their links flows, otherwise lost.

use super::Coordinator;
use crate::Error;
use crate::member::{Member, Silence, judge_silence};
use crate::store::SilenceChange;
use astral_proto::message::{FindFlowing, event};
use astral_proto::model::Role;
use astral_proto::{NodeId, UnixMillis};
use astral_runtime::LogThrottle;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long the ticket broker may take to say which silent nodes have links that flow.
const BROKER_TIMEOUT: Duration = Duration::from_secs(2);

/// Limits the log line that each sweep would write while no broker answers.
static BROKER_SILENT: LogThrottle = LogThrottle::new();

impl Coordinator {
    /// Finds the nodes among `members` that have become suspected, lost or forgotten, and acts on it.
    ///
    /// # Errors
    /// Those of the state and of the bus.
    pub(super) async fn check_silent_nodes(
        &self,
        members: &[Member],
        now: UnixMillis,
    ) -> Result<(), Error> {
        let truce = self.truce.holds();
        let silent: Vec<NodeId> = members
            .iter()
            .filter(|member| !truce && member.is_silent(now))
            .map(|member| member.node.uuid)
            .collect();
        let flowing = self.find_flowing(&silent).await;
        for member in members {
            let node = member.node.uuid;
            let flows = flowing.contains(&node);
            if judge_silence(member, now, truce, flows) == Silence::Insignificant {
                continue;
            }
            match self.store.apply_silence(node, now, truce, flows).await? {
                SilenceChange::None => {}
                SilenceChange::Suspected(member) => self.on_suspected(&member).await?,
                SilenceChange::Lost(member) => self.on_lost(&member).await?,
            }
        }
        Ok(())
    }

    /// The `silent` nodes that have a link that flows, as other relays report it. While no broker answers, every node
    /// counts as flowing.
    pub(super) async fn find_flowing(&self, silent: &[NodeId]) -> BTreeSet<NodeId> {
        let mut flowing = BTreeSet::new();
        for nodes in silent.chunks(FindFlowing::NODES_MAX) {
            let request = FindFlowing {
                nodes: nodes.to_vec(),
            };
            match self.bus.request(&request, BROKER_TIMEOUT).await {
                Ok(answer) => flowing.extend(answer.nodes),
                Err(error) => {
                    if let Some(times) = BROKER_SILENT.occurred(error.code.as_str()) {
                        let silent = nodes.len();
                        tracing::warn!(silent, %error, times, "no broker says whether links of silent nodes flow");
                    }
                    flowing.extend(nodes);
                }
            }
        }
        flowing
    }

    /// A suspected supernode keeps its children but gets no new ones.
    async fn on_suspected(&self, member: &Member) -> Result<(), Error> {
        let node = member.node.uuid;
        tracing::warn!(node.id = %node, "a node is suspected: its heartbeats stopped, but its links flow");
        if member.node.role == Role::Supernode {
            self.store.open_supernode(node, true).await?;
        }
        self.publish_change(event::NODE_CHANGED, member).await;
        Ok(())
    }

    async fn on_lost(&self, member: &Member) -> Result<(), Error> {
        tracing::warn!(node.id = %member.node.uuid, "a node is lost: its heartbeats stopped, and none of its links flows");
        metrics::counter!("astral_nodes_lost_total").increment(1);
        self.clean_up_after(member, true).await
    }
}
