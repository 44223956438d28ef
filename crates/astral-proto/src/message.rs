//! What travels on the bus, as JSON, and on which subjects.
//!
//! A request goes to `astral.<service>.<verb>`, to one node at `astral.node.<uuid>.<verb>`; an event to
//! `astral.event.<kind>.<what>`. A reply is the type named beside the subject, or a [`crate::Problem`].

mod notice;
mod stamp;
mod streams;
mod tickets;
mod to_node;

use crate::model::{Role, Ticket, Viewers};
use crate::{FrameId, Incarnation, NodeId, Secret, Slug};
pub use notice::{NoticeKind, PublisherNotice};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
pub use streams::{
    ChangeStream, CreateStream, DeleteStream, GetStream, ListStreams, StreamChanged,
};
pub use tickets::{
    CancelTicket, ConfirmTicket, FindFlowing, Flowing, GetTree, HeldTicket, LEFT_MAX, ListTickets,
    Offer, RenewTickets, Renewed, Replacement, RequestTicket, ServedTicket, Standby, SwitchTicket,
    TicketChanged, Tickets,
};
pub use to_node::{Fence, FenceReason, Fetch, Fetched, Inject, Move, Probe, Probed, Revoke};

/// A request with the subject it goes to and the reply it gets.
pub trait Request: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its subject.
    const SUBJECT: &'static str;
    /// What a good answer carries.
    type Reply: Serialize + DeserializeOwned + Send + Sync + 'static;
}

/// A request to one node, at `astral.node.<uuid>.<VERB>`.
pub trait NodeRequest: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The last part of its subject.
    const VERB: &'static str;
    /// What a good answer carries.
    type Reply: Serialize + DeserializeOwned + Send + Sync + 'static;
}

/// The subject on which `node` takes requests of type `R`.
pub fn node_subject<R: NodeRequest>(node: NodeId) -> String {
    format!("astral.node.{node}.{}", R::VERB)
}

macro_rules! requests {
    ($($request:ident $subject:literal => $reply:ty;)*) => {
        $(impl Request for $request {
            const SUBJECT: &'static str = $subject;
            type Reply = $reply;
        })*
    };
}

macro_rules! node_requests {
    ($($request:ident $verb:literal => $reply:ty;)*) => {
        $(impl NodeRequest for $request {
            const VERB: &'static str = $verb;
            type Reply = $reply;
        })*
    };
}

/// Passes the table of requests to the services to the macro `$use`.
macro_rules! each_request {
    ($use:ident) => {
        $use! {
        GoLive          "astral.directory.go_live"          => Grant;
        PublisherGone   "astral.directory.publisher_gone"   => ();
        CreateStream    "astral.directory.create"           => crate::model::Stream;
        ChangeStream    "astral.directory.change"           => crate::model::Stream;
        GetStream       "astral.directory.get"              => crate::model::Stream;
        ListStreams     "astral.directory.list"             => crate::model::Page<crate::model::Stream>;
        DeleteStream    "astral.directory.delete"           => ();
        HearNode        "astral.directory.hear"             => ();
        Register        "astral.supernode-coordinator.register"  => Registered;
        Heartbeat       "astral.supernode-coordinator.heartbeat" => HeartbeatReply;
        Leave           "astral.supernode-coordinator.leave"     => ();
        GetNode         "astral.supernode-coordinator.get"       => crate::model::Node;
        ListNodes       "astral.supernode-coordinator.list"      => crate::model::Page<crate::model::Node>;
        RequestTicket   "astral.ticket-broker.request"      => Tickets;
        ConfirmTicket   "astral.ticket-broker.confirm"      => ();
        SwitchTicket    "astral.ticket-broker.switch"       => Standby;
        CancelTicket    "astral.ticket-broker.cancel"       => ();
        RenewTickets    "astral.ticket-broker.renew"        => Renewed;
        ListTickets     "astral.ticket-broker.list"         => crate::model::Page<Ticket>;
        GetTree         "astral.ticket-broker.tree"         => crate::model::Tree;
        FindFlowing     "astral.ticket-broker.flowing"      => Flowing;
        }
    };
}
each_request!(requests);

/// Passes the table of requests to nodes to the macro `$use`.
macro_rules! each_node_request {
    ($use:ident) => {
        $use! {
        Probe  "probe"  => Probed;
        Fence  "fence"  => ();
        Fetch  "fetch"  => Fetched;
        Revoke "revoke" => ();
        Move   "move"   => ();
        Inject "inject" => ();
        }
    };
}
each_node_request!(node_requests);

/// Events, published by whoever changed the thing. Each goes with a [`event::Stamp`].
pub mod event {
    pub use super::stamp::{Stamp, StampError};

