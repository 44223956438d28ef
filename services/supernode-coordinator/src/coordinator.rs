//! The operations of the coordinator: nodes register, send heartbeats, leave, and are looked up.

mod address;
mod attachment;
mod landmarks;
mod promotion;
mod suspicion;
mod twins;

use crate::Error;
use crate::member::{self, HeartbeatOutcome, Member};
use crate::placement::may_be_promoted;
use crate::store::Store;
use astral_backend::{Bus, Truce};
use astral_env::Env;
use astral_proto::limits::PAGE_ITEMS_MAX;
use astral_proto::message::{
    ForwardHeartbeat, GetNode, Heartbeat, HeartbeatReply, Leave, ListNodes, NodeChanged, NodeGone,
    Register, Registered, RenewTickets, Renewed, event,
};
use astral_proto::model::{Node, NodeState, Page, Role};
use astral_proto::{Kbps, UnixMillis};
use futures_util::future::join;
pub use landmarks::Landmarks;
use std::{sync::Arc, time::Duration};

/// How long the ticket broker may take to process a heartbeat.
const BROKER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the directory may take to process a heartbeat.
const DIRECTORY_TIMEOUT: Duration = Duration::from_secs(1);

/// The coordinator. Cheap to clone.
#[derive(Clone)]
pub struct Coordinator {
    /// Reads and writes the entries of nodes.
    pub store: Store,
    /// The bus, for events and for requests to nodes and other services.
    pub bus: Bus,
    /// The clock and the random source.
    pub env: Env,
    /// How many children a supernode admits.
    pub children_limit: usize,
    /// Supernodes whose distance nodes are asked to measure. Each sweep draws them again.
    pub landmarks: Arc<Landmarks>,
    /// While it holds, silence means nothing.
    pub truce: Arc<Truce>,
}

impl Coordinator {
    /// Admits a node, and gives it its role and its primary supernode.
    ///
    /// # Errors
    /// `conflict` while another node with the same address or id is alive; `bad_request` if a field is out of range.
    pub async fn register(self, request: Register) -> Result<Registered, Error> {
        member::check_registration(&request)?;
        let before = self.store.member(request.node).await?;
        self.refuse_twin(before.as_ref(), &request).await?;
        self.compare_clocks(&request);
        self.take_address(&request).await?;
        let mut member = member::new_member(&request, before.as_ref(), self.store.now());
        let (role, primary) = self.place(&member, before.as_ref()).await?;
        member.node.role = role;
        member.node.primary_supernode = primary;
        self.store.put_member(&member).await?;
        self.release_old_place(before.as_ref(), &member).await?;
        if role == Role::Supernode {
            self.store.open_supernode(request.node, false).await?;
        }
        let change = if before.is_some() {
            event::NODE_CHANGED
        } else {
            event::NODE_CREATED
        };
        self.publish_change(change, &member).await;
        let renewed = self.renew_tickets(&member, empty_heartbeat(&member)).await;
        Ok(Registered {
            role,
            primary_supernode: primary,
            ticket_keys: renewed.ticket_keys,
            generation: renewed.generation,
            supernodes: self.landmarks.choose_for(&member.node, &self.env),
            now: self.store.now(),
        })
    }

    /// Renews the lease of a node and its tickets.
    ///
    /// # Errors
    /// Those of the state and of the bus.
    pub async fn heartbeat(self, heartbeat: Heartbeat) -> Result<HeartbeatReply, Error> {
        let now = self.store.now();
        let mut member = match self.store.apply_heartbeat(&heartbeat, now).await? {
            HeartbeatOutcome::MustRegister => {
                return Ok(HeartbeatReply {
                    register: true,
                    ..HeartbeatReply::default()
                });
            }
            // Another replica may have applied this heartbeat without answering it, so it gets an answer.
            HeartbeatOutcome::Outdated(member) => {
                return Ok(reply(&member, nothing_renewed(&member)));
            }
            HeartbeatOutcome::Renewed(member) => *member,
        };
        self.bus.publish(event::NODE_HEARTBEAT, &heartbeat).await?;
        if member.node.role == Role::Supernode {
            self.store
                .open_supernode(heartbeat.node, heartbeat.draining)
                .await?;
        } else if member.node.primary_supernode.is_none() {
            member.node.primary_supernode = self.reattach(&member).await?;
        }
        let (renewed, ()) = join(
            self.renew_tickets(&member, heartbeat.clone()),
            self.forward_to_directory(heartbeat),
        )
        .await;
        self.store_promised(&member, renewed.promised_kbps).await?;
        let mut reply = reply(&member, renewed);
        reply.supernodes = self.landmarks.choose_for(&member.node, &self.env);
        reply.now = self.store.now();
        // A node gets its role only when it registers, so a node that may be promoted is asked to register again.
        reply.register = member.node.role == Role::Node
            && member.node.primary_supernode.is_none()
            && may_be_promoted(member.asked, member.node.limit_kbps);
        Ok(reply)
    }

    /// Removes a node that leaves.
    ///
    /// # Errors
    /// Those of the state and of the bus.
    pub async fn leave(self, request: Leave) -> Result<(), Error> {
        match self.store.remove(request.node).await? {
            Some(member) => self.clean_up_after(&member, false).await,
            None => Ok(()),
        }
    }

    /// Looks a node up.
    ///
    /// # Errors
    /// `not_found` if there is no node with this id.
    pub async fn get(self, request: GetNode) -> Result<Node, Error> {
        let member = self.store.member(request.node).await?;
        member
            .map(|member| member.node)
            .ok_or(Error::UnknownNode(request.node))
    }

