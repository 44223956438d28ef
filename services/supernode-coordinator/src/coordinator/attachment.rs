//! Attaches nodes to supernodes, and repairs attachments that are inconsistent.
//!
//! An attachment has two entries: the node names its primary supernode, and the supernode lists its children. They are
//! written one after the other, so a coordinator that dies in between leaves one of them behind. Sweeps repair that.

use super::Coordinator;
use crate::Error;
use crate::member::Member;
use crate::placement::{Children, rank_supernodes};
use crate::store::ATTACHMENT_SETTLES_WITHIN;
use astral_proto::message::event;
use astral_proto::model::Role;
use astral_proto::{NodeId, UnixMillis};
use std::collections::BTreeMap;

impl Coordinator {
    /// Attaches a node to the best supernode that has room. Returns None if none has.
    pub(super) async fn attach(&self, member: &Member) -> Result<Option<NodeId>, Error> {
        let node = member.node.uuid;
        let limit = self.children_limit;
        let supernodes = self.store.supernodes().await?;
        for supernode in rank_supernodes(node, &member.rtts, &supernodes, limit) {
            let now = self.store.now();
            // The supernode may have filled up since its entry was read.
            if self.store.attach_child(supernode, node, limit, now).await? {
                return Ok(Some(supernode));
            }
        }
        Ok(None)
    }

    /// Attaches a node again and stores its new supernode; None if no supernode has room.
    pub(super) async fn reattach(&self, member: &Member) -> Result<Option<NodeId>, Error> {
        let primary = self.attach(member).await?;
        if primary != member.node.primary_supernode {
            let set = |member: &mut Member| member.node.primary_supernode = primary;
            self.store.change(member.node.uuid, set).await?;
            let mut moved = member.clone();
            moved.node.primary_supernode = primary;
            self.publish_change(event::NODE_CHANGED, &moved).await;
        }
        Ok(primary)
    }

    /// Releases what a node had before it registered again: its old address, its old supernode, and its children if it is
    /// no longer a supernode.
    pub(super) async fn release_old_place(
        &self,
        before: Option<&Member>,
        member: &Member,
    ) -> Result<(), Error> {
        let Some(before) = before else { return Ok(()) };
        let node = member.node.uuid;
        let old = &before.node;
        if old.advertise != member.node.advertise {
            self.store.release_address(&old.advertise, node).await?;
        }
        let left = old
            .primary_supernode
            .filter(|old| Some(*old) != member.node.primary_supernode);
        if let Some(left) = left {
            self.store.detach_child(left, node, UnixMillis::MAX).await?;
        }
        if old.role == Role::Supernode && member.node.role != Role::Supernode {
            self.close_supernode(node).await?;
        }
        Ok(())
    }

    /// Removes a supernode's list of children, and attaches the children elsewhere.
    pub(super) async fn close_supernode(&self, supernode: NodeId) -> Result<(), Error> {
        for child in self.store.close_supernode(supernode).await? {
            let Some(member) = self.store.member(child).await? else {
                continue;
            };
            if member.node.primary_supernode == Some(supernode) {
                self.reattach(&member).await?;
            }
        }
        Ok(())
    }

    /// Makes both entries of each attachment agree, attaches nodes whose supernode is gone, and demotes idle supernodes.
    pub(super) async fn repair_attachments(
        &self,
        members: &BTreeMap<NodeId, Member>,
        now: UnixMillis,
    ) -> Result<(), Error> {
        let supernodes: BTreeMap<NodeId, Children> =
            self.store.supernodes().await?.into_iter().collect();
        for (supernode, children) in &supernodes {
            self.repair_children(*supernode, children, members, now)
                .await?;
        }
        for member in members.values() {
            let primary = member.node.primary_supernode;
            if primary.is_some_and(|primary| !supernodes.contains_key(&primary)) {
                self.reattach(member).await?;
            }
        }
        for member in members.values() {
            self.demote_if_idle(member, now).await?;
        }
        Ok(())
    }

    /// Detaches children that name another supernode, and removes the list of a node that is no supernode.
    async fn repair_children(
        &self,
        supernode: NodeId,
        children: &Children,
        members: &BTreeMap<NodeId, Member>,
        now: UnixMillis,
    ) -> Result<(), Error> {
        let is_supernode = |member: &Member| member.node.role == Role::Supernode;
        if !members.get(&supernode).is_some_and(is_supernode) {
            self.store.close_supernode(supernode).await?;
            return Ok(());
        }
        let settled = now - ATTACHMENT_SETTLES_WITHIN;
        let is_attached = |member: &Member| member.node.primary_supernode == Some(supernode);
        for child in children.children.keys() {
            if !members.get(child).is_some_and(is_attached) {
                self.store.detach_child(supernode, *child, settled).await?;
            }
        }
        Ok(())
    }
}
