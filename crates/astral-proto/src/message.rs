//! What travels on the bus, as JSON, and on which subjects.
//!
//! A request goes to `astral.<service>.<verb>`, to one node at `astral.node.<uuid>.<verb>`; an event to
//! `astral.event.<kind>.<what>`. A reply is the type named beside the subject, or a [`crate::Problem`].

use crate::model::{Fault, Role, Ticket, Viewers};
use crate::{FrameId, NodeId, Slug, TicketId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

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

requests! {
    GoLive          "astral.directory.go_live"          => Grant;
    PublisherGone   "astral.directory.publisher_gone"   => ();
    CreateStream    "astral.directory.create"           => crate::model::Stream;
    GetStream       "astral.directory.get"              => crate::model::Stream;
    ListStreams     "astral.directory.list"             => crate::model::Page<crate::model::Stream>;
    DeleteStream    "astral.directory.delete"           => ();
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
}

node_requests! {
    Probe  "probe"  => Probed;
    Fence  "fence"  => ();
    Fetch  "fetch"  => Fetched;
    Revoke "revoke" => ();
    Inject "inject" => ();
}

/// Events, published by whoever changed the thing.
pub mod event {
    /// Subject of [`super::StreamChanged`].
    pub const STREAM_CHANGED: &str = "astral.event.stream.changed";
    /// Subject of [`super::Heartbeat`], sent on by the coordinator for whoever keeps state by it.
    pub const NODE_HEARTBEAT: &str = "astral.event.node.heartbeat";
    /// Subject of [`super::NodeGone`].
    pub const NODE_GONE: &str = "astral.event.node.gone";
}

/// A publisher has come to a relay that would be origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoLive {
    /// The stream.
    pub slug: Slug,
    /// The publish key, if the publisher gave one.
    pub key: Option<String>,
    /// The relay that asks.
    pub node: NodeId,
    /// The newest frame of the stream this relay holds, if it carries it.
    pub newest: Option<FrameId>,
    /// The end of that frame on the stream's timeline, microseconds.
    pub newest_dts: Option<u64>,
}

/// The right to be origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublisherGone {
    /// The stream.
    pub slug: Slug,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginState {
    /// The newest frame.
    pub newest: FrameId,
    /// The end of that frame on the stream's timeline, microseconds.
    pub newest_dts: u64,
    /// Discontinuities so far.
    pub discontinuity: u64,
    /// Target duration, once fixed, seconds.
    pub target_duration_seconds: Option<u32>,
    /// When the publisher last sent media, Unix milliseconds.
    pub last_media_at: u64,
}

/// Make a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateStream {
    /// Its name.
    pub slug: Slug,
    /// The key its publisher must give; none for open publishing.
    pub key: Option<String>,
}

/// Look a stream up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetStream {
    /// Its name.
    pub slug: Slug,
}

/// List streams by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListStreams {
    /// Start after this name.
    pub cursor: Option<String>,
    /// At most so many, 1 to 1000.
    pub limit: u32,
}

/// Take a stream off the list; its publisher is cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteStream {
    /// Its name.
    pub slug: Slug,
}

/// A stream has come, changed or gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamChanged {
    /// The stream.
    pub slug: Slug,
    /// The stream as it is now; none once deleted.
    pub stream: Option<crate::model::Stream>,
}

/// A node joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// What it may spend upstream, kbit/s.
    pub limit_kbps: u32,
    /// Round trips to supernodes, smoothed, microseconds.
    pub rtts: Vec<(NodeId, u32)>,
}

/// A node has joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registered {
    /// The role it got: `node` or `supernode`.
    pub role: Role,
    /// The supernode it hangs off; none for supernodes.
    pub primary_supernode: Option<NodeId>,
    /// Keys that sign tickets, newest first, base64url.
    pub ticket_keys: Vec<String>,
}

/// What one node carries, serves and holds: the whole truth, every 2 s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    pub serves: Vec<TicketId>,
    /// Tickets it pulls by or keeps as standby.
    pub holds: Vec<TicketId>,
    /// When it was said, Unix milliseconds, by the node's clock; orders the node's own messages.
    pub sent_at: u64,
}

/// One stream on one relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    /// The stream.
    pub slug: Slug,
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
}

