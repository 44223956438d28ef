//! Tickets: asked for, confirmed, renewed, listed; and the tree they make.

use super::Heartbeat;
use crate::{NodeId, Secret, Slug, TicketId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A relay needs a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestTicket {
    /// The stream.
    pub slug: Slug,
    /// The relay that asks.
    pub subscriber: NodeId,
    /// Providers it will not have, since they have just failed it.
    pub exclude: Vec<NodeId>,
    /// Its tickets for this stream that are of no use any more, at most [`LEFT_MAX`]: given back before another is
    /// granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<TicketId>,
}

/// Most tickets given back with one request.
pub const LEFT_MAX: usize = 8;

/// A ticket ready for use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Offer {
    /// Its id.
    pub id: TicketId,
    /// Who sends.
    pub provider: NodeId,
    /// host:port to pull from.
    pub advertise: String,
    /// The signed ticket, sent as bearer token.
    pub token: Secret,
}

/// What a relay that needs a stream gets: an offer, to be confirmed, and a standby if there is any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tickets {
    /// To pull by now.
    pub active: Offer,
    /// To pull by when the first fails.
    pub standby: Option<Offer>,
}

/// A standby, if there is any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Standby {
    /// To pull by when the active one fails.
    pub standby: Option<Offer>,
}

/// The link by this ticket is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfirmTicket {
    /// The ticket.
    pub id: TicketId,
    /// Its owner.
    pub subscriber: NodeId,
}

/// A subscriber has failed over to its standby and wants a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CancelTicket {
    /// The ticket.
    pub id: TicketId,
    /// Its owner, or its provider.
    pub node: NodeId,
}

/// A ticket by which a provider serves a link, with what the ledger must know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServedTicket {
    /// The ticket.
    pub id: TicketId,
    /// The stream.
    pub slug: Slug,
    /// Who pulls.
    pub subscriber: NodeId,
    /// What it reserved when it was signed, kbit/s.
    pub kbps: u32,
}

/// A ticket that a subscriber pulls by or keeps as standby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldTicket {
    /// The ticket.
    pub id: TicketId,
    /// The stream.
    pub slug: Slug,
    /// Who sends, or would.
    pub provider: NodeId,
    /// Whether it waits for a failover.
    pub standby: bool,
    /// Whether its link is open and its provider sends now.
    #[serde(default)]
    pub flows: bool,
}

/// A ticket that takes the place of another. In place of the one in use: switch to it at once. In place of a standby:
/// keep it as the standby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replacement {
    /// The ticket to be left.
    pub left: TicketId,
    /// The ticket that takes its place.
    pub by: Offer,
}

/// The coordinator hands a heartbeat on for its tickets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RenewTickets {
    /// The heartbeat.
    pub heartbeat: Heartbeat,
    /// The node as the coordinator has it: where it is reached, its role, its primary supernode.
    pub node: crate::model::Node,
    /// Round trips to supernodes as the node told them, microseconds.
    pub rtts: Vec<(NodeId, u32)>,
}

/// What became of a node's tickets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Renewed {
    /// Tickets signed again because their validity ran low.
    pub resigned: Vec<Offer>,
    /// Tickets the node holds that are no longer good.
    pub lost: Vec<TicketId>,
    /// Keys that sign tickets, newest first, base64url.
    pub ticket_keys: Vec<String>,
    /// Tickets the node holds that others take the place of.
    pub replaced: Vec<Replacement>,
    /// What the node has promised to others by tickets, kbit/s.
    pub promised_kbps: u32,
    /// The ledger's generation, 0 if it could not be told. A node that sees a new one states everything at once.
    pub generation: u32,
}

/// Which of these nodes, none of which has been heard for a lease, have a link that flows, by the word of the relay at
/// its other end?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindFlowing {
    /// The silent nodes, at most [`FindFlowing::NODES_MAX`].
    pub nodes: Vec<NodeId>,
}

impl FindFlowing {
    /// Most nodes that may be asked about at once.
    pub const NODES_MAX: usize = 1_000;
}

/// Silent nodes with a link that flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flowing {
    /// Those of the nodes asked about.
    pub nodes: Vec<NodeId>,
}

/// List tickets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListTickets {
    /// Of this stream only.
    pub slug: Option<Slug>,
    /// Start after this id.
    pub cursor: Option<String>,
    /// At most so many, 1 to 1000.
    pub limit: u32,
}

/// A stream's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetTree {
    /// The stream.
    pub slug: Slug,
}

/// A ticket has come, changed or gone. Those that are put back after a wipe, or lost with it, are not told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TicketChanged {
    /// Its id.
    pub id: TicketId,
    /// The stream it is for.
    pub slug: Slug,
    /// Who sends.
    pub provider: NodeId,
    /// Who pulls.
    pub subscriber: NodeId,
    /// Whether it waits for a failover.
    pub standby: bool,
}
