//! The control plane over the bus.

use astral_backend::Bus;
use astral_proto::Slug;
use astral_proto::message::{
    CancelTicket, ConfirmTicket, GoLive, Grant, Heartbeat, HeartbeatReply, Leave, PublisherGone,
    Register, Registered, Request, RequestTicket, Standby, SwitchTicket, Tickets,
};
use astral_relay::control::{Answer, ControlPlane};
use std::time::Duration;

/// How long a control service may take. A ticket may wait for a supernode to fetch the stream
/// first.
const WAIT: Duration = Duration::from_secs(2);
const TICKET_WAIT: Duration = Duration::from_secs(6);

/// Asks the coordinator, the directory and the ticket broker.
pub struct BusControlPlane {
    bus: Bus,
}

impl BusControlPlane {
    /// Over `bus`.
    pub fn new(bus: Bus) -> Self {
        Self { bus }
    }

    fn ask<R: Request>(&self, request: R, within: Duration) -> Answer<'_, R::Reply> {
        Box::pin(async move { self.bus.request(&request, within).await })
    }
}

impl ControlPlane for BusControlPlane {
    fn register(&self, request: Register) -> Answer<'_, Registered> {
        self.ask(request, WAIT)
    }

    fn heartbeat(&self, statement: Heartbeat) -> Answer<'_, HeartbeatReply> {
        self.ask(statement, WAIT)
    }

    fn leave(&self, request: Leave) -> Answer<'_, ()> {
        self.ask(request, WAIT)
    }

    fn go_live(&self, request: GoLive) -> Answer<'_, Grant> {
        self.ask(request, WAIT)
    }

    fn publisher_gone(&self, report: PublisherGone) -> Answer<'_, ()> {
        self.ask(report, WAIT)
    }

    fn request_ticket(&self, request: RequestTicket) -> Answer<'_, Tickets> {
        self.ask(request, TICKET_WAIT)
    }

    fn confirm_ticket(&self, _: &Slug, request: ConfirmTicket) -> Answer<'_, ()> {
        self.ask(request, WAIT)
    }

    fn switch_ticket(&self, request: SwitchTicket) -> Answer<'_, Standby> {
        self.ask(request, WAIT)
    }

    fn cancel_ticket(&self, _: &Slug, request: CancelTicket) -> Answer<'_, ()> {
        self.ask(request, WAIT)
    }
}
