//! Nodes: how they join and leave, and how they are looked up.

use crate::model::{Node, Role};
use crate::{Kbps, NodeId, UnixMillis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A node joins the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Register {
    /// The id of the node.
    pub node: NodeId,
    /// The role that it asks for.
    pub role: Role,
    /// The base URL for its viewers.
    pub media_url: String,
    /// `rtmp://host:port/live`, where it takes publishers.
    pub rtmp_url: String,
    /// host:port from which other relays pull.
    pub advertise: String,
    /// A name for people; empty if it has none.
    #[serde(default)]
    pub name: String,
    /// What it may send in total, kbit/s.
    pub limit_kbps: Kbps,
    /// Smoothed round-trip times to supernodes, microseconds.
    pub rtts: Vec<(NodeId, u32)>,
    /// A number that the process drew at its start; 0 if unknown. It tells a node that has restarted from two nodes with
    /// the same id.
    #[serde(default)]
    pub process: u32,
    /// When the message was sent, by the node's own clock, Unix milliseconds; 0 if unknown.
    #[serde(default)]
    pub sent_at: UnixMillis,
}

/// A node has joined the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registered {
    /// The role that it got: `node` or `supernode`.
    pub role: Role,
    /// The supernode that it is attached to; None for supernodes.
    pub primary_supernode: Option<NodeId>,
    /// The public keys that sign tickets, newest first, base64url.
    pub ticket_keys: Vec<String>,
    /// The generation of the ledgers; 0 if unknown.
    pub generation: u32,
    /// Supernodes whose distance the node should measure.
    #[serde(default)]
    pub supernodes: Vec<Landmark>,
    /// The date by the clock that tickets expire by, Unix milliseconds; 0 if unknown.
    #[serde(default)]
    pub now: UnixMillis,
}

/// A supernode whose distance a node should measure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Landmark {
    /// The id of the supernode.
    pub node: NodeId,
    /// host:port of its media listener.
    pub advertise: String,
}

/// A node leaves the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Leave {
    /// The id of the node.
    pub node: NodeId,
}

/// A node is new or has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeChanged {
    /// The node after the change.
    pub node: Node,
}

/// A node has left or is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeGone {
    /// The id of the node.
    pub node: NodeId,
    /// Whether it was lost instead of leaving by itself. It may still run, cut off from the control plane, so the relays at
    /// the other ends decide about its links.
    #[serde(default)]
    pub lost: bool,
}

/// A node outside the cluster has opened a socket to a gateway and takes its requests there. Its older sockets are closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeAttached {
    /// The id of the node.
    pub node: NodeId,
    /// The id of the socket.
    pub socket: uuid::Uuid,
}

/// Looks a node up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetNode {
    /// The id of the node.
    pub node: NodeId,
}

/// Lists nodes in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListNodes {
    /// The page starts after this id; None for the first page.
    pub cursor: Option<String>,
    /// The largest number of nodes in the page, 1 to 1000.
    pub limit: u32,
}
