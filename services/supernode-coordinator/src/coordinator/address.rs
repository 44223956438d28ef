//! Which of two nodes has an address that both claim.

use super::Coordinator;
use crate::Error;
use crate::member::{HolderState, judge_holder};
use astral_proto::message::{Probe, Register};
use astral_proto::{Code, NodeId, Slug};
use std::time::Duration;

/// How long the node that has an address may take to answer.
const HOLDER_TIMEOUT: Duration = Duration::from_millis(500);
/// The stream in the probe. Any name works: only the fact that the node answers matters.
const PROBED_STREAM: &str = "any";

impl Coordinator {
    /// Gives the address in the request to the node. If another node has it, the one that is alive keeps it.
    pub(super) async fn take_address(&self, request: &Register) -> Result<(), Error> {
        let address = &request.advertise;
        let taken = || Error::AddressTaken {
            address: address.clone(),
        };
        let holder = self.store.address_holder(address).await?;
        if let Some(other) = holder.filter(|holder| *holder != request.node) {
            if self.is_alive(other).await? {
                return Err(taken());
            }
            if let Some(dead) = self.store.remove(other).await? {
                tracing::info!(node.id = %other, by = %request.node, "a node took the address of one that is gone");
                self.clean_up_after(&dead, true).await?;
            }
        }
        // Cleaning up releases the address. Then nobody has it, instead of the node that had it above.
        let holder = self.store.address_holder(address).await?.and(holder);
        if self
            .store
            .take_address(address, request.node, holder)
            .await?
        {
            Ok(())
        } else {
            Err(taken())
        }
    }

    async fn is_alive(&self, node: NodeId) -> Result<bool, Error> {
        let member = self.store.member(node).await?;
        Ok(match judge_holder(member.as_ref(), self.store.now()) {
            HolderState::Gone => false,
            HolderState::Alive => true,
            HolderState::AskHolder => self.answers(node).await?,
            HolderState::AskNeighbours => self.find_flowing(&[node]).await.contains(&node),
        })
    }

    /// Whether a node answers a probe. It counts as answering while the bus is unreachable, because nobody can tell.
    async fn answers(&self, node: NodeId) -> Result<bool, Error> {
        let probe = Probe {
            slug: PROBED_STREAM.parse::<Slug>()?,
        };
        let answer = self.bus.request_node(node, &probe, HOLDER_TIMEOUT).await;
        let is_silent = matches!(
            answer,
            Err(problem) if matches!(problem.code, Code::Unavailable | Code::Timeout)
        );
        Ok(!is_silent)
    }
}