    /// Lists nodes in the order of their ids.
    ///
    /// # Errors
    /// `bad_request` if the limit is out of range.
    pub async fn list(self, request: ListNodes) -> Result<Page<Node>, Error> {
        if !(1..=PAGE_ITEMS_MAX).contains(&request.limit) {
            return Err(Error::PageLimit {
                limit: request.limit,
                max: PAGE_ITEMS_MAX,
            });
        }
        let limit = request.limit as usize;
        // One more than the page has, to know whether another page follows.
        let mut found = self
            .store
            .members(request.cursor.as_deref(), limit + 1)
            .await?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next_cursor = found
            .last()
            .filter(|_| has_more)
            .map(|last| last.node.uuid.to_string());
        Ok(Page {
            items: found.into_iter().map(|member| member.node).collect(),
            next_cursor,
        })
    }

    /// Suspects or removes nodes that have been silent for too long, and repairs what a coordinator that died left
    /// incomplete.
    ///
    /// # Errors
    /// Those of the state and of the bus.
    pub async fn sweep(&self) -> Result<(), Error> {
        let now = self.store.now();
        self.check_silent_nodes(&self.store.all_members().await?, now)
            .await?;
        let members = self.store.all_members().await?;
        record_counts(&members);
        self.landmarks.update(&members, &self.env);
        let members = members
            .into_iter()
            .filter(|member| member.node.state != NodeState::Lost)
            .map(|member| (member.node.uuid, member))
            .collect();
        self.repair_attachments(&members, now).await
    }

    /// Publishes that a node has gone, releases its address and its place, and attaches its children elsewhere.
    async fn clean_up_after(&self, member: &Member, lost: bool) -> Result<(), Error> {
        let node = member.node.uuid;
        self.bus
            .publish(event::NODE_GONE, &NodeGone { node, lost })
            .await?;
        self.store
            .release_address(&member.node.advertise, node)
            .await?;
        if let Some(primary) = member.node.primary_supernode {
            self.store
                .detach_child(primary, node, UnixMillis::MAX)
                .await?;
        }
        if member.node.role == Role::Supernode {
            self.close_supernode(node).await?;
        }
        Ok(())
    }

    /// Publishes a change of a node. A failure is only logged: nobody relies on these events.
    async fn publish_change(&self, change: &str, member: &Member) {
        let node = member.node.clone();
        if let Err(error) = self.bus.publish(change, &NodeChanged { node }).await {
            tracing::debug!(node.id = %member.node.uuid, %error, "a change of a node was not published");
        }
    }

    /// Forwards a heartbeat to the broker. Without an answer, no ticket is renewed, and none is reported as lost.
    async fn renew_tickets(&self, member: &Member, heartbeat: Heartbeat) -> Renewed {
        let request = RenewTickets {
            heartbeat,
            node: member.node.clone(),
            rtts: member.rtts.clone(),
        };
        let answer = self.bus.request(&request, BROKER_TIMEOUT).await;
        answer.unwrap_or_else(|error| {
            tracing::debug!(node.id = %member.node.uuid, %error, "the ticket broker did not renew tickets");
            nothing_renewed(member)
        })
    }

    /// Forwards a heartbeat to the directory. If that fails, the stream continues, and the next heartbeat has the same
    /// contents.
    async fn forward_to_directory(&self, heartbeat: Heartbeat) {
        let node = heartbeat.node;
        let request = ForwardHeartbeat { heartbeat };
        if let Err(error) = self.bus.request(&request, DIRECTORY_TIMEOUT).await {
            tracing::debug!(node.id = %node, %error, "the directory did not take a heartbeat");
        }
    }

    /// Stores what the tickets of a node reserve, if it has changed.
    async fn store_promised(&self, member: &Member, promised: Kbps) -> Result<(), Error> {
        if promised == member.node.promised_kbps {
            return Ok(());
        }
        let set = |member: &mut Member| member.node.promised_kbps = promised;
        Ok(self.store.change(member.node.uuid, set).await?)
    }
}

/// Records the number of nodes in each state as metrics.
fn record_counts(members: &[Member]) {
    // Registers the counters, so that the first loss is visible as an increase.
    metrics::counter!("astral_nodes_lost_total").increment(0);
    metrics::counter!("astral_nodes_clock_wrong_total").increment(0);
    let states = [
        (NodeState::Up, "up"),
        (NodeState::Draining, "draining"),
        (NodeState::Suspected, "suspected"),
        (NodeState::Lost, "lost"),
    ];
    for (state, name) in states {
        let nodes = members
            .iter()
            .filter(|member| member.node.state == state)
            .count();
        metrics::gauge!("astral_nodes", "state" => name).set(nodes as f64);
    }
}

/// The outcome for the tickets of a node if the broker was not asked or did not answer.
fn nothing_renewed(member: &Member) -> Renewed {
    Renewed {
        promised_kbps: member.node.promised_kbps,
        ..Renewed::default()
    }
}

fn reply(member: &Member, tickets: Renewed) -> HeartbeatReply {
    HeartbeatReply {
        register: false,
        primary_supernode: member.node.primary_supernode,
        ticket_keys: tickets.ticket_keys.clone(),
        tickets,
        supernodes: vec![],
        now: UnixMillis::ZERO,
    }
}

/// A heartbeat without a date, streams or tickets. The broker answers it with its keys and changes nothing.
fn empty_heartbeat(member: &Member) -> Heartbeat {
    Heartbeat {
        node: member.node.uuid,
        draining: false,
        limit_kbps: member.node.limit_kbps,
        viewer_kbps: Kbps::ZERO,
        streams: vec![],
        serves: vec![],
        holds: vec![],
        rtts: vec![],
        generation: 0,
        sent_at: UnixMillis::ZERO,
        notices: Vec::new(),
        process: member.process,
    }
}
