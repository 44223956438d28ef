//! The coordinator's reads and writes.

use crate::member::{self, Heard, Member, Silence};
use crate::placement::Seats;
use astral_backend::{Change, State};
use astral_proto::limits::LEASE;
use astral_proto::message::Heartbeat;
use astral_proto::model::NodeState;
use astral_proto::{NodeId, Problem};
use serde::de::DeserializeOwned;
use std::time::Duration;

const NODES: &str = "nodes";
const SEATS: &str = "supernode-seats";
const ADDRESSES: &str = "node-addresses";
const PROMOTIONS: &str = "promotions";
const PROMOTION: &str = "now";
/// The right to be promoted lapses after this long, should its coordinator die.
const PROMOTED_WITHIN: Duration = Duration::from_secs(2);
/// Nodes and seats not renewed for this long go by themselves, should no coordinator be there to sweep.
const SOFT_KEPT: Duration = Duration::from_secs(120);
/// How long an address is remembered as a node's own after it registered.
const ADDRESS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Seats whose child was admitted this recently are not checked: its own entry may be on its way.
pub const SEAT_SETTLES_WITHIN: Duration = LEASE;
/// Entries read at once where all are read.
const PAGE: usize = 1_000;

/// What has become of a node as time passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// Nothing that anybody must know.
    Same,
    /// It is suspected since now.
    Suspected(Box<Member>),
    /// It is lost since now; what it was before.
    Lost(Box<Member>),
}

/// Nodes, their addresses and the seats of supernodes in the shared state.
#[derive(Clone)]
pub struct Store(pub State);

impl Store {
    /// One node.
    pub async fn member(&self, node: NodeId) -> Result<Option<Member>, Problem> {
        self.0.get(NODES, &node.to_string()).await
    }

    /// Nodes by id after `cursor`, at most `limit`.
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

    /// Keeps a node that has registered.
    pub async fn keep(&self, member: &Member) -> Result<(), Problem> {
        let put = |_: Option<Member>| put(member.clone(), ());
        self.0
            .update(NODES, &member.node.uuid.to_string(), put)
            .await
    }

    /// Takes in a heartbeat.
    pub async fn hear(&self, heartbeat: &Heartbeat, now: u64) -> Result<Heard, Problem> {
        let id = heartbeat.node.to_string();
        let decided = self.0.update(NODES, &id, |known: Option<Member>| {
            match member::heard(known, heartbeat, now) {
                Heard::Alive(member) => put(*member.clone(), Heard::Alive(member)),
                other => Change::Keep(other),
            }
        });
        decided.await
    }

    /// Changes a node that is there and not lost.
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

    /// Lets time pass over a node, of which relays say that it `flows` or does not; the node as it was before, if it is
    /// lost or suspected now and was not.
    pub async fn pass_time(
        &self,
        node: NodeId,
        now: u64,
        truce: bool,
        flows: bool,
    ) -> Result<Passed, Problem> {
        let id = node.to_string();
        let decided = self.0.update(NODES, &id, |known: Option<Member>| {
            let Some(member) = known else {
                return Change::Keep(Passed::Same);
            };
            match member::time_passed(&member, now, truce, flows) {
                Silence::Short => Change::Keep(Passed::Same),
                Silence::Suspected(suspected) if member.node.state == NodeState::Suspected => {
                    put(*suspected, Passed::Same)
                }
                Silence::Suspected(suspected) => {
                    put(*suspected.clone(), Passed::Suspected(suspected))
                }
                Silence::Lost(lost) => put(*lost, Passed::Lost(Box::new(member))),
                Silence::Forgotten => Change::Remove(Passed::Same),
            }
        });
        decided.await
    }

    /// Takes a node off the list; what it was, if it was not lost before.
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

    /// Who holds `address`, if it is known.
    pub async fn address_holder(&self, address: &str) -> Result<Option<NodeId>, Problem> {
        self.0.get(ADDRESSES, address).await
    }

