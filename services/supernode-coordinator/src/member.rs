//! One node as the coordinator stores it, and what a heartbeat or silence changes.

use crate::Error;
use astral_proto::limits::LEASE;
use astral_proto::message::{Heartbeat, Register};
use astral_proto::model::{Node, NodeState, Role};
use astral_proto::{Kbps, NodeId, UnixMillis};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a lost node stays on the list.
pub const LOST_KEPT: Duration = Duration::from_secs(60);
/// How often the entry of a suspected node is renewed while its links flow, so that the entry does not expire.
const FLOWING_NOTED_EVERY: Duration = Duration::from_secs(30);
/// The longest URL or address of a node, in bytes.
const ADDRESS_BYTES_MAX: usize = 512;
/// The longest name of a node, in bytes. The name of a Kubernetes pod has at most 253.
const NAME_BYTES_MAX: usize = 253;
/// The largest number of round-trip times that a node may report.
const RTTS_MAX: usize = 1_000;

/// One node as the coordinator stores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The node as users see it.
    pub node: Node,
    /// The role that it asked for.
    pub asked: Role,
    /// Round-trip times to supernodes, microseconds.
    pub rtts: Vec<(NodeId, u32)>,
    /// When its last heartbeat or registration arrived, by the clock of the state.
    pub heard_at: UnixMillis,
    /// When its last heartbeat was sent, by the clock of the node; 0 before the first.
    pub sent_at: UnixMillis,
    /// When a link of this silent node was last noted to flow; 0 if never.
    #[serde(default)]
    pub flowed_at: UnixMillis,
    /// The number of the node's process; 0 if unknown.
    #[serde(default)]
    pub process: u32,
}

/// What the coordinator does with a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeartbeatOutcome {
    /// The node is unknown or lost, or another process has its id. It must register first.
    MustRegister,
    /// A later heartbeat has arrived before this one, so this one changes nothing.
    Outdated(Box<Member>),
    /// The node is alive. This is its new entry.
    Renewed(Box<Member>),
}

/// What the silence of a node means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nothing, or nothing new.
    Insignificant,
    /// The lease has ended, but a link of the node flows. This is its new entry.
    Suspected(Box<Member>),
    /// The lease has ended, and no link of the node flows. This is its new entry.
    Lost(Box<Member>),
    /// The node has been lost for so long that its entry is removed.
    Forgotten,
}

/// Checks the limits of a registration.
///
/// # Errors
/// `bad_request` with the field and its limit.
pub fn check_registration(request: &Register) -> Result<(), Error> {
    for (field, text) in [
        ("media_url", &request.media_url),
        ("rtmp_url", &request.rtmp_url),
        ("advertise", &request.advertise),
    ] {
        if text.is_empty() || text.len() > ADDRESS_BYTES_MAX {
            return Err(Error::AddressLength {
                field,
                bytes: text.len(),
                max: ADDRESS_BYTES_MAX,
            });
        }
    }
    if request.name.len() > NAME_BYTES_MAX {
        return Err(Error::NameTooLong {
            bytes: request.name.len(),
            max: NAME_BYTES_MAX,
        });
    }
    if request.rtts.len() > RTTS_MAX {
        return Err(Error::TooManyRoundTrips {
            count: request.rtts.len(),
            max: RTTS_MAX,
        });
    }
    Ok(())
}

/// The entry of a node that registers, before it has a role and a supernode. The load that its earlier heartbeats reported
/// is kept.
pub fn new_member(request: &Register, before: Option<&Member>, now: UnixMillis) -> Member {
    let before = before.map(|member| &member.node);
    let node = Node {
        uuid: request.node,
        name: request.name.clone(),
        role: Role::Node,
        state: NodeState::Up,
        media_url: request.media_url.clone(),
        rtmp_url: request.rtmp_url.clone(),
        advertise: request.advertise.clone(),
        primary_supernode: None,
        limit_kbps: request.limit_kbps,
        promised_kbps: before.map_or(Kbps::ZERO, |node| node.promised_kbps),
        viewer_kbps: before.map_or(Kbps::ZERO, |node| node.viewer_kbps),
        streams: before.map_or(0, |node| node.streams),
    };
    Member {
        node,
        asked: request.role,
        rtts: request.rtts.clone(),
        heard_at: now,
        sent_at: UnixMillis::ZERO,
        flowed_at: UnixMillis::ZERO,
        process: request.process,
    }
}

