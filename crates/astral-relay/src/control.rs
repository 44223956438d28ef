//! What a relay asks of the control plane. The only way a relay joins, or gets a grant or a ticket.

use astral_proto::message::{
    CancelTicket, ConfirmTicket, GoLive, Grant, Heartbeat, HeartbeatReply, Leave, PublisherGone,
    Register, Registered, RequestTicket, Standby, SwitchTicket, Tickets,
};
use astral_proto::{Problem, Slug};
use futures_util::future::BoxFuture;

/// An answer of the control plane, some day.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Problem>>;

/// The control plane as a relay sees it: over the bus in a cluster, over REST outside it.
///
/// Each call answers within a few seconds, with `control_plane_away` when nobody can be reached.
pub trait ControlPlane: Send + Sync + 'static {
    /// This relay would be a node.
    fn register(&self, request: Register) -> Answer<'_, Registered>;
    /// This relay lives: what it carries, serves and holds.
    fn heartbeat(&self, statement: Heartbeat) -> Answer<'_, HeartbeatReply>;
    /// This relay is a node no longer.
    fn leave(&self, request: Leave) -> Answer<'_, ()>;
    /// A publisher has come: may this relay be origin, and from where does it count?
    fn go_live(&self, request: GoLive) -> Answer<'_, Grant>;
    /// The publisher has gone, or the grace window is over.
    fn publisher_gone(&self, report: PublisherGone) -> Answer<'_, ()>;
    /// This relay needs a stream.
    fn request_ticket(&self, request: RequestTicket) -> Answer<'_, Tickets>;
    /// The link by this ticket is open.
    fn confirm_ticket(&self, slug: &Slug, request: ConfirmTicket) -> Answer<'_, ()>;
    /// The standby is in use; the answer is a new one.
    fn switch_ticket(&self, request: SwitchTicket) -> Answer<'_, Standby>;
    /// The ticket is no longer wanted.
    fn cancel_ticket(&self, slug: &Slug, request: CancelTicket) -> Answer<'_, ()>;
}