    /// Makes `address` a node's own in place of `holder`; false if it has gone to another meanwhile.
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
                    ttl: Some(ADDRESS_KEPT),
                    result: true,
                };
            }
            Change::Keep(false)
        });
        decided.await
    }

    /// Gives an address up, if it is still the node's.
    pub async fn leave_address(&self, address: &str, node: NodeId) -> Result<(), Problem> {
        let decided = self
            .0
            .update(ADDRESSES, address, |known: Option<NodeId>| match known {
                Some(holder) if holder == node => Change::Remove(()),
                _ => Change::Keep(()),
            });
        decided.await
    }

    /// Every supernode with its children.
    pub async fn seats(&self) -> Result<Vec<(NodeId, Seats)>, Problem> {
        let all = self.all::<Seats>(SEATS).await?;
        all.into_iter()
            .map(|(id, seats)| Ok((id.parse()?, seats)))
            .collect()
    }

    /// Opens the seats of a supernode, or keeps them open.
    pub async fn open_seats(&self, supernode: NodeId, draining: bool) -> Result<(), Problem> {
        let renew = |known: Option<Seats>| {
            put(
                Seats {
                    draining,
                    ..known.unwrap_or_default()
                },
                (),
            )
        };
        self.0.update(SEATS, &supernode.to_string(), renew).await
    }

    /// Closes the seats of a supernode and gives who sat there.
    pub async fn close_seats(&self, supernode: NodeId) -> Result<Vec<NodeId>, Problem> {
        let id = supernode.to_string();
        let decided = self.0.update(SEATS, &id, |known: Option<Seats>| {
            Change::Remove(
                known
                    .map(|seats| seats.children.into_keys().collect())
                    .unwrap_or_default(),
            )
        });
        decided.await
    }

    /// Closes the seats of a supernode that has been idle for long; whether they are closed.
    pub async fn close_idle_seats(&self, supernode: NodeId, now: u64) -> Result<bool, Problem> {
        let id = supernode.to_string();
        let decided = self.0.update(SEATS, &id, |known: Option<Seats>| {
            if known.is_some_and(|mut seats| seats.is_idle(now)) {
                Change::Remove(true)
            } else {
                Change::Keep(false)
            }
        });
        decided.await
    }

    /// Notes whether anybody hangs off a supernode; whether it has been idle for long.
    pub async fn note_idle(&self, supernode: NodeId, now: u64) -> Result<bool, Problem> {
        let id = supernode.to_string();
        let decided = self.0.update(SEATS, &id, |known: Option<Seats>| {
            let Some(before) = known else {
                return Change::Keep(false);
            };
            let mut seats = before.clone();
            let idle = seats.is_idle(now);
            if seats == before {
                Change::Keep(idle)
            } else {
                put(seats, idle)
            }
        });
        decided.await
    }

    /// Claims the right to be promoted for `node`; whether it has it. Only one node has at a time.
    pub async fn claim_promotion(&self, node: NodeId) -> Result<bool, Problem> {
        let decided = self
            .0
            .update(PROMOTIONS, PROMOTION, |known: Option<NodeId>| match known {
                Some(other) if other != node => Change::Keep(false),
                _ => Change::Put {
                    value: node,
                    ttl: Some(PROMOTED_WITHIN),
                    result: true,
                },
            });
        decided.await
    }

    /// Gives up the right to be promoted.
    pub async fn leave_promotion(&self, node: NodeId) -> Result<(), Problem> {
        let decided = self
            .0
            .update(PROMOTIONS, PROMOTION, |known: Option<NodeId>| match known {
                Some(holder) if holder == node => Change::Remove(()),
                _ => Change::Keep(()),
            });
        decided.await
    }

    /// Admits `child` under `supernode` if there is room; whether it is in.
    pub async fn sit(
        &self,
        supernode: NodeId,
        child: NodeId,
        limit: usize,
        now: u64,
    ) -> Result<bool, Problem> {
        let id = supernode.to_string();
        let decided = self.0.update(SEATS, &id, |known: Option<Seats>| {
            let Some(mut seats) = known else {
                return Change::Keep(false);
            };
            if seats.admit(child, limit, now) {
                put(seats, true)
            } else {
                Change::Keep(false)
            }
        });
        decided.await
    }

    /// Frees the seat of `child`, unless it was admitted after `before`.
    pub async fn rise(&self, supernode: NodeId, child: NodeId, before: u64) -> Result<(), Problem> {
        let id = supernode.to_string();
        let decided = self.0.update(SEATS, &id, |known: Option<Seats>| {
            let Some(mut seats) = known else {
                return Change::Keep(());
            };
            if seats
                .children
                .get(&child)
                .is_none_or(|admitted| *admitted > before)
            {
                return Change::Keep(());
            }
            seats.children.remove(&child);
            put(seats, ())
        });
        decided.await
    }

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
        ttl: Some(SOFT_KEPT),
        result,
    }
}
