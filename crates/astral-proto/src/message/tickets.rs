//! Tickets: how they are requested, confirmed, renewed and listed; and the tree that they form.

use super::Heartbeat;
use crate::{Kbps, NodeId, Secret, Slug, TicketId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A relay asks for a ticket to pull a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestTicket {
    /// The stream to pull.
    pub slug: Slug,
    /// The relay that asks.
    pub subscriber: NodeId,
    /// Providers that must not be offered, because they have just failed the relay.
    pub exclude: Vec<NodeId>,
    /// The relay's tickets for this stream that it no longer uses, at most [`LEFT_MAX`]. They are released before another
    /// one is granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<TicketId>,
}

/// The largest number of tickets that one request may release.
pub const LEFT_MAX: usize = 8;

/// A ticket that is ready for use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Offer {
    /// The id of the ticket.
    pub id: TicketId,
    /// The relay that sends.
    pub provider: NodeId,
    /// host:port of the provider.
    pub advertise: String,
    /// The signed ticket, which the relay sends as a bearer token.
    pub token: Secret,
}

/// The answer to a request for a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tickets {
    /// The ticket to pull with now. The relay confirms it once the link is open.
    pub active: Offer,
    /// The ticket to use if the active one fails; None if there is no other provider.
    pub standby: Option<Offer>,
}

/// A standby ticket, if there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Standby {
    /// The ticket to use if the active one fails; None if there is no other provider.
    pub standby: Option<Offer>,
}

/// A subscriber has opened the link of this ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfirmTicket {
    /// The id of the ticket.
    pub id: TicketId,
    /// The relay that pulls with it.
    pub subscriber: NodeId,
}

/// A subscriber has failed over to its standby and wants a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SwitchTicket {
    /// The stream that it pulls.
    pub slug: Slug,
    /// The relay that pulls.
    pub subscriber: NodeId,
    /// The ticket in use now. It was the standby until this moment.
    pub active: TicketId,
    /// The ticket that it no longer uses; None if it only asks for a standby.
    pub left: Option<TicketId>,
}

/// A node no longer needs a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CancelTicket {
    /// The id of the ticket.
    pub id: TicketId,
    /// The subscriber or the provider of the ticket.
    pub node: NodeId,
}

/// A ticket of a link that a provider serves, with all that the ledger needs to restore its entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServedTicket {
    /// The id of the ticket.
    pub id: TicketId,
    /// The stream that is pulled.
    pub slug: Slug,
    /// The relay that pulls.
    pub subscriber: NodeId,
    /// What the ticket reserved when it was signed, kbit/s.
    pub kbps: Kbps,
}

/// A ticket that a subscriber pulls with or keeps as its standby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldTicket {
    /// The id of the ticket.
    pub id: TicketId,
    /// The stream that is pulled.
    pub slug: Slug,
    /// The relay that sends, or would send.
    pub provider: NodeId,
    /// Whether the ticket is a standby, unused until a failover.
    pub standby: bool,
    /// Whether its link is open and the provider sends now.
    #[serde(default)]
    pub flows: bool,
}

/// A ticket that replaces another. If the other is in use, the relay switches to this one at once. If it is the standby,
/// this one becomes the standby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replacement {
    /// The ticket to give up.
    pub left: TicketId,
    /// The ticket that replaces it.
    pub by: Offer,
}

/// The coordinator forwards a heartbeat to the broker, which renews the node's tickets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RenewTickets {
    /// The heartbeat as the node sent it.
    pub heartbeat: Heartbeat,
    /// The coordinator's entry of the node: its addresses, its role and its primary supernode.
    pub node: crate::model::Node,
    /// The node's round-trip times to supernodes, microseconds.
    pub rtts: Vec<(NodeId, u32)>,
}

/// What happened to the tickets of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Renewed {
    /// Tickets that were signed again because they would expire soon.
    pub resigned: Vec<Offer>,
    /// Tickets of the node that are no longer valid.
    pub lost: Vec<TicketId>,
    /// The public keys that sign tickets, newest first, base64url.
    pub ticket_keys: Vec<String>,
    /// Tickets of the node that others replace.
    pub replaced: Vec<Replacement>,
    /// What the node's tickets as a provider reserve, kbit/s.
    pub promised_kbps: Kbps,
    /// The generation of the ledgers; 0 if unknown. A node that sees a new one sends its next heartbeat at once.
    pub generation: u32,
}

/// Asks which of some silent nodes still have a link that flows, as reported by the relay at the other end of the link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindFlowing {
    /// Nodes without a heartbeat for one lease, at most [`FindFlowing::NODES_MAX`].
    pub nodes: Vec<NodeId>,
}

impl FindFlowing {
    /// The largest number of nodes in one request.
    pub const NODES_MAX: usize = 1_000;
}

/// The silent nodes that still have a link that flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flowing {
    /// A subset of the nodes in the request.
    pub nodes: Vec<NodeId>,
}

/// Lists tickets in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListTickets {
    /// Only tickets of this stream; None for all.
    pub slug: Option<Slug>,
    /// The page starts after this id; None for the first page.
    pub cursor: Option<String>,
    /// The largest number of tickets in the page, 1 to 1000.
    pub limit: u32,
}

/// Asks for the tree of a stream: which relays carry it, and from whom they pull.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetTree {
    /// The name of the stream.
    pub slug: Slug,
}

/// A ticket is new, has changed, or has ended. Tickets that are lost with the state, or restored after that, cause no
/// event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TicketChanged {
    /// The id of the ticket.
    pub id: TicketId,
    /// The stream that it is for.
    pub slug: Slug,
    /// The relay that sends.
    pub provider: NodeId,
    /// The relay that pulls.
    pub subscriber: NodeId,
    /// Whether the ticket is a standby, unused until a failover.
    pub standby: bool,
}
