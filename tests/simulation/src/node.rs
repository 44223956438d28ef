//! A node of the simulation: what a relay knows of itself.

use crate::message::{GENERATION, Path, Ticket};
use astral_proto::message::{Carried, Heartbeat, HeldTicket, OriginState, Register, ServedTicket};
use astral_proto::model::{Role, Viewers};
use astral_proto::{FrameId, Incarnation, NodeId, Slug, TicketId};
use astral_relay::Failover;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What streams are charged and measured at, kbit/s.
pub const STREAM_KBPS: u32 = 2_500;
/// GOPs of the simulated streams, milliseconds.
const GOP_MS: u64 = 2_000;

/// Whether a node's process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It runs.
    Up,
    /// It was killed: its machine closes its sockets.
    Killed,
    /// It was cut off: nobody hears anything.
    CutOff,
}

/// One node.
pub struct SimNode {
    /// Its id.
    pub id: NodeId,
    /// The role it asks for.
    pub asked: Role,
    /// What it may send, kbit/s.
    pub limit_kbps: u32,
    /// The stream that its viewers want.
    pub wants: Option<u8>,
    /// Round trips to supernodes, microseconds.
    pub rtts: Vec<(NodeId, u32)>,
    /// Whether it runs.
    pub health: Health,
    /// When it last stopped to.
    pub died_at: u64,
    /// How often it has started.
    pub life: u32,
    /// Whether the coordinator has admitted it.
    pub registered: bool,
    /// What its last heartbeat said of the time.
    pub sent_at: u64,
    /// Links it serves.
    pub served: BTreeMap<TicketId, Ticket>,
    /// What they take, kbit/s.
    pub used_kbps: u64,
    /// Tickets that open no link any more.
    pub revoked: BTreeSet<TicketId>,
    /// Streams it has or wants.
    pub pulls: Vec<Pull>,
}

/// Where a pull is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The broker is asked.
    Asking,
    /// Until the broker is asked again.
    Waiting,
    /// The provider is asked.
    Opening(Ticket),
    /// The provider sends.
    Linked(Ticket),
    /// The publisher is here.
    Origin {
        /// Of this publish.
        epoch: u64,
        /// Its first GOP.
        first_gop: u64,
        /// When it began.
        since: u64,
    },
}

/// One stream on one node.
pub struct Pull {
    /// The stream.
    pub stream: u8,
    /// Grows with each question, so that late answers are told from those waited for.
    pub attempt: u32,
    /// Where it is.
    pub phase: Phase,
    /// The next ticket.
    pub standby: Option<Ticket>,
    /// The ticket of the link before.
    pub left: Option<TicketId>,
    /// Production's memory of failures.
    pub failover: Failover,
    /// Since when nothing comes, because a provider failed.
    pub failing_since: Option<u64>,
    /// The way from the origin.
    pub path: Path,
    /// Whether the relay says that it has its upstream: it does while it has a link, whatever comes over that.
    pub upstream_ok: bool,
    /// Whether frames come.
    pub flows: bool,
    /// Since when the provider says that it has lost its upstream.
    pub lost_since: Option<u64>,
    /// When a standby was asked for last.
    pub standby_asked_at: u64,
    /// Since when it is wanted and has never come.
    pub joining_since: Option<u64>,
    /// Fetches to be answered once it comes.
    pub fetches: Vec<u64>,
}

impl Pull {
    /// A stream that nobody sends yet.
    pub fn new(stream: u8, attempt: u32, now: u64) -> Self {
        Self {
            stream,
            attempt,
            phase: Phase::Waiting,
            standby: None,
            left: None,
            failover: Failover::default(),
            failing_since: None,
            path: Rc::new([]),
            upstream_ok: true,
            flows: false,
            lost_since: None,
            standby_asked_at: 0,
            joining_since: Some(now),
            fetches: Vec::new(),
        }
    }

    /// The ticket in use.
    pub fn active(&self) -> Option<Ticket> {
        match self.phase {
            Phase::Opening(ticket) | Phase::Linked(ticket) => Some(ticket),
            _ => None,
        }
    }

