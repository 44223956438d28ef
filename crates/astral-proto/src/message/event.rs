//! The subjects of events. The program that changed a thing publishes the event, with a [`Stamp`].

pub use super::stamp::{Stamp, StampError};

/// [`super::StreamChanged`]: a stream is new.
pub const STREAM_CREATED: &str = "astral.event.stream.created";
/// [`super::StreamChanged`]: a stream was deleted.
pub const STREAM_GONE: &str = "astral.event.stream.gone";
/// [`super::StreamChanged`]: a stream changed in any other way.
pub const STREAM_CHANGED: &str = "astral.event.stream.changed";
/// [`super::Heartbeat`]: the coordinator passes on every heartbeat that it accepts.
pub const NODE_HEARTBEAT: &str = "astral.event.node.heartbeat";
/// [`super::NodeChanged`]: a node is new.
pub const NODE_CREATED: &str = "astral.event.node.created";
/// [`super::NodeChanged`]: a node registered again, or is attached to another supernode.
pub const NODE_CHANGED: &str = "astral.event.node.changed";
/// [`super::NodeGone`].
pub const NODE_GONE: &str = "astral.event.node.gone";
/// [`super::TicketChanged`]: a ticket was offered.
pub const TICKET_CREATED: &str = "astral.event.ticket.created";
/// [`super::TicketChanged`]: a ticket was confirmed, or a standby came into use.
pub const TICKET_CHANGED: &str = "astral.event.ticket.changed";
/// [`super::TicketChanged`]: a ticket ended.
pub const TICKET_GONE: &str = "astral.event.ticket.gone";
/// [`super::NodeAttached`].
pub const NODE_ATTACHED: &str = "astral.event.node.attached";
