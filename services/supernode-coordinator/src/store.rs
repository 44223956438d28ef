//! Reads and writes the entries of nodes, addresses and supernodes in the shared state.

use crate::member::{self, HeartbeatOutcome, Member, Silence};
use crate::placement::Children;
use astral_backend::{Change, State};
use astral_proto::limits::LEASE;
use astral_proto::message::Heartbeat;
use astral_proto::model::NodeState;
use astral_proto::{NodeId, Problem, UnixMillis};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The collection of nodes.
const NODES: &str = "nodes";
/// The collection of supernodes with their children.
const SUPERNODES: &str = "supernode-seats";
/// The collection of addresses with the nodes that have them.
const ADDRESSES: &str = "node-addresses";
/// The collection with the one entry below.
const PROMOTIONS: &str = "promotions";
/// The node that is being promoted.
const PROMOTION: &str = "now";
/// How long a claim to be promoted lasts if the coordinator that handles it dies.
const PROMOTION_TTL: Duration = Duration::from_secs(2);
/// How long entries of nodes and supernodes live without being renewed, if no coordinator removes them.
const ENTRY_TTL: Duration = Duration::from_secs(120);
/// How long a node has an address after it registered.
const ADDRESS_TTL: Duration = Duration::from_secs(24 * 3600);
/// Sweeps leave attachments alone that are younger than this, because the entry of the child may not be written yet.
pub const ATTACHMENT_SETTLES_WITHIN: Duration = LEASE;
/// How many entries are read at once when all are read.
const PAGE: usize = 1_000;

/// What the silence of a node changed in its entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SilenceChange {
    /// Nothing that others must know.
    None,
    /// The node became suspected. This is its new entry.
    Suspected(Box<Member>),
    /// The node became lost. This is its entry before.
    Lost(Box<Member>),
}

/// The coordinator's part of the shared state.
#[derive(Clone)]
pub struct Store(pub State);

impl Store {
    /// The date by the clock of the state, which all replicas share.
    pub fn now(&self) -> UnixMillis {
        self.0.now()
    }

    /// The entry of one node.
    pub async fn member(&self, node: NodeId) -> Result<Option<Member>, Problem> {
        self.0.get(NODES, &node.to_string()).await
    }