    /// Subject of [`super::StreamChanged`] for a stream not known before.
    pub const STREAM_CREATED: &str = "astral.event.stream.created";
    /// Subject of [`super::StreamChanged`] for one that has been deleted.
    pub const STREAM_GONE: &str = "astral.event.stream.gone";
    /// Subject of [`super::StreamChanged`] for any other.
    pub const STREAM_CHANGED: &str = "astral.event.stream.changed";
    /// Subject of [`super::Heartbeat`], sent on by the coordinator for whoever wants to know.
    pub const NODE_HEARTBEAT: &str = "astral.event.node.heartbeat";
    /// Subject of [`super::NodeChanged`] for a node not known before.
    pub const NODE_CREATED: &str = "astral.event.node.created";
    /// Subject of [`super::NodeChanged`] for one that has registered again, or hangs off another supernode.
    pub const NODE_CHANGED: &str = "astral.event.node.changed";
    /// Subject of [`super::NodeGone`].
    pub const NODE_GONE: &str = "astral.event.node.gone";
    /// Subject of [`super::TicketChanged`] for one that has been offered.
    pub const TICKET_CREATED: &str = "astral.event.ticket.created";
    /// Subject of [`super::TicketChanged`] for one that has been confirmed, or was a standby and is in use.
    pub const TICKET_CHANGED: &str = "astral.event.ticket.changed";
    /// Subject of [`super::TicketChanged`] for one that has ended.
    pub const TICKET_GONE: &str = "astral.event.ticket.gone";
    /// Subject of [`super::NodeAttached`].
    pub const NODE_ATTACHED: &str = "astral.event.node.attached";
}

/// A publisher has come to a relay that would be origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GoLive {
    /// The stream.
    pub slug: Slug,
    /// The publish key, if the publisher gave one.
    pub key: Option<Secret>,
    /// The relay that asks.
    pub node: NodeId,
    /// The newest frame of the stream this relay holds, if it carries it.
    pub newest: Option<FrameId>,
    /// The end of that frame on the stream's timeline, microseconds.
    pub newest_dts: Option<u64>,
    /// The incarnation that frame is of.
    #[serde(default)]
    pub incarnation: Incarnation,
    /// The publish that frame is of; 0 if none is held.
    #[serde(default)]
    pub epoch: u64,
}

/// The right to be origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// The history that the publish belongs to.
    #[serde(default)]
    pub incarnation: Incarnation,
    /// The publish that starts now.
    pub epoch: u64,
    /// The number of its first GOP.
    pub first_gop: u64,
    /// Where its first frame stands on the stream's timeline, microseconds.
    pub first_dts: u64,
    /// Discontinuities before its first GOP; parameters that differ add to it.
    pub discontinuity: u64,
    /// The stream's target duration, once its first origin fixed it, seconds.
    pub target_duration_seconds: Option<u32>,
}

/// The publisher of an origin has gone; its grace window starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublisherGone {
    /// The stream.
    pub slug: Slug,
    /// The history that the publish belongs to.
    #[serde(default)]
    pub incarnation: Incarnation,
    /// The publish that broke off; older ones are ignored.
    pub epoch: u64,
    /// The origin.
    pub node: NodeId,
    /// Whether the grace window is over too, so that the stream has ended.
    pub ended: bool,
    /// The stream as the origin knows it at that moment.
    pub origin: OriginState,
}

/// How far an origin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OriginState {
    /// The newest frame.
    pub newest: FrameId,
    /// The end of that frame on the stream's timeline, microseconds.
    pub newest_dts: u64,
    /// Discontinuities so far.
    pub discontinuity: u64,
    /// Target duration, once fixed, seconds.
    pub target_duration_seconds: Option<u32>,
    /// For how long the publisher had sent no media when this was said, milliseconds: clocks differ, spans do not.
    pub silent_ms: u64,
}

/// A node joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Register {
    /// Its id.
    pub node: NodeId,
    /// The role it wants.
    pub role: Role,
    /// Base URL for viewers.
    pub media_url: String,
    /// `rtmp://host:port/live`.
    pub rtmp_url: String,
    /// host:port that other relays pull from.
    pub advertise: String,
    /// What people call it; empty if it has no name.
    #[serde(default)]
    pub name: String,
    /// What it may spend upstream, kbit/s.
    pub limit_kbps: u32,
    /// Round trips to supernodes, smoothed, microseconds.
    pub rtts: Vec<(NodeId, u32)>,
    /// The process that is the node, a number that it drew at its start; 0 if it does not say. By it a node that is back is
    /// told from two nodes with one id.
    #[serde(default)]
    pub process: u32,
    /// When it was said, Unix milliseconds, by the node's clock; 0 if it does not say.
    #[serde(default)]
    pub sent_at: u64,
}

