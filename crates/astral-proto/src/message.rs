//! The messages on the bus, as JSON, and their subjects.
//!
//! A request to a service goes to `astral.<service>.<verb>`, a request to one node to `astral.node.<uuid>.<verb>`, and an
//! event to `astral.event.<kind>.<what>`. The reply is the type beside the subject in the tables below, or a
//! [`crate::Problem`].
//!
//! Programs of two versions work together. A reader ignores fields that it does not know. A field may be added, with a
//! default for messages that lack it. The meaning of a field never changes.

pub mod event;
mod heartbeat;
mod nodes;
mod notice;
mod publish;
mod stamp;
mod streams;
mod tickets;
mod to_node;

use crate::NodeId;
use crate::model::Ticket;
pub use heartbeat::{Carried, ForwardHeartbeat, Heartbeat, HeartbeatReply, Progress};
pub use nodes::{
    GetNode, Landmark, Leave, ListNodes, NodeAttached, NodeChanged, NodeGone, Register, Registered,
};
pub use notice::{NoticeKind, PublisherNotice};
pub use publish::{GoLive, Grant, OriginState, PublisherGone};
use serde::{Serialize, de::DeserializeOwned};
pub use streams::{
    ChangeStream, CreateStream, DeleteStream, GetStream, ListStreams, StreamChanged,
};
pub use tickets::{
    CancelTicket, ConfirmTicket, FindFlowing, Flowing, GetTree, HeldTicket, LEFT_MAX, ListTickets,
    Offer, RenewTickets, Renewed, Replacement, RequestTicket, ServedTicket, Standby, SwitchTicket,
    TicketChanged, Tickets,
};
pub use to_node::{Fence, FenceReason, Fetch, Fetched, Inject, Move, Probe, Probed, Revoke};

/// A request to a service, with its subject and its reply.
pub trait Request: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The subject, `astral.<service>.<verb>`.
    const SUBJECT: &'static str;
    /// The reply if the request succeeds.
    type Reply: Serialize + DeserializeOwned + Send + Sync + 'static;
}

/// A request to one node, at `astral.node.<uuid>.<VERB>`.
pub trait NodeRequest: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The last part of the subject.
    const VERB: &'static str;
    /// The reply if the request succeeds.
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
        GoLive           "astral.directory.go_live"          => Grant;
        PublisherGone    "astral.directory.publisher_gone"   => ();
        CreateStream     "astral.directory.create"           => crate::model::Stream;
        ChangeStream     "astral.directory.change"           => crate::model::Stream;
        GetStream        "astral.directory.get"              => crate::model::Stream;
        ListStreams      "astral.directory.list"             => crate::model::Page<crate::model::Stream>;
        DeleteStream     "astral.directory.delete"           => ();
        ForwardHeartbeat "astral.directory.hear"             => ();
        Register         "astral.supernode-coordinator.register"  => Registered;
        Heartbeat        "astral.supernode-coordinator.heartbeat" => HeartbeatReply;
        Leave            "astral.supernode-coordinator.leave"     => ();
        GetNode          "astral.supernode-coordinator.get"       => crate::model::Node;
        ListNodes        "astral.supernode-coordinator.list"      => crate::model::Page<crate::model::Node>;
        RequestTicket    "astral.ticket-broker.request"      => Tickets;
        ConfirmTicket    "astral.ticket-broker.confirm"      => ();
        SwitchTicket     "astral.ticket-broker.switch"       => Standby;
        CancelTicket     "astral.ticket-broker.cancel"       => ();
        RenewTickets     "astral.ticket-broker.renew"        => Renewed;
        ListTickets      "astral.ticket-broker.list"         => crate::model::Page<Ticket>;
        GetTree          "astral.ticket-broker.tree"         => crate::model::Tree;
        FindFlowing      "astral.ticket-broker.flowing"      => Flowing;
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

#[cfg(test)]
mod golden;