    /// At most `limit` nodes in the order of their ids, from the first after `cursor`.
    pub async fn members(
        &self,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Member>, Problem> {
        let found = self.0.list(NODES, cursor, limit).await?;
        Ok(found.into_iter().map(|(_, member)| member).collect())
    }

    /// Every node.
    pub async fn all_members(&self) -> Result<Vec<Member>, Problem> {
        let all = self.all(NODES).await?;
        Ok(all.into_iter().map(|(_, member)| member).collect())
    }

    /// Writes the entry of a node that registers.
    pub async fn put_member(&self, member: &Member) -> Result<(), Problem> {
        let put = |_: Option<Member>| put(member.clone(), ());
        self.0
            .update(NODES, &member.node.uuid.to_string(), put)
            .await
    }

    /// Applies a heartbeat to the entry of its node.
    pub async fn apply_heartbeat(
        &self,
        heartbeat: &Heartbeat,
        now: UnixMillis,
    ) -> Result<HeartbeatOutcome, Problem> {
        let id = heartbeat.node.to_string();
        let decided =
            self.0.update(
                NODES,
                &id,
                |known: Option<Member>| match member::apply_heartbeat(known, heartbeat, now) {
                    HeartbeatOutcome::Renewed(member) => {
                        put(*member.clone(), HeartbeatOutcome::Renewed(member))
                    }
                    other => Change::Keep(other),
                },
            );
        decided.await
    }

    /// Changes the entry of a node, if it exists and the node is not lost.
    pub async fn change(
        &self,
        node: NodeId,
        mut rule: impl FnMut(&mut Member) + Send,
    ) -> Result<(), Problem> {
        let id = node.to_string();
        let decided = self
            .0
            .update(NODES, &id, |known: Option<Member>| match known {
                Some(mut member) if member.node.state != NodeState::Lost => {
                    rule(&mut member);
                    put(member, ())
                }
                _ => Change::Keep(()),
            });
        decided.await
    }

    /// Applies the silence of a node to its entry. `flows` says whether relays report that one of its links flows.
    pub async fn apply_silence(
        &self,
        node: NodeId,
        now: UnixMillis,
        truce: bool,
        flows: bool,
    ) -> Result<SilenceChange, Problem> {
        let id = node.to_string();
        let decided = self.0.update(NODES, &id, |known: Option<Member>| {
            let Some(member) = known else {
                return Change::Keep(SilenceChange::None);
            };
            match member::judge_silence(&member, now, truce, flows) {
                Silence::Insignificant => Change::Keep(SilenceChange::None),
                Silence::Suspected(suspected) if member.node.state == NodeState::Suspected => {
                    put(*suspected, SilenceChange::None)
                }
                Silence::Suspected(suspected) => {
                    put(*suspected.clone(), SilenceChange::Suspected(suspected))
                }
                Silence::Lost(lost) => put(*lost, SilenceChange::Lost(Box::new(member))),
                Silence::Forgotten => Change::Remove(SilenceChange::None),
            }
        });
        decided.await
    }

    /// Removes the entry of a node, and returns it if the node was not lost.
    pub async fn remove(&self, node: NodeId) -> Result<Option<Member>, Problem> {
        let id = node.to_string();
        let decided = self
            .0
            .update(NODES, &id, |known: Option<Member>| match known {
                Some(member) if member.node.state != NodeState::Lost => {
                    Change::Remove(Some(member))
                }
                Some(_) => Change::Remove(None),
                None => Change::Keep(None),
            });
        decided.await
    }

    /// The node that has `address`, if it is known.
    pub async fn address_holder(&self, address: &str) -> Result<Option<NodeId>, Problem> {
        self.0.get(ADDRESSES, address).await
    }

    /// Gives `address` to `node` instead of `holder`. Returns false if a third node has taken it in the meantime.
    pub async fn take_address(
        &self,
        address: &str,
        node: NodeId,
        holder: Option<NodeId>,
    ) -> Result<bool, Problem> {
        let decided = self.0.update(ADDRESSES, address, |known: Option<NodeId>| {
            if known == holder || known == Some(node) {
                return Change::Put {
                    value: node,
                    ttl: Some(ADDRESS_TTL),
                    result: true,
                };
            }
            Change::Keep(false)
        });
        decided.await
    }

    /// Releases an address, if `node` still has it.
    pub async fn release_address(&self, address: &str, node: NodeId) -> Result<(), Problem> {
        let decided = self
            .0
            .update(ADDRESSES, address, |known: Option<NodeId>| match known {
                Some(holder) if holder == node => Change::Remove(()),
                _ => Change::Keep(()),
            });
        decided.await
    }

    /// Every supernode with its children.
    pub async fn supernodes(&self) -> Result<Vec<(NodeId, Children)>, Problem> {
        let all = self.all::<Children>(SUPERNODES).await?;
        all.into_iter()
            .map(|(id, children)| Ok((id.parse()?, children)))
            .collect()
    }

    /// Creates or renews the entry of a supernode. It admits children unless it is `draining`.
    pub async fn open_supernode(&self, supernode: NodeId, draining: bool) -> Result<(), Problem> {
        let renew = |known: Option<Children>| {
            let renewed = Children {
                draining,
                ..known.unwrap_or_default()
            };
            put(renewed, ())
        };
        self.0
            .update(SUPERNODES, &supernode.to_string(), renew)
            .await
    }

    /// Removes the entry of a supernode, and returns its children.
    pub async fn close_supernode(&self, supernode: NodeId) -> Result<Vec<NodeId>, Problem> {
        let id = supernode.to_string();
        let decided = self.0.update(SUPERNODES, &id, |known: Option<Children>| {
            let children = known.unwrap_or_default().children;
            Change::Remove(children.into_keys().collect())
        });
        decided.await
    }

    /// Removes the entry of a supernode if it is idle. Returns whether it did.
    pub async fn close_idle_supernode(
        &self,
        supernode: NodeId,
        now: UnixMillis,
    ) -> Result<bool, Problem> {
        let id = supernode.to_string();
        let decided = self.0.update(SUPERNODES, &id, |known: Option<Children>| {
            if known.is_some_and(|mut children| children.is_idle(now)) {
                Change::Remove(true)
            } else {
                Change::Keep(false)
            }
        });
        decided.await
    }

    /// Notes whether a supernode has children. Returns whether it is idle.
    pub async fn note_idle(&self, supernode: NodeId, now: UnixMillis) -> Result<bool, Problem> {
        let id = supernode.to_string();
        let decided = self.0.update(SUPERNODES, &id, |known: Option<Children>| {
            let Some(before) = known else {
                return Change::Keep(false);
            };
            let mut children = before.clone();
            let is_idle = children.is_idle(now);
            if children == before {
                Change::Keep(is_idle)
            } else {
                put(children, is_idle)
            }
        });
        decided.await
    }

    /// Claims the promotion for `node`. Returns false while another node has claimed it.
    pub async fn claim_promotion(&self, node: NodeId) -> Result<bool, Problem> {
        let decided = self
            .0
            .update(PROMOTIONS, PROMOTION, |known: Option<NodeId>| match known {
                Some(other) if other != node => Change::Keep(false),
                _ => Change::Put {
                    value: node,
                    ttl: Some(PROMOTION_TTL),
                    result: true,
                },
            });
        decided.await
    }

    /// Releases the promotion, if `node` still has it.
    pub async fn release_promotion(&self, node: NodeId) -> Result<(), Problem> {
        let decided = self
            .0
            .update(PROMOTIONS, PROMOTION, |known: Option<NodeId>| match known {
                Some(holder) if holder == node => Change::Remove(()),
                _ => Change::Keep(()),
            });
        decided.await
    }

    /// Attaches `child` to `supernode` if there is room. Returns whether it is attached.
    pub async fn attach_child(
        &self,
        supernode: NodeId,
        child: NodeId,
        limit: usize,
        now: UnixMillis,
    ) -> Result<bool, Problem> {
        let id = supernode.to_string();
        let decided = self.0.update(SUPERNODES, &id, |known: Option<Children>| {
            let Some(mut children) = known else {
                return Change::Keep(false);
            };
            if children.admit(child, limit, now) {
                put(children, true)
            } else {
                Change::Keep(false)
            }
        });
        decided.await
    }

    /// Detaches `child` from `supernode`, unless it was admitted after `before`.
    pub async fn detach_child(
        &self,
        supernode: NodeId,
        child: NodeId,
        before: UnixMillis,
    ) -> Result<(), Problem> {
        let id = supernode.to_string();
        let decided = self.0.update(SUPERNODES, &id, |known: Option<Children>| {
            let Some(mut entry) = known else {
                return Change::Keep(());
            };
            let admitted_at = entry.children.get(&child);
            if admitted_at.is_none_or(|admitted_at| *admitted_at > before) {
                return Change::Keep(());
            }
            entry.children.remove(&child);
            put(entry, ())
        });
        decided.await
    }

    /// Every entry of a collection, read page by page.
    async fn all<T: DeserializeOwned>(
        &self,
        collection: &str,
    ) -> Result<Vec<(String, T)>, Problem> {
        let mut all: Vec<(String, T)> = Vec::new();
        loop {
            let cursor = all.last().map(|(id, _)| id.clone());
            let page = self.0.list(collection, cursor.as_deref(), PAGE).await?;
            let full = page.len() == PAGE;
            all.extend(page);
            if !full {
                return Ok(all);
            }
        }
    }
}

fn put<T, R>(value: T, result: R) -> Change<T, R> {
    Change::Put {
        value,
        ttl: Some(ENTRY_TTL),
        result,
    }
}
