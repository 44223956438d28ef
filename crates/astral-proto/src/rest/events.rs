//! What `GET /v1/events` tells: streams, nodes and tickets that have come, changed or gone, and trees that have.

use crate::message::TicketChanged;
use crate::model::{Node, Stream};
use crate::{NodeId, Slug};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One event. The same over SSE, as data, and over a WebSocket, as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its name at the gateway that tells it; given back as `Last-Event-ID`, what came after it is told.
    pub id: String,
    /// When the gateway heard of it, Unix milliseconds.
    pub at: u64,
    /// What has happened.
    #[serde(flatten)]
    pub what: Happening,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum Happening {
    /// Events begin here; what is now is read from the resources.
    #[serde(rename = "ready")]
    Ready,
    /// Events before this one were missed: what is now is to be read again.
    #[serde(rename = "missed")]
    Missed,
    /// A stream that was not there before.
    #[serde(rename = "stream.created")]
    StreamCreated {
        /// The stream.
        stream: Stream,
    },
    /// A stream is not as it was.
    #[serde(rename = "stream.changed")]
    StreamChanged {
        /// The stream.
        stream: Stream,
    },
    /// A stream has been deleted.
    #[serde(rename = "stream.gone")]
    StreamGone {
        /// Its name.
        slug: Slug,
    },
    /// A node that was not known before.
    #[serde(rename = "node.created")]
    NodeCreated {
        /// The node.
        node: Node,
    },
    /// A node has registered again, or hangs off another supernode.
    #[serde(rename = "node.changed")]
    NodeChanged {
        /// The node.
        node: Node,
    },
    /// A node has left or its lease has ended.
    #[serde(rename = "node.gone")]
    NodeGone {
        /// The node.
        uuid: NodeId,
    },
    /// A relay carries other streams than before, or gets them from others, or drains.
    #[serde(rename = "tree.changed")]
    TreeChanged {
        /// Its place in the trees.
        relay: RelayPlace,
    },
    /// A ticket has been offered.
    #[serde(rename = "ticket.created")]
    TicketCreated {
        /// The ticket.
        ticket: TicketChanged,
    },
    /// A ticket has been confirmed, or was a standby and is in use.
    #[serde(rename = "ticket.changed")]
    TicketChanged {
        /// The ticket.
        ticket: TicketChanged,
    },
    /// A ticket has ended.
    #[serde(rename = "ticket.gone")]
    TicketGone {
        /// The ticket.
        ticket: TicketChanged,
    },
}

/// What a relay carries, by its last word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RelayPlace {
    /// Its id.
    pub node: NodeId,
    /// Whether it drains.
    pub draining: bool,
    /// The streams that it carries, by name.
    pub streams: Vec<CarriedPlace>,
}

/// Where a node stands in the tree of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CarriedPlace {
    /// The stream.
    pub slug: Slug,
    /// Its publish.
    pub epoch: u64,
    /// Who the node pulls from; none at the origin.
    pub provider: Option<NodeId>,
    /// Who it would pull from next.
    pub standby: Option<NodeId>,
    /// Relay links from the origin.
    pub hops: u32,
}