/// Applies a heartbeat that arrives at `now` to the entry of its node.
pub fn apply_heartbeat(
    member: Option<Member>,
    heartbeat: &Heartbeat,
    now: UnixMillis,
) -> HeartbeatOutcome {
    let Some(mut member) = member.filter(|member| member.node.state != NodeState::Lost) else {
        return HeartbeatOutcome::MustRegister;
    };
    if is_another_process(member.process, heartbeat.process) {
        // Another process has registered with this id. Registering again tells this one whether the other is alive.
        return HeartbeatOutcome::MustRegister;
    }
    if heartbeat.sent_at <= member.sent_at {
        return HeartbeatOutcome::Outdated(Box::new(member));
    }
    member.heard_at = now;
    member.sent_at = heartbeat.sent_at;
    member.node.state = if heartbeat.draining {
        NodeState::Draining
    } else {
        NodeState::Up
    };
    if !heartbeat.rtts.is_empty() {
        member.rtts = heartbeat.rtts.iter().copied().take(RTTS_MAX).collect();
    }
    member.node.limit_kbps = heartbeat.limit_kbps;
    member.node.viewer_kbps = heartbeat.viewer_kbps;
    member.node.streams = u32::try_from(heartbeat.streams.len()).unwrap_or(u32::MAX);
    HeartbeatOutcome::Renewed(Box::new(member))
}

impl Member {
    /// Whether the lease of the node has ended, and the coordinator has not declared it lost yet.
    pub fn is_silent(&self, now: UnixMillis) -> bool {
        self.node.state != NodeState::Lost && now.since(self.heard_at) >= LEASE
    }
}

/// Judges the silence of a node at `now`. During a `truce` silence means nothing. `flows` says whether a relay at the other
/// end of a link of this node reports that the link flows.
pub fn judge_silence(member: &Member, now: UnixMillis, truce: bool, flows: bool) -> Silence {
    if member.node.state == NodeState::Lost {
        return if now.since(member.heard_at) >= LEASE + LOST_KEPT {
            Silence::Forgotten
        } else {
            Silence::Insignificant
        };
    }
    if !member.is_silent(now) || truce {
        return Silence::Insignificant;
    }
    if flows {
        suspect(member, now)
    } else {
        lose(member)
    }
}

fn suspect(member: &Member, now: UnixMillis) -> Silence {
    let is_known = member.node.state == NodeState::Suspected;
    if is_known && now.since(member.flowed_at) < FLOWING_NOTED_EVERY {
        return Silence::Insignificant;
    }
    let mut member = member.clone();
    member.node.state = NodeState::Suspected;
    member.flowed_at = now;
    Silence::Suspected(Box::new(member))
}

fn lose(member: &Member) -> Silence {
    let mut member = member.clone();
    member.node.state = NodeState::Lost;
    member.node.primary_supernode = None;
    Silence::Lost(Box::new(member))
}

/// Whether both numbers are known and belong to different processes.
fn is_another_process(one: u32, other: u32) -> bool {
    one != 0 && other != 0 && one != other
}

/// Whether a node that registers may be a second one with the same id, so that the coordinator must ask whether the first
/// is alive. A lost node is not asked.
pub fn may_be_twin(known: Option<&Member>, request: &Register) -> bool {
    known.is_some_and(|known| {
        known.node.state != NodeState::Lost && is_another_process(known.process, request.process)
    })
}

/// How far the clock of a node that registers is ahead of `now`, milliseconds; None if the node did not send its date.
pub fn clock_ahead_ms(request: &Register, now: UnixMillis) -> Option<i64> {
    let sent_at = request.sent_at;
    (!sent_at.is_zero()).then(|| sent_at.get().cast_signed() - now.get().cast_signed())
}

/// What is known about the node that has an address, when another node claims the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolderState {
    /// It is lost or unknown.
    Gone,
    /// It has just registered, so it is alive.
    Alive,
    /// Its lease runs. Ask it: a crashed process does not answer, and its successor should not have to wait for the lease.
    AskHolder,
    /// It is silent. Ask its neighbours whether one of its links flows.
    AskNeighbours,
}

/// What is known at `now` about the node that has an address.
pub fn judge_holder(holder: Option<&Member>, now: UnixMillis) -> HolderState {
    match holder {
        None => HolderState::Gone,
        Some(member) if member.node.state == NodeState::Lost => HolderState::Gone,
        Some(member) if member.is_silent(now) => HolderState::AskNeighbours,
        Some(member) if member.sent_at.is_zero() => HolderState::Alive,
        Some(_) => HolderState::AskHolder,
    }
}

#[cfg(test)]
pub(crate) mod tests;
