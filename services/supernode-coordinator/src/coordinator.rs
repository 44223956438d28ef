//! What the coordinator does: admit, place, renew, give up, tell.

mod address;
mod landmarks;
mod promotion;
mod suspicion;
mod twins;

use crate::member::{self, Heard, Member};
use crate::placement::{Seats, candidates, may_be_promoted};
use crate::store::{SEAT_SETTLES_WITHIN, Store};
use astral_backend::{Bus, Truce};
use astral_proto::limits::PAGE_ITEMS_MAX;
use astral_proto::message::{
    GetNode, HearNode, Heartbeat, HeartbeatReply, Leave, ListNodes, NodeChanged, NodeGone,
    Register, Registered, RenewTickets, Renewed, event,
};
use astral_proto::model::{Node, NodeState, Page, Role};
use astral_proto::{Code, NodeId, Problem};
use futures_util::future::join;
pub use landmarks::Landmarks;
use std::collections::HashMap;
use std::{sync::Arc, time::Duration};

/// How long the ticket broker may take over a heartbeat.
const BROKER_ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// How long the directory may take over a heartbeat.
const DIRECTORY_ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// The coordinator, cheap to clone.
#[derive(Clone)]
pub struct Coordinator {
    /// What it keeps.
    pub store: Store,
    /// How it reaches others.
    pub bus: Bus,
    /// Children that a supernode admits.
    pub children_limit: usize,
    /// Supernodes that nodes measure the way to, as of the last sweep.
    pub landmarks: Arc<Landmarks>,
    /// While it holds, silence is not death.
    pub truce: Arc<Truce>,
}

impl Coordinator {
    /// Admits a node and gives it its role and primary supernode.
    ///
    /// # Errors
    /// `conflict` while a living node has the same address; `bad_request` for what no node would say.
    pub async fn register(self, ask: Register) -> Result<Registered, Problem> {
        member::check(&ask)?;
        let before = self.store.member(ask.node).await?;
        self.refuse_twin(before.as_ref(), &ask).await?;
        self.compare_clocks(&ask);
        self.take_address(&ask).await?;
        let mut member = member::joined(&ask, before.as_ref(), self.store.0.now());
        let (role, primary) = self.place(&member, before.as_ref()).await?;
        member.node.role = role;
        member.node.primary_supernode = primary;
        self.store.keep(&member).await?;
        self.leave_old_place(before.as_ref(), &member).await?;
        if role == Role::Supernode {
            self.store.open_seats(ask.node, false).await?;
        }
        let news = if before.is_some() {
            event::NODE_CHANGED
        } else {
            event::NODE_CREATED
        };
        self.tell(news, &member).await;
        let renewed = self.renew_tickets(&member, nothing_said_yet(&member)).await;
        let generation = renewed.generation;
        let supernodes = self.landmarks.some(&member.node);
        let ticket_keys = renewed.ticket_keys;
        let now = self.store.0.now();
        Ok(Registered {
            role,
            primary_supernode: primary,
            ticket_keys,
            generation,
            supernodes,
            now,
        })
    }

