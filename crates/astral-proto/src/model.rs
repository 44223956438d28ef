//! What REST shows and services keep: streams, nodes, tickets, trees.

use crate::{FrameId, NodeId, Slug, TicketId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Where the next page starts; none on the last page.
    pub next_cursor: Option<String>,
}

/// Where a stream is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreamState {
    /// Known, never or not now published.
    Idle,
    /// A publisher feeds it.
    Live,
    /// Its publisher is away and may resume within the grace window.
    Grace,
    /// Held back by its owner.
    Paused,
    /// Its last publish is over.
    Ended,
    /// A state of a later version. Nobody is sent to watch the stream.
    #[serde(other)]
    Unknown,
}

/// Viewers by protocol. `flv` and `rtmp` are exact; `hls` counts players seen on playlists in the last 10 s.
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
    /// All of them.
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
    /// Its name in URLs.
    pub slug: Slug,
    /// Where it is in its life.
    pub state: StreamState,
    /// The current publish; 0 before the first.
    pub epoch: u64,
    /// The relay where it is ingested.
    pub origin: Option<NodeId>,
    /// Mean bitrate over 10 s.
    pub kbps: u32,
    /// When the current publish started, Unix milliseconds.
    pub started_at: Option<u64>,
    /// When a publisher last sent media as far as is known, Unix milliseconds.
    #[serde(default)]
    pub last_seen_at: Option<u64>,
    /// Who watches, over all relays.
    pub viewers: Viewers,
    /// What the present publisher should change at its encoder, each reason once.
    #[serde(default)]
    pub warnings: Vec<Notice>,
    /// Why a publisher of this stream was last turned away, by whichever relay; it may not be the present one.
    #[serde(default)]
    pub last_refusal: Option<Notice>,
}

/// What a relay told a publisher. Holds no secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// A short stable word, such as `open_gop` or `unauthenticated`.
    pub reason: String,
    /// What was wrong and what to do, a sentence for whoever runs the encoder.
    pub detail: String,
    /// When it was said, Unix milliseconds.
    pub at: u64,
}

/// What a node may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The coordinator decides, and may promote or demote.
    Auto,
    /// A node that hangs off a supernode.
    Node,
    /// Carries streams for child nodes.
    Supernode,
    /// A role of a later version. It is treated as `Node`.
    #[serde(other)]
    Unknown,
}

/// Where a node is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Heartbeats arrive.
    Up,
    /// Takes no new work.
    Draining,
    /// Its lease has ended, yet a relay at the other end of one of its links says that the link flows. It gets no new
    /// tickets or viewers; what flows goes on.
    Suspected,
    /// Its lease has ended, and no relay says that anything flows from it or to it.
    Lost,
    /// A state of a later version. The node gets no new tickets or viewers; what flows goes on.
    #[serde(other)]
    Unknown,
}

/// A node as users see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Node {
    /// Its id.
    pub uuid: NodeId,
    /// What people call it; empty if it has no name.
    #[serde(default)]
    pub name: String,
    /// Its role now: `node` or `supernode`.
    pub role: Role,
    /// Where it is in its life.
    pub state: NodeState,
    /// Base URL for viewers, without a trailing slash.
    pub media_url: String,
    /// `rtmp://host:port/live` of its RTMP listener.
    pub rtmp_url: String,
    /// host:port that other relays pull from.
    pub advertise: String,
    /// The supernode it registered with.
    pub primary_supernode: Option<NodeId>,
    /// What it may spend upstream, kbit/s.
    pub limit_kbps: u32,
    /// What is promised by tickets, kbit/s.
    pub promised_kbps: u32,
    /// What its viewers use, kbit/s.
    pub viewer_kbps: u32,
    /// How many streams it carries.
    pub streams: u32,
}

/// Where a ticket is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TicketState {
    /// Reserved, waiting for its subscriber.
    Offered,
    /// In use, kept by heartbeats.
    Confirmed,
    /// A state of a later version. The ticket is shown and counts as reserved.
    #[serde(other)]
    Unknown,
}

/// A ticket as users see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ticket {
    /// Its id.
    pub id: TicketId,
    /// The stream it is for.
    pub slug: Slug,
    /// Who sends.
    pub provider: NodeId,
    /// Who pulls.
    pub subscriber: NodeId,
    /// Where it is in its life.
    pub state: TicketState,
    /// Whether it waits for a failover and reserves nothing.
    pub standby: bool,
    /// What it reserves, kbit/s.
    pub kbps: u32,
    /// Relay links from the origin to the subscriber.
    pub hops: u32,
    /// When it ends unless renewed, Unix milliseconds.
    pub expires_at: u64,
    /// Why this provider: one line for each candidate considered.
    pub why: Vec<String>,
}

/// One relay in a stream's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TreeRelay {
    /// The relay.
    pub node: NodeId,
    /// Base URL for its viewers.
    pub media_url: String,
    /// Who it pulls from; none at the origin.
    pub provider: Option<NodeId>,
    /// Who it would pull from next.
    pub standby: Option<NodeId>,
    /// Relay links from the origin.
    pub hops: u32,
    /// The newest frame it has.
    pub newest: Option<FrameId>,
    /// Who watches here.
    pub viewers: Viewers,
    /// For how long no frame had come when this was stated, milliseconds.
    #[serde(default)]
    pub silent_ms: Option<u64>,
    /// How far its newest frame is behind that of the origin, milliseconds; none while one of the two is not known.
    #[serde(default)]
    pub behind_ms: Option<u64>,
    /// When this was stated, Unix milliseconds.
    pub as_of: u64,
}

/// A stream's relays, at most one heartbeat old.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tree {
    /// The stream.
    pub slug: Slug,
    /// Its current publish.
    pub epoch: u64,
    /// Every relay that carries it, by hops.
    pub relays: Vec<TreeRelay>,
}

/// A failure that is caused on purpose, to see that viewers do not notice it. A node refuses a fault that it does not know
/// with `bad_request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// All media sockets close without a goodbye, and stay closed.
    Cut,
    /// All media sockets stay open and say nothing.
    Freeze,
}

/// A drill: one fault on one node for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    /// What fails.
    pub fault: Fault,
    /// For how long, 1 to 600.
    pub seconds: u32,
}
