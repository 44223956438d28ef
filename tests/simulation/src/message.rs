//! What nodes, control services and relay links say to each other: production's messages, with who said them.

use astral_proto::message::{
    CancelTicket, Carried, ConfirmTicket, Heartbeat, HeartbeatReply, Register, RequestTicket,
    SwitchTicket,
};
use astral_proto::{Code, TicketId};
use std::rc::Rc;

/// From the origin to a relay, both included; empty before the first link.
pub type Path = Rc<[u32]>;

/// The one generation of all ledgers: nothing wipes the state here.
pub const GENERATION: u32 = 1;

/// A ticket as its subscriber holds it. What production signs is believed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Its id.
    pub id: TicketId,
    /// Who sends.
    pub provider: u32,
    /// Who pulls.
    pub subscriber: u32,
    /// What.
    pub stream: u8,
    /// What it is charged.
    pub kbps: u32,
    /// Whether it was granted as a standby.
    pub standby: bool,
}

/// From a node to the control services.
#[derive(Clone, Debug)]
pub enum Up {
    /// To the coordinator.
    Register(Register),
    /// To the coordinator.
    Heartbeat(Heartbeat),
    /// To the coordinator.
    Leave,
    /// To the broker.
    Ask {
        ask: RequestTicket,
        stream: u8,
        attempt: u32,
    },
    /// To the broker.
    Confirm(ConfirmTicket),
    /// To the broker.
    Switch { ask: SwitchTicket, stream: u8 },
    /// To the broker.
    Cancel(CancelTicket),
    /// To the broker.
    Fetched {
        fetch: u64,
        carried: Option<Carried>,
    },
    /// To the directory.
    GoLive { stream: u8 },
}

/// From the control services to a node.
#[derive(Clone, Debug)]
pub enum Down {
    /// Of the coordinator.
    Registered,
    /// Of the coordinator, with the tickets that take the place of others.
    Reply(HeartbeatReply, Vec<(TicketId, Ticket)>),
    /// Of the broker.
    Tickets {
        stream: u8,
        attempt: u32,
        granted: Result<(Ticket, Option<Ticket>), Code>,
    },
    /// Of the broker: a standby for the ticket in use.
    Standby {
        stream: u8,
        active: TicketId,
        standby: Option<Ticket>,
    },
    /// Of the broker.
    Fetch { fetch: u64, stream: u8 },
    /// Of the broker.
    Revoke(TicketId),
    /// Of the directory.
    Granted {
        stream: u8,
        epoch: u64,
        first_gop: u64,
    },
    /// Of the directory.
    Fence { stream: u8, epoch: u64 },
}

/// On the link of a ticket.
#[derive(Clone, Debug)]
pub struct Wire {
    /// Whose link.
    pub ticket: Ticket,
    /// What is said.
    pub said: Said,
}

/// What is said on a link.
#[derive(Clone, Debug)]
pub enum Said {
    /// The subscriber asks for the stream.
    Open,
    /// The provider's first records, and again when they change: its path, whether it has lost its own upstream, and
    /// whether frames come.
    Sends {
        path: Path,
        upstream_ok: bool,
        flows: bool,
        first: bool,
    },
    /// The provider does not send, or no longer.
    Closed,
    /// The subscriber has gone.
    HungUp,
}