/// A node has joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registered {
    /// The role it got: `node` or `supernode`.
    pub role: Role,
    /// The supernode it hangs off; none for supernodes.
    pub primary_supernode: Option<NodeId>,
    /// Keys that sign tickets, newest first, base64url.
    pub ticket_keys: Vec<String>,
    /// The ledger's generation, 0 if it could not be told.
    pub generation: u32,
    /// Supernodes to measure the way to.
    #[serde(default)]
    pub supernodes: Vec<Landmark>,
    /// What time it is by the clock that tickets end by, Unix milliseconds; 0 if it is not said.
    #[serde(default)]
    pub now: u64,
}

/// A supernode to measure the way to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Landmark {
    /// The supernode.
    pub node: NodeId,
    /// host:port of its media listener.
    pub advertise: String,
}

/// What one node carries, serves and holds: the whole truth, every 2 s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Heartbeat {
    /// The node.
    pub node: NodeId,
    /// Whether it drains.
    pub draining: bool,
    /// What it may spend upstream, kbit/s.
    pub limit_kbps: u32,
    /// What its viewers use, kbit/s.
    pub viewer_kbps: u32,
    /// Every stream it carries.
    pub streams: Vec<Carried>,
    /// Tickets whose link it serves.
    pub serves: Vec<ServedTicket>,
    /// Tickets it pulls by or keeps as standby.
    pub holds: Vec<HeldTicket>,
    /// Round trips to supernodes, smoothed, microseconds; those told before stand if there are none.
    #[serde(default)]
    pub rtts: Vec<(NodeId, u32)>,
    /// The ledger's generation as last told, 0 before. A provider grants only by what it stated in the current one.
    pub generation: u32,
    /// When it was said, Unix milliseconds, by the node's clock; orders the node's own messages.
    pub sent_at: u64,
    /// What publishers were told here in the last seconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<PublisherNotice>,
    /// The process that is the node, as it registered; 0 if it does not say.
    #[serde(default)]
    pub process: u32,
}

/// The coordinator hands a heartbeat on to the directory, which must not miss it: an origin that it does not hear of
/// seems to be silent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HearNode {
    /// The heartbeat.
    pub heartbeat: Heartbeat,
}

/// One stream on one relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Carried {
    /// The stream.
    pub slug: Slug,
    /// The history that the publish belongs to. It brings the directory's record back after a wipe of the state.
    #[serde(default)]
    pub incarnation: Incarnation,
    /// Its publish.
    pub epoch: u64,
    /// Nodes from the origin to this relay, both included.
    pub path: Vec<NodeId>,
    /// Who it would pull from next.
    pub standby: Option<NodeId>,
    /// The newest frame.
    pub newest: Option<FrameId>,
    /// Mean bitrate over 10 s; 0 until known.
    pub kbps: u32,
    /// Who watches here.
    pub viewers: Viewers,
    /// Present at the origin alone.
    pub origin: Option<OriginState>,
    /// How far it is and whether it goes on; none before the first frame.
    #[serde(default)]
    pub progress: Option<Progress>,
}

/// How far a relay is with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// The end of its newest frame on the stream's timeline, microseconds.
    pub end_dts: u64,
    /// For how long no frame had come when this was said, milliseconds.
    pub silent_ms: u64,
}

/// Answer to a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeartbeatReply {
    /// Whether the node must register (again) first.
    pub register: bool,
    /// The supernode it hangs off now.
    pub primary_supernode: Option<NodeId>,
    /// Keys that sign tickets, newest first, base64url.
    pub ticket_keys: Vec<String>,
    /// What became of its tickets.
    pub tickets: Renewed,
    /// Supernodes to measure the way to.
    #[serde(default)]
    pub supernodes: Vec<Landmark>,
    /// What time it is by the clock that tickets end by, Unix milliseconds; 0 if it is not said.
    #[serde(default)]
    pub now: u64,
}

/// A node leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Leave {
    /// The node.
    pub node: NodeId,
}

/// A node has come or changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeChanged {
    /// The node as it is now.
    pub node: crate::model::Node,
}

/// A node has left or is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeGone {
    /// The node.
    pub node: NodeId,
    /// Whether it was lost and did not say goodbye. Then it may still run where nobody here hears it, so its links are
    /// left to the relays at their other ends.
    #[serde(default)]
    pub lost: bool,
}

/// A node outside the cluster takes its requests over a socket of a gateway; sockets it opened before are closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeAttached {
    /// The node.
    pub node: NodeId,
    /// The socket.
    pub socket: uuid::Uuid,
}

/// Look a node up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetNode {
    /// Its id.
    pub node: NodeId,
}

/// List nodes by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListNodes {
    /// Start after this id.
    pub cursor: Option<String>,
    /// At most so many, 1 to 1000.
    pub limit: u32,
}

#[cfg(test)]
mod golden;