    /// Whether the stream flows here.
    pub fn is_served(&self) -> bool {
        matches!(self.phase, Phase::Linked(_) | Phase::Origin { .. })
            && self.flows
            && !self.path.is_empty()
    }

    fn origin_state(&self, now: u64) -> Option<(u64, OriginState)> {
        let Phase::Origin {
            epoch,
            first_gop,
            since,
        } = self.phase
        else {
            return None;
        };
        let state = OriginState {
            newest: FrameId::new(first_gop + (now - since) / GOP_MS, 0),
            newest_dts: now * 1_000,
            discontinuity: epoch,
            target_duration_seconds: Some(4),
            silent_ms: 0,
        };
        Some((epoch, state))
    }

    /// The stream as the node's heartbeat has it; none if it has not come yet.
    pub fn carried(&self, slugs: &[Slug], ids: &[NodeId], now: u64) -> Option<Carried> {
        let origin = self.origin_state(now);
        (!self.path.is_empty()).then(|| Carried {
            slug: slugs[self.stream as usize].clone(),
            incarnation: Incarnation::default(),
            epoch: origin.map_or(1, |(epoch, _)| epoch),
            path: self.path.iter().map(|node| ids[*node as usize]).collect(),
            standby: self.standby.map(|standby| ids[standby.provider as usize]),
            newest: None,
            kbps: STREAM_KBPS,
            viewers: Viewers::default(),
            origin: origin.map(|(_, state)| state),
            progress: None,
        })
    }
}

impl SimNode {
    /// The pull of a stream.
    pub fn pull(&mut self, stream: u8) -> Option<&mut Pull> {
        self.pulls.iter_mut().find(|pull| pull.stream == stream)
    }

    /// Whether its process runs.
    pub fn is_up(&self) -> bool {
        self.health == Health::Up
    }

    /// Whether one more link fits, as a relay counts.
    pub fn has_room(&self, ticket: &Ticket) -> bool {
        let limit = u64::from(self.limit_kbps);
        let limit = if ticket.standby {
            limit + limit / 4
        } else {
            limit
        };
        self.used_kbps + u64::from(ticket.kbps) <= limit
    }

    /// How it registers.
    pub fn register(&self) -> Register {
        Register {
            node: self.id,
            name: String::new(),
            role: self.asked,
            // Nobody connects here, and empty ones cost nothing to pass on.
            media_url: String::new(),
            rtmp_url: String::new(),
            advertise: String::new(),
            limit_kbps: self.limit_kbps,
            rtts: self.rtts.clone(),
            process: 0,
            sent_at: 0,
        }
    }

    /// Its whole truth.
    pub fn heartbeat(&mut self, slugs: &[Slug], ids: &[NodeId], now: u64) -> Heartbeat {
        self.sent_at = now.max(self.sent_at + 1);
        let serves = self.served.values().map(|ticket| ServedTicket {
            id: ticket.id,
            slug: slugs[ticket.stream as usize].clone(),
            subscriber: ids[ticket.subscriber as usize],
            kbps: ticket.kbps,
        });
        let held = |ticket: Ticket, standby, flows| HeldTicket {
            id: ticket.id,
            slug: slugs[ticket.stream as usize].clone(),
            provider: ids[ticket.provider as usize],
            standby,
            flows,
        };
        let holds = self.pulls.iter().flat_map(|pull| {
            let linked = matches!(pull.phase, Phase::Linked(_));
            let active = pull.active().map(|ticket| held(ticket, false, linked));
            active
                .into_iter()
                .chain(pull.standby.map(|ticket| held(ticket, true, false)))
        });
        Heartbeat {
            node: self.id,
            draining: false,
            limit_kbps: self.limit_kbps,
            viewer_kbps: 0,
            streams: self
                .pulls
                .iter()
                .filter_map(|pull| pull.carried(slugs, ids, now))
                .collect(),
            serves: serves.collect(),
            holds: holds.collect(),
            // Told at registration, and they do not change.
            rtts: vec![],
            generation: GENERATION,
            sent_at: self.sent_at,
            notices: vec![],
            process: 0,
        }
    }
}
