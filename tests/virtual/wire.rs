//! The wire from a relay to the control plane, which can be cut.

use astral_proto::message::{
    CancelTicket, ConfirmTicket, GoLive, Grant, Heartbeat, HeartbeatReply, Leave, PublisherGone,
    Register, Registered, RequestTicket, Standby, SwitchTicket, Tickets,
};
use astral_proto::{Code, Problem, Slug};
use astral_relay::control::{Answer, ControlPlane};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A control plane that cannot be reached while its wire is cut.
pub struct Wired {
    pub control: Arc<dyn ControlPlane>,
    pub is_cut: Arc<AtomicBool>,
}

impl Wired {
    fn pass<'a, T: Send + 'a>(&self, answer: Answer<'a, T>) -> Answer<'a, T> {
        if self.is_cut.load(Ordering::Relaxed) {
            return Box::pin(async {
                Err(Problem::new(Code::ControlPlaneAway, "the wire is cut"))
            });
        }
        answer
    }
}

impl ControlPlane for Wired {
    fn register(&self, request: Register) -> Answer<'_, Registered> {
        self.pass(self.control.register(request))
    }

    fn heartbeat(&self, statement: Heartbeat) -> Answer<'_, HeartbeatReply> {
        self.pass(self.control.heartbeat(statement))
    }

    fn leave(&self, request: Leave) -> Answer<'_, ()> {
        self.pass(self.control.leave(request))
    }

    fn go_live(&self, request: GoLive) -> Answer<'_, Grant> {
        self.pass(self.control.go_live(request))
    }

    fn publisher_gone(&self, report: PublisherGone) -> Answer<'_, ()> {
        self.pass(self.control.publisher_gone(report))
    }

    fn request_ticket(&self, request: RequestTicket) -> Answer<'_, Tickets> {
        self.pass(self.control.request_ticket(request))
    }

    fn confirm_ticket(&self, slug: &Slug, request: ConfirmTicket) -> Answer<'_, ()> {
        self.pass(self.control.confirm_ticket(slug, request))
    }

    fn switch_ticket(&self, request: SwitchTicket) -> Answer<'_, Standby> {
        self.pass(self.control.switch_ticket(request))
    }

    fn cancel_ticket(&self, slug: &Slug, request: CancelTicket) -> Answer<'_, ()> {
        self.pass(self.control.cancel_ticket(slug, request))
    }
}
