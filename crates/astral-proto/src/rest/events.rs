//! What `GET /v1/events` tells: streams, nodes and tickets that have come, changed or gone.

use crate::model::Stream;
use crate::{NodeId, Slug, TicketId};
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
    /// A node that was not heard of before.
    #[serde(rename = "node.created")]
    NodeCreated {
        /// The node.
        node: NodePlace,
    },
    /// A node carries other streams, or from others, or drains.
    #[serde(rename = "node.changed")]
    NodeChanged {
        /// The node.
        node: NodePlace,
    },
    /// A node has left or its lease has ended.
    #[serde(rename = "node.gone")]
    NodeGone {
        /// The node.
        uuid: NodeId,
    },
    /// A subscriber holds a ticket that it did not hold before.
    #[serde(rename = "ticket.created")]
    TicketCreated {
        /// The ticket.
        ticket: TicketPlace,
    },
    /// A ticket went from standby to use, or back.
    #[serde(rename = "ticket.changed")]
    TicketChanged {
        /// The ticket.
        ticket: TicketPlace,
    },
    /// A subscriber no longer holds a ticket.
    #[serde(rename = "ticket.gone")]
    TicketGone {
        /// The ticket.
        ticket: TicketPlace,
    },
}

/// What a node does in the network, by its last word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodePlace {
    /// Its id.
    pub uuid: NodeId,
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

/// Between whom a ticket is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TicketPlace {
    /// Its id.
    pub id: TicketId,
    /// The stream.
    pub slug: Slug,
    /// Who sends, or would.
    pub provider: NodeId,
    /// Who pulls.
    pub subscriber: NodeId,
    /// Whether it waits for a failover.
    pub standby: bool,
}
