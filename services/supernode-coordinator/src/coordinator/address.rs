//! Which of two nodes has an address that both claim.

use super::Coordinator;
use crate::member::{Holder, holder};
use astral_proto::message::{Probe, Register};
use astral_proto::{Code, NodeId, Problem, Slug};
use std::time::Duration;

/// How long the holder of an address may take to say that it is there.
const HOLDER_ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// The stream that it is asked about. Any does: what counts is that it answers.
const ASKED_ABOUT: &str = "any";

impl Coordinator {
    /// Makes the address the node's own. Of two nodes that claim it, the one that lives has it.
    pub(super) async fn take_address(&self, ask: &Register) -> Result<(), Problem> {
        let holder = self.store.address_holder(&ask.advertise).await?;
        if let Some(other) = holder.filter(|holder| *holder != ask.node) {
            if self.lives(other).await? {
                return Err(address_taken(&ask.advertise));
            }
            if let Some(dead) = self.store.remove(other).await? {
                tracing::info!(node.id = %other, by = %ask.node, "another node is at the address of one that is gone");
                self.gone(&dead, true).await?;
            }
        }
        let holder = self.store.address_holder(&ask.advertise).await?.and(holder);
        if !self
            .store
            .take_address(&ask.advertise, ask.node, holder)
            .await?
        {
            return Err(address_taken(&ask.advertise));
        }
        Ok(())
    }

    async fn lives(&self, node: NodeId) -> Result<bool, Problem> {
        let member = self.store.member(node).await?;
        Ok(match holder(member.as_ref(), self.store.0.now()) {
            Holder::Gone => false,
            Holder::There => true,
            Holder::AskIt => self.answers(node).await?,
            Holder::AskPeers => self.flowing(&[node]).await.contains(&node),
        })
    }

    /// Whether a node is on the bus. While the bus is away it is not known to be gone.
    async fn answers(&self, node: NodeId) -> Result<bool, Problem> {
        let probe = Probe {
            slug: ASKED_ABOUT.parse::<Slug>()?,
        };
        let answer = self
            .bus
            .request_node(node, &probe, HOLDER_ANSWERS_WITHIN)
            .await;
        Ok(
            !matches!(answer, Err(problem) if matches!(problem.code, Code::Unavailable | Code::Timeout)),
        )
    }
}

fn address_taken(address: &str) -> Problem {
    Problem::new(
        Code::Conflict,
        format!("{address} is the address of another node that lives"),
    )
}