    /// Renews a node's lease and its tickets.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn heartbeat(self, said: Heartbeat) -> Result<HeartbeatReply, Problem> {
        let mut member = match self.store.hear(&said, self.store.0.now()).await? {
            Heard::Stranger => {
                return Ok(HeartbeatReply {
                    register: true,
                    ..HeartbeatReply::default()
                });
            }
            // Perhaps one that another replica has taken in and not answered.
            Heard::Late(member) => return Ok(reply(&member, nothing_renewed(&member))),
            Heard::Alive(member) => *member,
        };
        self.bus.publish(event::NODE_HEARTBEAT, &said).await?;
        if member.node.role == Role::Supernode {
            self.store.open_seats(said.node, said.draining).await?;
        } else if member.node.primary_supernode.is_none() {
            member.node.primary_supernode = self.rehome(&member).await?;
        }
        let (renewed, ()) = join(
            self.renew_tickets(&member, said.clone()),
            self.tell_directory(said),
        )
        .await;
        self.keep_promised(&member, renewed.promised_kbps).await?;
        let mut reply = reply(&member, renewed);
        reply.supernodes = self.landmarks.some(&member.node);
        reply.now = self.store.0.now();
        // Roles are given at registration alone, so a node to be promoted is asked to register.
        reply.register = member.node.role == Role::Node
            && member.node.primary_supernode.is_none()
            && may_be_promoted(member.asked, member.node.limit_kbps);
        Ok(reply)
    }

    /// Takes a node off the list at once.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn leave(self, ask: Leave) -> Result<(), Problem> {
        match self.store.remove(ask.node).await? {
            Some(member) => self.gone(&member, false).await,
            None => Ok(()),
        }
    }

    /// Looks a node up.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn get(self, ask: GetNode) -> Result<Node, Problem> {
        let member = self.store.member(ask.node).await?;
        let absent = || Problem::new(Code::NotFound, format!("there is no node {}", ask.node));
        member.map(|member| member.node).ok_or_else(absent)
    }

    /// Lists nodes by id.
    ///
    /// # Errors
    /// `bad_request` if the limit is out of bounds.
    pub async fn list(self, ask: ListNodes) -> Result<Page<Node>, Problem> {
        if !(1..=PAGE_ITEMS_MAX).contains(&ask.limit) {
            let detail = format!("limit {} must be 1 to {PAGE_ITEMS_MAX}", ask.limit);
            return Err(Problem::new(Code::BadRequest, detail));
        }
        let limit = ask.limit as usize;
        let mut found = self.store.members(ask.cursor.as_deref(), limit + 1).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next_cursor = found
            .last()
            .filter(|_| more)
            .map(|last| last.node.uuid.to_string());
        Ok(Page {
            items: found.into_iter().map(|member| member.node).collect(),
            next_cursor,
        })
    }

    /// Gives up nodes that have been silent for too long, and puts right what a coordinator that died left half done.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn sweep(&self) -> Result<(), Problem> {
        let now = self.store.0.now();
        self.suspect(&self.store.all_members().await?, now).await?;
        let members = self.store.all_members().await?;
        count(&members);
        self.landmarks.renew(&members);
        let members = members
            .into_iter()
            .filter(|member| member.node.state != NodeState::Lost);
        self.tidy_seats(
            &members.map(|member| (member.node.uuid, member)).collect(),
            now,
        )
        .await
    }

    /// Frees seats of nodes that sit elsewhere or nowhere, and homes nodes whose supernode has gone.
    async fn tidy_seats(&self, members: &HashMap<NodeId, Member>, now: u64) -> Result<(), Problem> {
        let settled = now.saturating_sub(SEAT_SETTLES_WITHIN.as_millis() as u64);
        let seats: HashMap<NodeId, Seats> = self.store.seats().await?.into_iter().collect();
        for (supernode, seats) in &seats {
            if members
                .get(supernode)
                .is_none_or(|member| member.node.role != Role::Supernode)
            {
                self.store.close_seats(*supernode).await?;
                continue;
            }
            for child in seats.children.keys() {
                let sits = |member: &Member| member.node.primary_supernode == Some(*supernode);
                if !members.get(child).is_some_and(sits) {
                    self.store.rise(*supernode, *child, settled).await?;
                }
            }
        }
        for member in members.values() {
            if member
                .node
                .primary_supernode
                .is_some_and(|primary| !seats.contains_key(&primary))
            {
                self.rehome(member).await?;
            }
        }
        for member in members.values() {
            self.demote_if_idle(member, now).await?;
        }
        Ok(())
    }

    /// Tells that a node has gone, frees its seat, and homes its children elsewhere.
    async fn gone(&self, member: &Member, lost: bool) -> Result<(), Problem> {
        let node = member.node.uuid;
        self.bus
            .publish(event::NODE_GONE, &NodeGone { node, lost })
            .await?;
        self.store
            .leave_address(&member.node.advertise, node)
            .await?;
        if let Some(primary) = member.node.primary_supernode {
            self.store.rise(primary, node, u64::MAX).await?;
        }
        if member.node.role == Role::Supernode {
            self.close(node).await?;
        }
        Ok(())
    }

    /// Tells of a node. Nobody waits for it: who must know asks.
    async fn tell(&self, news: &str, member: &Member) {
        if let Err(error) = self
            .bus
            .publish(
                news,
                &NodeChanged {
                    node: member.node.clone(),
                },
            )
            .await
        {
            tracing::debug!(node.id = %member.node.uuid, %error, "a change was not told");
        }
    }

    async fn close(&self, supernode: NodeId) -> Result<(), Problem> {
        for child in self.store.close_seats(supernode).await? {
            let Some(member) = self.store.member(child).await? else {
                continue;
            };
            if member.node.primary_supernode == Some(supernode) {
                self.rehome(&member).await?;
            }
        }
        Ok(())
    }

    /// Gives a node another primary supernode, none if none has room.
    async fn rehome(&self, member: &Member) -> Result<Option<NodeId>, Problem> {
        let primary = self.find_seat(member).await?;
        if primary != member.node.primary_supernode {
            self.store
                .change(member.node.uuid, |member| {
                    member.node.primary_supernode = primary
                })
                .await?;
            let mut moved = member.clone();
            moved.node.primary_supernode = primary;
            self.tell(event::NODE_CHANGED, &moved).await;
        }
        Ok(primary)
    }

    async fn find_seat(&self, member: &Member) -> Result<Option<NodeId>, Problem> {
        let node = member.node.uuid;
        let seats = self.store.seats().await?;
        for supernode in candidates(node, &member.rtts, &seats, self.children_limit) {
            if self
                .store
                .sit(supernode, node, self.children_limit, self.store.0.now())
                .await?
            {
                return Ok(Some(supernode));
            }
        }
        Ok(None)
    }

    /// Leaves what the node had before it registered again elsewhere or as something else.
    async fn leave_old_place(
        &self,
        before: Option<&Member>,
        member: &Member,
    ) -> Result<(), Problem> {
        let Some(before) = before else { return Ok(()) };
        let node = member.node.uuid;
        let old = &before.node;
        if old.advertise != member.node.advertise {
            self.store.leave_address(&old.advertise, node).await?;
        }
        if let Some(primary) = old
            .primary_supernode
            .filter(|old| Some(*old) != member.node.primary_supernode)
        {
            self.store.rise(primary, node, u64::MAX).await?;
        }
        if old.role == Role::Supernode && member.node.role != Role::Supernode {
            self.close(node).await?;
        }
        Ok(())
    }

    /// Hands a heartbeat on to the broker. Without one nothing is renewed, and nothing said to be lost.
    async fn renew_tickets(&self, member: &Member, heartbeat: Heartbeat) -> Renewed {
        let ask = RenewTickets {
            heartbeat,
            node: member.node.clone(),
            rtts: member.rtts.clone(),
        };
        self.bus.request(&ask, BROKER_ANSWERS_WITHIN).await.unwrap_or_else(|error| {
            tracing::debug!(node.id = %member.node.uuid, %error, "the ticket broker did not renew tickets");
            nothing_renewed(member)
        })
    }

    /// Hands a heartbeat on to the directory. Without one the stream goes on, and the next heartbeat tells as much.
    async fn tell_directory(&self, heartbeat: Heartbeat) {
        let node = heartbeat.node;
        if let Err(error) = self
            .bus
            .request(&HearNode { heartbeat }, DIRECTORY_ANSWERS_WITHIN)
            .await
        {
            tracing::debug!(node.id = %node, %error, "the directory did not hear of a node");
        }
    }

    async fn keep_promised(&self, member: &Member, promised_kbps: u32) -> Result<(), Problem> {
        if promised_kbps == member.node.promised_kbps {
            return Ok(());
        }
        self.store
            .change(member.node.uuid, |member| {
                member.node.promised_kbps = promised_kbps
            })
            .await
    }
}

/// Tells how many nodes there are in each state.
fn count(members: &[Member]) {
    // There from the start, or the first loss would be no increase.
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

/// What is known of a node's tickets where the broker has not been asked.
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
        now: 0,
    }
}

/// The heartbeat that asks the broker for its keys only: it carries no time, streams or tickets.
fn nothing_said_yet(member: &Member) -> Heartbeat {
    Heartbeat {
        node: member.node.uuid,
        draining: false,
        limit_kbps: member.node.limit_kbps,
        viewer_kbps: 0,
        streams: vec![],
        serves: vec![],
        holds: vec![],
        rtts: vec![],
        generation: 0,
        sent_at: 0,
        notices: Vec::new(),
        process: member.process,
    }
}
