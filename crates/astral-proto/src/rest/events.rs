//! The events of `GET /v1/events`: changes of streams, nodes, tickets and trees.

use crate::message::TicketChanged;
use crate::model::{Node, Stream};
use crate::{NodeId, Slug, UnixMillis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One event: the data of an SSE event, or one text message of a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// The id of the event at this gateway. A client that sends it as `Last-Event-ID` gets the events after it.
    pub id: String,
    /// When the gateway received it, Unix milliseconds.
    pub at: UnixMillis,
    /// What happened.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum Happening {
    /// The first event. The present state is in the resources.
    #[serde(rename = "ready")]
    Ready,
    /// Events before this one were missed. The client must read the resources again.
    #[serde(rename = "missed")]
    Missed,
    /// A stream is new.
    #[serde(rename = "stream.created")]
    StreamCreated {
        /// The new stream.
        stream: Stream,
    },
    /// A stream has changed.
    #[serde(rename = "stream.changed")]
    StreamChanged {
        /// The stream after the change.
        stream: Stream,
    },
    /// A stream was deleted.
    #[serde(rename = "stream.gone")]
    StreamGone {
        /// The name of the stream.
        slug: Slug,
    },
    /// A node is new.
    #[serde(rename = "node.created")]
    NodeCreated {
        /// The node.
        node: Node,
    },
    /// A node registered again, or is attached to another supernode.
    #[serde(rename = "node.changed")]
    NodeChanged {
        /// The node.
        node: Node,
    },
    /// A node left or was lost.
    #[serde(rename = "node.gone")]
    NodeGone {
        /// The id of the node.
        uuid: NodeId,
    },
    /// A relay carries other streams than before, pulls them from other providers, or drains.
    #[serde(rename = "tree.changed")]
    TreeChanged {
        /// The relay with its position in each tree.
        relay: RelayPlace,
    },
    /// A ticket was offered.
    #[serde(rename = "ticket.created")]
    TicketCreated {
        /// The ticket.
        ticket: TicketChanged,
    },
    /// A ticket was confirmed, or a standby came into use.
    #[serde(rename = "ticket.changed")]
    TicketChanged {
        /// The ticket.
        ticket: TicketChanged,
    },
    /// A ticket ended.
    #[serde(rename = "ticket.gone")]
    TicketGone {
        /// The ticket.
        ticket: TicketChanged,
    },
}

/// What a relay carries, as of its last heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RelayPlace {
    /// The id of the relay.
    pub node: NodeId,
    /// Whether it drains.
    pub draining: bool,
    /// The streams that it carries, in the order of their names.
    pub streams: Vec<CarriedPlace>,
}

/// The position of a relay in the tree of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CarriedPlace {
    /// The name of the stream.
    pub slug: Slug,
    /// Its current epoch.
    pub epoch: u64,
    /// The relay that it pulls from; None at the origin.
    pub provider: Option<NodeId>,
    /// The provider of its standby ticket.
    pub standby: Option<NodeId>,
    /// The number of relay links from the origin.
    pub hops: u32,
}
