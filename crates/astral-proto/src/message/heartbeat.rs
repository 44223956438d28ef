//! Heartbeats: everything that a node carries, serves and holds, every two seconds.

use super::{HeldTicket, Landmark, OriginState, PublisherNotice, Renewed, ServedTicket};
use crate::model::Viewers;
use crate::{FrameId, Incarnation, Kbps, Micros, NodeId, Slug, UnixMillis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The complete state of a node, sent every two seconds. What it does not contain is no longer true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Heartbeat {
    /// The id of the node.
    pub node: NodeId,
    /// Whether the node drains.
    pub draining: bool,
    /// What it may send in total, kbit/s.
    pub limit_kbps: Kbps,
    /// What its viewers use, kbit/s.
    pub viewer_kbps: Kbps,
    /// Every stream that it carries.
    pub streams: Vec<Carried>,
    /// The tickets of the links that it serves.
    pub serves: Vec<ServedTicket>,
    /// The tickets that it pulls with or keeps as standbys.
    pub holds: Vec<HeldTicket>,
    /// Smoothed round-trip times to supernodes, microseconds. An empty list leaves the previous ones in force.
    #[serde(default)]
    pub rtts: Vec<(NodeId, u32)>,
    /// The last generation of the ledgers that it was told; 0 before. A provider grants nothing until it has sent its state
    /// in the current generation.
    pub generation: u32,
    /// When the message was sent, by the node's own clock, Unix milliseconds. It orders the messages of one node.
    pub sent_at: UnixMillis,
    /// What it told publishers in the last seconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<PublisherNotice>,
    /// The number of the process, as in its registration; 0 if unknown.
    #[serde(default)]
    pub process: u32,
}

/// The coordinator forwards a heartbeat to the directory. This is a request and not an event, because a directory that
/// misses it takes the origin for silent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForwardHeartbeat {
    /// The heartbeat as the node sent it.
    pub heartbeat: Heartbeat,
}

/// One stream on one relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Carried {
    /// The name of the stream.
    pub slug: Slug,
    /// The incarnation that the epoch belongs to. It restores the directory's record after a loss of state.
    #[serde(default)]
    pub incarnation: Incarnation,
    /// The epoch of the newest frame.
    pub epoch: u64,
    /// The nodes from the origin to this relay, including both.
    pub path: Vec<NodeId>,
    /// The provider of its standby ticket.
    pub standby: Option<NodeId>,
    /// The newest frame.
    pub newest: Option<FrameId>,
    /// The mean bitrate of the last 10 s; 0 while unknown.
    pub kbps: Kbps,
    /// The viewers at this relay.
    pub viewers: Viewers,
    /// Present only at the origin.
    pub origin: Option<OriginState>,
    /// How far the relay is; None before the first frame.
    #[serde(default)]
    pub progress: Option<Progress>,
}

/// How far a relay is with a stream, and whether frames arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// The end of its newest frame on the stream's timeline, microseconds.
    pub end_dts: Micros,
    /// For how long no frame had arrived, milliseconds.
    pub silent_ms: u64,
}

/// The answer to a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeartbeatReply {
    /// Whether the node must register (again) first.
    pub register: bool,
    /// The supernode that it is attached to now.
    pub primary_supernode: Option<NodeId>,
    /// The public keys that sign tickets, newest first, base64url.
    pub ticket_keys: Vec<String>,
    /// What happened to its tickets.
    pub tickets: Renewed,
    /// Supernodes whose distance the node should measure.
    #[serde(default)]
    pub supernodes: Vec<Landmark>,
    /// The date by the clock that tickets expire by, Unix milliseconds; 0 if unknown.
    #[serde(default)]
    pub now: UnixMillis,
}
