//! Streams, nodes, tickets and trees, as REST shows them and services store them.

use crate::{FrameId, Kbps, NodeId, Slug, TicketId, UnixMillis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// The cursor of the next page; None on the last page.
    pub next_cursor: Option<String>,
}

/// The state of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreamState {
    /// It exists, and nobody has published it yet.
    Idle,
    /// A publisher sends it.
    Live,
    /// Its publisher has left and may resume within the grace window.
    Grace,
    /// Its owner has paused it.
    Paused,
    /// Its last publish has ended.
    Ended,
    /// A state of a later version. No viewer is sent to the stream.
    #[serde(other)]
    Unknown,
}

/// The number of viewers by protocol. `flv` and `rtmp` count connections; `hls` counts the players that fetched a playlist
/// in the last 10 s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Viewers {
    /// Open HTTP-FLV connections.
    pub flv: u32,
    /// Open RTMP play connections.
    pub rtmp: u32,
    /// HLS players.
    pub hls: u32,
}

impl Viewers {
    /// The number of viewers over all protocols.
    pub fn total(&self) -> u32 {
        self.flv + self.rtmp + self.hls
    }
}

impl std::ops::AddAssign for Viewers {
    fn add_assign(&mut self, other: Self) {
        self.flv += other.flv;
        self.rtmp += other.rtmp;
        self.hls += other.hls;
    }
}

/// A stream as users see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stream {
    /// The name in URLs.
    pub slug: Slug,
    /// The state of the stream.
    pub state: StreamState,
    /// The current or last epoch; 0 before the first publish.
    pub epoch: u64,
    /// The relay that receives the stream from its publisher.
    pub origin: Option<NodeId>,
    /// The mean bitrate of the last 10 s, kbit/s; 0 while unknown.
    pub kbps: Kbps,
    /// When the current publish started, Unix milliseconds.
    pub started_at: Option<UnixMillis>,
    /// When a publisher last sent media, as far as the directory knows, Unix milliseconds.
    #[serde(default)]
    pub last_seen_at: Option<UnixMillis>,
    /// The viewers at all relays.
    pub viewers: Viewers,
    /// What the present publisher should change in its encoder, at most one for each reason.
    #[serde(default)]
    pub warnings: Vec<Notice>,
    /// Why a relay last refused a publisher of this stream. It may have been another publisher than the present one.
    #[serde(default)]
    pub last_refusal: Option<Notice>,
}

/// What a relay told a publisher. It contains no secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// A short word that never changes, such as `open_gop` or `unauthenticated`.
    pub reason: String,
    /// What was wrong and what to do: a sentence for the person who runs the encoder.
    pub detail: String,
    /// When the relay told it, Unix milliseconds.
    pub at: UnixMillis,
}

/// The role of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The coordinator chooses, and may promote or demote the node.
    Auto,
    /// An ordinary node, attached to a supernode.
    Node,
    /// A node that carries streams for the nodes that are attached to it.
    Supernode,
    /// A role of a later version. It is treated as `Node`.
    #[serde(other)]
    Unknown,
}

/// The state of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Heartbeats arrive.
    Up,
    /// It takes no new links or viewers.
    Draining,
    /// Its lease has ended, but a relay at the other end of one of its links reports that the link flows. It gets no new
    /// tickets or viewers; existing links continue.
    Suspected,
    /// Its lease has ended, and no relay reports that one of its links flows.
    Lost,
    /// A state of a later version. The node gets no new tickets or viewers; existing links continue.
    #[serde(other)]
    Unknown,
}

/// A node as users see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Node {
    /// The id of the node.
    pub uuid: NodeId,
    /// A name for people; empty if it has none.
    #[serde(default)]
    pub name: String,
    /// Its present role: `node` or `supernode`.
    pub role: Role,
    /// The state of the node.
    pub state: NodeState,
    /// The base URL for its viewers, without a trailing slash.
    pub media_url: String,
    /// `rtmp://host:port/live` of its RTMP listener.
    pub rtmp_url: String,
    /// host:port from which other relays pull.
    pub advertise: String,
    /// The supernode that it is attached to; None for supernodes, and while none has room.
    pub primary_supernode: Option<NodeId>,
    /// What it may send in total, kbit/s.
    pub limit_kbps: Kbps,
    /// What its tickets as a provider reserve, kbit/s.
    pub promised_kbps: Kbps,
    /// What its viewers use, kbit/s.
    pub viewer_kbps: Kbps,
    /// The number of streams that it carries.
    pub streams: u32,
}

/// The state of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TicketState {
    /// Its capacity is reserved, and its subscriber has not opened the link yet.
    Offered,
    /// It is in use. Heartbeats renew it.
    Confirmed,
    /// A state of a later version. The ticket is shown and counts as reserved.
    #[serde(other)]
    Unknown,
}

/// A ticket as users see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ticket {
    /// The id of the ticket.
    pub id: TicketId,
    /// The stream that it is for.
    pub slug: Slug,
    /// The relay that sends.
    pub provider: NodeId,
    /// The relay that pulls.
    pub subscriber: NodeId,
    /// The state of the ticket.
    pub state: TicketState,
    /// Whether the ticket is a standby, which reserves nothing until a failover.
    pub standby: bool,
    /// What it reserves, kbit/s.
    pub kbps: Kbps,
    /// The number of relay links from the origin to the subscriber.
    pub hops: u32,
    /// When it expires unless it is renewed, Unix milliseconds.
    pub expires_at: UnixMillis,
    /// Why this provider was chosen: one line for each candidate.
    pub why: Vec<String>,
}

/// One relay in a stream's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TreeRelay {
    /// The id of the relay.
    pub node: NodeId,
    /// The base URL for its viewers.
    pub media_url: String,
    /// The relay that it pulls from; None at the origin.
    pub provider: Option<NodeId>,
    /// The provider of its standby ticket.
    pub standby: Option<NodeId>,
    /// The number of relay links from the origin.
    pub hops: u32,
    /// The newest frame that it has.
    pub newest: Option<FrameId>,
    /// The viewers at this relay.
    pub viewers: Viewers,
    /// For how long no frame had arrived when the relay reported this, milliseconds.
    #[serde(default)]
    pub silent_ms: Option<u64>,
    /// How far its newest frame is behind that of the origin, milliseconds; None while one of them is unknown.
    #[serde(default)]
    pub behind_ms: Option<u64>,
    /// When the relay reported this, Unix milliseconds.
    pub as_of: UnixMillis,
}

/// The relays that carry a stream, as of their last heartbeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tree {
    /// The name of the stream.
    pub slug: Slug,
    /// Its current epoch.
    pub epoch: u64,
    /// Every relay that carries it, fewest hops first.
    pub relays: Vec<TreeRelay>,
}

/// A failure that a drill injects, to show that viewers do not notice it. A node refuses an unknown fault with
/// `bad_request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// All media sockets close without notice, and no new ones are accepted.
    Cut,
    /// All media sockets stay open and transfer nothing.
    Freeze,
}

/// A drill: one fault in one node for a limited time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    /// The fault.
    pub fault: Fault,
    /// How long it lasts, 1 to 600 seconds.
    pub seconds: u32,
}
