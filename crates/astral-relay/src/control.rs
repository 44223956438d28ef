//! What a relay asks of the control plane. A relay joins, and gets grants and tickets, in no other
//! way.

use astral_proto::message::{
    CancelTicket, ConfirmTicket, GoLive, Grant, Heartbeat, HeartbeatReply, Leave, PublisherGone,
    Register, Registered, RequestTicket, Standby, SwitchTicket, Tickets,
};
use astral_proto::{Problem, Slug};
use futures_util::future::BoxFuture;

/// A pending answer of the control plane.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Problem>>;

/// The control plane as a relay sees it: over the bus in a cluster, over REST outside.
///
/// Each call returns within a few seconds, with `control_plane_away` if nobody answers.
pub trait ControlPlane: Send + Sync + 'static {
    /// Registers this relay as a node.
    fn register(&self, request: Register) -> Answer<'_, Registered>;
    /// Renews the lease, and states what this relay carries, serves and holds.
    fn heartbeat(&self, statement: Heartbeat) -> Answer<'_, HeartbeatReply>;
    /// Leaves the network.
    fn leave(&self, request: Leave) -> Answer<'_, ()>;
    /// Asks whether this relay may be the origin for a publisher, and from where to count GOPs and
    /// time.
    fn go_live(&self, request: GoLive) -> Answer<'_, Grant>;
    /// Reports that the publisher has left, or that the grace window is over.
    fn publisher_gone(&self, report: PublisherGone) -> Answer<'_, ()>;
    /// Asks for tickets for a stream.
    fn request_ticket(&self, request: RequestTicket) -> Answer<'_, Tickets>;
    /// Reports that the link by a ticket is open.
    fn confirm_ticket(&self, slug: &Slug, request: ConfirmTicket) -> Answer<'_, ()>;
    /// Reports that the standby is in use. The answer is a new standby.
    fn switch_ticket(&self, request: SwitchTicket) -> Answer<'_, Standby>;
    /// Gives a ticket back.
    fn cancel_ticket(&self, slug: &Slug, request: CancelTicket) -> Answer<'_, ()>;
}
