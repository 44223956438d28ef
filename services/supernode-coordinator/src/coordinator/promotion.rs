//! Which nodes become supernodes, and which supernodes become ordinary nodes again.

use super::Coordinator;
use crate::Error;
use crate::member::Member;
use crate::placement::{is_supernode, may_be_promoted};
use astral_proto::model::Role;
use astral_proto::{NodeId, UnixMillis};
use std::time::Duration;

/// How often a node that may be promoted looks for a supernode with room, while another node is being promoted.
const TRIES_MAX: u32 = 20;
/// The time between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(50);

impl Coordinator {
    /// The role and the primary supernode of a node that registers.
    ///
    /// Only one node is promoted at a time. Otherwise a crowd that arrives at once would all become supernodes, instead of
    /// attaching to the first one.
    pub(super) async fn place(
        &self,
        member: &Member,
        before: Option<&Member>,
    ) -> Result<(Role, Option<NodeId>), Error> {
        if is_supernode(member.asked, before) {
            return Ok((Role::Supernode, None));
        }
        for _ in 0..TRIES_MAX {
            if let Some(supernode) = self.attach(member).await? {
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
        // The answers to its heartbeats ask it to register again.
        Ok((Role::Node, None))
    }

    /// Makes the node that has claimed the promotion a supernode, unless another one has just got room for it.
    async fn promote(&self, member: &Member) -> Result<(Role, Option<NodeId>), Error> {
        let node = member.node.uuid;
        let primary = self.attach(member).await?;
        if primary.is_none() {
            self.store.open_supernode(node, false).await?;
        }
        self.store.release_promotion(node).await?;
        let role = if primary.is_some() {
            Role::Node
        } else {
            Role::Supernode
        };
        Ok((role, primary))
    }

    /// Makes a promoted supernode an ordinary node again, if it has had no children for a minute and another supernode has
    /// room for it.
    pub(super) async fn demote_if_idle(
        &self,
        member: &Member,
        now: UnixMillis,
    ) -> Result<(), Error> {
        let node = member.node.uuid;
        let is_promoted = member.node.role == Role::Supernode && member.asked == Role::Auto;
        if !is_promoted || !self.store.note_idle(node, now).await? {
            return Ok(());
        }
        let Some(primary) = self.attach(member).await? else {
            return Ok(());
        };
        if !self.store.close_idle_supernode(node, now).await? {
            // A child came in the meantime, so the node stays a supernode.
            self.store
                .detach_child(primary, node, UnixMillis::MAX)
                .await?;
            return Ok(());
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
