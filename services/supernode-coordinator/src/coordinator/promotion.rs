//! Who becomes a supernode, and who is one no longer.

use super::Coordinator;
use crate::member::Member;
use crate::placement::{is_supernode, may_be_promoted};
use astral_proto::model::Role;
use astral_proto::{NodeId, Problem};
use std::time::Duration;

/// Times a node that may be promoted looks for a seat again while another is being promoted.
const TRIES_MAX: u32 = 20;
/// Between two of them.
const TRY_AGAIN: Duration = Duration::from_millis(50);

impl Coordinator {
    /// The role and primary supernode of a node that registers. Promotions come one after the other, so that the
    /// seats that one opens are seen by the next.
    pub(super) async fn place(
        &self,
        member: &Member,
        before: Option<&Member>,
    ) -> Result<(Role, Option<NodeId>), Problem> {
        if is_supernode(member.asked, before) {
            return Ok((Role::Supernode, None));
        }
        for _ in 0..TRIES_MAX {
            if let Some(supernode) = self.find_seat(member).await? {
                return Ok((Role::Node, Some(supernode)));
            }
            if !may_be_promoted(member.asked, member.node.limit_kbps) {
                break;
            }
            if self.store.claim_promotion(member.node.uuid).await? {
                return self.promote(member).await;
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
        // Its heartbeats ask it to register again.
        Ok((Role::Node, None))
    }

    /// Opens the seats of a node that has the right to be promoted, unless another has just opened some.
    async fn promote(&self, member: &Member) -> Result<(Role, Option<NodeId>), Problem> {
        let node = member.node.uuid;
        let primary = self.find_seat(member).await?;
        if primary.is_none() {
            self.store.open_seats(node, false).await?;
        }
        self.store.leave_promotion(node).await?;
        let role = if primary.is_some() {
            Role::Node
        } else {
            Role::Supernode
        };
        Ok((role, primary))
    }

    /// Makes a supernode that was promoted an ordinary node again if nobody has hung off it for long and another has
    /// room for it.
    pub(super) async fn demote_if_idle(&self, member: &Member, now: u64) -> Result<(), Problem> {
        let node = member.node.uuid;
        let promoted = member.node.role == Role::Supernode && member.asked == Role::Auto;
        if !promoted || !self.store.note_idle(node, now).await? {
            return Ok(());
        }
        let Some(primary) = self.find_seat(member).await? else {
            return Ok(());
        };
        if !self.store.close_idle_seats(node, now).await? {
            return self.store.rise(primary, node, u64::MAX).await;
        }
        let demote = |member: &mut Member| {
            member.node.role = Role::Node;
            member.node.primary_supernode = Some(primary);
        };
        self.store.change(node, demote).await?;
        tracing::info!(node.id = %node, "an idle supernode is an ordinary node again");
        Ok(())
    }
}