/// Answer to a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatReply {
    /// Whether the node must register (again) first.
    pub register: bool,
    /// The supernode it hangs off now.
    pub primary_supernode: Option<NodeId>,
    /// Keys that sign tickets, newest first, base64url.
    pub ticket_keys: Vec<String>,
    /// What became of its tickets.
    pub tickets: Renewed,
}

/// A node leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leave {
    /// The node.
    pub node: NodeId,
}

/// A node's lease has ended or it has left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeGone {
    /// The node.
    pub node: NodeId,
}

/// Look a node up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetNode {
    /// Its id.
    pub node: NodeId,
}

/// List nodes by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListNodes {
    /// Start after this id.
    pub cursor: Option<String>,
    /// At most so many, 1 to 1000.
    pub limit: u32,
}

/// A relay needs a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestTicket {
    /// The stream.
    pub slug: Slug,
    /// The relay that asks.
    pub subscriber: NodeId,
    /// Providers it will not have, since they have just failed it.
    pub exclude: Vec<NodeId>,
}

/// A ticket ready for use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// Its id.
    pub id: TicketId,
    /// Who sends.
    pub provider: NodeId,
    /// host:port to pull from.
    pub advertise: String,
    /// The signed ticket, sent as bearer token.
    pub token: String,
}

/// What a relay that needs a stream gets: an offer, to be confirmed, and a standby if there is any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tickets {
    /// To pull by now.
    pub active: Offer,
    /// To pull by when the first fails.
    pub standby: Option<Offer>,
}

/// A standby, if there is any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standby {
    /// To pull by when the active one fails.
    pub standby: Option<Offer>,
}

/// The link by this ticket is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmTicket {
    /// The ticket.
    pub id: TicketId,
    /// Its owner.
    pub subscriber: NodeId,
}

/// A subscriber has failed over to its standby and wants a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwitchTicket {
    /// The stream.
    pub slug: Slug,
    /// Its owner.
    pub subscriber: NodeId,
    /// The ticket in use now, a standby until this moment; none asks for a standby only.
    pub active: TicketId,
    /// The ticket left behind.
    pub left: Option<TicketId>,
}

/// A ticket is no longer wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelTicket {
    /// The ticket.
    pub id: TicketId,
    /// Its owner, or its provider.
    pub node: NodeId,
}

/// The coordinator hands a heartbeat on for its tickets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewTickets {
    /// The heartbeat.
    pub heartbeat: Heartbeat,
    /// The node as the coordinator has it: where it is reached, its role, its primary supernode.
    pub node: crate::model::Node,
    /// Round trips to supernodes as the node told them, microseconds.
    pub rtts: Vec<(NodeId, u32)>,
}

/// What became of a node's tickets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewed {
    /// Tickets signed again because their validity ran low.
    pub resigned: Vec<Offer>,
    /// Tickets the node holds that are no longer good.
    pub lost: Vec<TicketId>,
    /// Keys that sign tickets, newest first, base64url.
    pub ticket_keys: Vec<String>,
    /// What the node has promised to others by tickets, kbit/s.
    pub promised_kbps: u32,
}

/// List tickets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListTickets {
    /// Of this stream only.
    pub slug: Option<Slug>,
    /// Start after this id.
    pub cursor: Option<String>,
    /// At most so many, 1 to 1000.
    pub limit: u32,
}

/// A stream's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetTree {
    /// The stream.
    pub slug: Slug,
}

/// How far are you with this stream?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// The stream.
    pub slug: Slug,
}

/// How far a relay is with a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probed {
    /// The stream there, none if it is not carried.
    pub carried: Option<Carried>,
    /// How long ago its publisher sent media; none if it is not the origin or has no publisher.
    pub publisher_silent_ms: Option<u64>,
}

/// Another relay is origin now; whoever has a lower epoch becomes a subscriber.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fence {
    /// The stream.
    pub slug: Slug,
    /// The new epoch.
    pub epoch: u64,
}

/// Get this stream, a child of yours wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    /// The stream.
    pub slug: Slug,
}

/// The stream is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetched {
    /// How it is carried.
    pub carried: Carried,
}

/// A ticket is no longer good: close its link once the subscriber has its next one, or in 5 s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// The ticket.
    pub id: TicketId,
}

/// Put a fault on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inject {
    /// What fails.
    pub fault: Fault,
    /// For how long, seconds.
    pub seconds: u32,
}
