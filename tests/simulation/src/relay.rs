//! What a relay does for its own streams: ask, open, follow, fail over. The waits and the retries are production's.

use crate::message::{Down, Path, Said, Ticket, Up, Wire};
use crate::node::{Phase, Pull};
use crate::queue::{Alarm, Event};
use crate::world::World;
use astral_proto::limits::{HOPS_MAX, LINK_SILENCE, UPSTREAM_LOST};
use astral_proto::message::{ConfirmTicket, HeartbeatReply, RequestTicket, SwitchTicket};
use astral_proto::{Code, TicketId};
use astral_relay::STANDBY_RETRY;
use std::time::Duration;

/// How long a relay waits for the broker, and a provider for a revoked link to be left.
pub const PATIENCE: Duration = Duration::from_secs(5);

impl World {
    /// Starts to pull a stream unless that is under way.
    pub fn want(&mut self, node: u32, stream: u8) {
        let now = self.now;
        let here = self.node(node);
        if here.pull(stream).is_none() {
            let attempt = here.life << 20;
            here.pulls.push(Pull::new(stream, attempt, now));
            self.ask(node, stream);
        }
    }

    fn alarm_in(&mut self, node: u32, stream: u8, wait: Duration, alarm: Alarm) {
        let Some(pull) = self.node(node).pull(stream) else {
            return;
        };
        let attempt = pull.attempt;
        let at = self.now + wait.as_millis() as u64;
        self.queue.put(
            at,
            Event::Alarm {
                node,
                stream,
                attempt,
                alarm,
            },
        );
    }

    /// Moves a pull on, so that answers to what it asked before are late.
    fn enter(&mut self, node: u32, stream: u8, phase: Phase) -> Option<&mut Pull> {
        let pull = self.node(node).pull(stream)?;
        pull.attempt += 1;
        pull.phase = phase;
        Some(pull)
    }

    /// Asks the broker for tickets.
    pub fn ask(&mut self, node: u32, stream: u8) {
        let Some(pull) = self.enter(node, stream, Phase::Asking) else {
            return;
        };
        let attempt = pull.attempt;
        let exclude = pull.failover.excluded().to_vec();
        let dried_up = std::mem::replace(&mut pull.flows, false);
        let slug = self.slugs[stream as usize].clone();
        let subscriber = self.ids[node as usize];
        self.send_up(
            node,
            Up::Ask {
                ask: RequestTicket {
                    slug,
                    subscriber,
                    exclude,
                    left: vec![],
                },
                stream,
                attempt,
            },
        );
        self.alarm_in(node, stream, PATIENCE, Alarm::NoAnswer);
        if dried_up {
            self.tell_all(node, stream);
        }
    }

    fn no_ticket(&mut self, node: u32, stream: u8) {
        let Some(pull) = self.enter(node, stream, Phase::Waiting) else {
            return;
        };
        let failing = pull.failing_since.is_some();
        let pull = self.nodes[node as usize]
            .pulls
            .iter_mut()
            .find(|pull| pull.stream == stream);
        let Some(wait) = pull.map(|pull| pull.failover.no_ticket(&mut self.rng)) else {
            return;
        };
        self.figures.no_ticket += 1;
        self.alarm_in(node, stream, wait, Alarm::Retry);
        if failing {
            self.set_upstream_ok(node, stream, false);
        }
    }

    /// Something that a pull waited for has not come, or is due.
    pub fn alarm(&mut self, node: u32, stream: u8, attempt: u32, alarm: Alarm) {
        let now = self.now;
        let Some(pull) = self
            .node(node)
            .pull(stream)
            .filter(|pull| pull.attempt == attempt)
        else {
            return;
        };
        let lost = pull
            .lost_since
            .is_some_and(|since| now - since >= UPSTREAM_LOST.as_millis() as u64);
        match (pull.phase, alarm) {
            (Phase::Asking, Alarm::NoAnswer) => self.no_ticket(node, stream),
            (Phase::Waiting, Alarm::Retry) => self.ask(node, stream),
            (Phase::Opening(ticket), Alarm::NotOpened) => self.part(node, ticket),
            (Phase::Linked(ticket), Alarm::Silent) => self.part(node, ticket),
            (Phase::Linked(ticket), Alarm::UpstreamLost) if lost => self.part(node, ticket),
            _ => {}
        }
    }

    /// The broker's answer to a request.
    pub fn tickets(
        &mut self,
        node: u32,
        stream: u8,
        attempt: u32,
        granted: Result<(Ticket, Option<Ticket>), Code>,
    ) {
        let Some(pull) = self.node(node).pull(stream) else {
            return;
        };
        if pull.attempt != attempt || pull.phase != Phase::Asking {
            return;
        }
        match granted {
            Ok((active, standby)) => {
                (pull.standby, pull.left) = (standby, None);
                self.open(active);
            }
            Err(_) => self.no_ticket(node, stream),
        }
    }

    fn open(&mut self, ticket: Ticket) {
        let node = ticket.subscriber;
        let stream = ticket.stream;
        self.enter(node, stream, Phase::Opening(ticket));
        self.send_wire(ticket, Said::Open);
        self.alarm_in(node, stream, LINK_SILENCE, Alarm::NotOpened);
    }

    /// The provider of `ticket` has failed.
    pub fn part(&mut self, node: u32, ticket: Ticket) {
        self.leave(node, ticket, false);
    }

    /// The provider of `ticket` is left, and the next one tried.
    fn leave(&mut self, node: u32, ticket: Ticket, planned: bool) {
        let provider = &self.nodes[ticket.provider as usize];
        let provider_id = provider.id;
        let died_at = (!provider.is_up()).then_some(provider.died_at);
        let now = self.now;
        let Some(pull) = self.node(node).pull(ticket.stream) else {
            return;
        };
        if pull.active() != Some(ticket) {
            return;
        }
        if pull.joining_since.is_none() && !planned {
            let since = died_at.or(pull.lost_since).unwrap_or(now);
            pull.failing_since.get_or_insert(since);
        }
        pull.lost_since = None;
        pull.failover.parted(provider_id);
        let standby = pull.standby.take();
        if standby.is_some() {
            pull.left = Some(ticket.id);
        }
        self.send_wire(ticket, Said::HungUp);
        match standby {
            Some(standby) => self.open(standby),
            None => self.ask(node, ticket.stream),
        }
    }

    /// Something arrives on a link.
    pub fn wire(&mut self, wire: Wire) {
        let Wire { ticket, said } = wire;
        match said {
            Said::Open => self.admit(ticket),
            Said::HungUp => self.unserve(ticket.provider, ticket.id),
            Said::Sends {
                path,
                upstream_ok,
                flows,
                first,
            } => {
                if self.takes_link(ticket, &path, first) {
                    self.sends(ticket, &path, (upstream_ok, flows), first);
                }
            }
            Said::Closed => {
                if self.nodes[ticket.subscriber as usize].is_up() {
                    self.part(ticket.subscriber, ticket);
                }
            }
        }
    }

    /// Whether what comes over a link is wanted: it is the one in use, does not lead round, and not too far.
    fn takes_link(&mut self, ticket: Ticket, path: &Path, first: bool) -> bool {
        let node = ticket.subscriber;
        let stream = ticket.stream;
        let here = &mut self.nodes[node as usize];
        let up = here.is_up();
        let Some(pull) = here
            .pull(stream)
            .filter(|pull| up && pull.active() == Some(ticket))
        else {
            if first {
                self.send_wire(ticket, Said::HungUp);
            }
            return false;
        };
        if first {
            pull.phase = Phase::Linked(ticket);
            pull.attempt += 1;
        }
        let leads_round = path.contains(&node);
        let too_far = path.len() > HOPS_MAX as usize;
        if leads_round || too_far {
            self.figures.rings_left += u64::from(leads_round);
            self.figures.too_far_left += u64::from(too_far);
            self.part(node, ticket);
        } else if first {
            self.watch_ring(ticket);
            self.note_if_silent(ticket);
        }
        !leads_round && !too_far
    }

    /// A provider sends, or says what has changed.
    fn sends(
        &mut self,
        ticket: Ticket,
        path: &Path,
        (upstream_ok, flows): (bool, bool),
        first: bool,
    ) {
        let node = ticket.subscriber;
        let stream = ticket.stream;
        self.take_path(node, stream, path);
        if first {
            self.keep_books(node, ticket);
        }
        self.note_lost(node, stream, upstream_ok);
        self.set_upstream_ok(node, stream, true);
        self.take_supply(node, stream, flows && !path.is_empty());
    }

    fn take_path(&mut self, node: u32, stream: u8, path: &Path) {
        let Some(pull) = self.node(node).pull(stream).filter(|_| !path.is_empty()) else {
            return;
        };
        let longer: Path = path.iter().copied().chain([node]).collect();
        if pull.path != longer {
            pull.path = longer;
            self.check_path(node, stream);
            self.tell_all(node, stream);
        }
    }

    /// Tells the broker which ticket is in use.
    fn keep_books(&mut self, node: u32, ticket: Ticket) {
        let subscriber = self.ids[node as usize];
        let Some(left) = self
            .node(node)
            .pull(ticket.stream)
            .map(|pull| pull.left.take())
        else {
            return;
        };
        if left.is_none() {
            self.send_up(
                node,
                Up::Confirm(ConfirmTicket {
                    id: ticket.id,
                    subscriber,
                }),
            );
        } else {
            self.ask_for_standby(node, ticket, left);
        }
    }

    fn ask_for_standby(&mut self, node: u32, ticket: Ticket, left: Option<TicketId>) {
        let slug = self.slugs[ticket.stream as usize].clone();
        let subscriber = self.ids[node as usize];
        let now = self.now;
        let Some(pull) = self.node(node).pull(ticket.stream) else {
            return;
        };
        pull.standby_asked_at = now;
        let ask = SwitchTicket {
            slug,
            subscriber,
            active: ticket.id,
            left,
        };
        self.send_up(
            node,
            Up::Switch {
                ask,
                stream: ticket.stream,
            },
        );
    }

    /// The provider says whether it has its upstream.
    fn note_lost(&mut self, node: u32, stream: u8, upstream_ok: bool) {
        let now = self.now;
        let Some(pull) = self.node(node).pull(stream) else {
            return;
        };
        if upstream_ok {
            pull.lost_since = None;
        } else if pull.lost_since.is_none() {
            pull.lost_since = Some(now);
            self.alarm_in(node, stream, UPSTREAM_LOST, Alarm::UpstreamLost);
        }
    }

    /// Frames come over the link, or come no more.
    fn take_supply(&mut self, node: u32, stream: u8, flows: bool) {
        let now = self.now;
        let Some(pull) = self.node(node).pull(stream) else {
            return;
        };
        let changed = std::mem::replace(&mut pull.flows, flows) != flows;
        if !flows {
            if changed {
                self.tell_all(node, stream);
            }
            return;
        }
        pull.failover.settled();
        let gap = pull.failing_since.take().map(|since| now - since);
        let joined = pull.joining_since.take().map(|since| now - since);
        let fetches = std::mem::take(&mut pull.fetches);
        if let Some(gap) = gap {
            self.figures
                .note_gap(gap, now - gap <= self.live_since[stream as usize]);
        }
        if let Some(joined) = joined {
            self.figures.note_join(now, joined);
        }
        if changed {
            self.tell_all(node, stream);
        }
        fetches
            .into_iter()
            .for_each(|fetch| self.answer_fetch(node, stream, fetch));
    }

    fn set_upstream_ok(&mut self, node: u32, stream: u8, ok: bool) {
        let Some(pull) = self.node(node).pull(stream) else {
            return;
        };
        if std::mem::replace(&mut pull.upstream_ok, ok) != ok {
            self.tell_all(node, stream);
        }
    }

    /// What the control services say to a node.
    pub fn node_hears(&mut self, node: u32, down: Down) {
        if !self.nodes[node as usize].is_up() {
            return;
        }
        match down {
            Down::Registered => self.registered(node),
            Down::Reply(reply, replaced) => {
                self.heed(node, &reply);
                replaced
                    .into_iter()
                    .for_each(|(left, by)| self.go_over(node, left, by));
            }
            Down::Tickets {
                stream,
                attempt,
                granted,
            } => self.tickets(node, stream, attempt, granted),
            Down::Standby {
                stream,
                active,
                standby,
            } => {
                let pull = self.node(node).pull(stream);
                if let Some(pull) = pull.filter(|p| p.active().is_some_and(|now| now.id == active))
                {
                    pull.standby = standby;
                }
            }
            Down::Fetch { fetch, stream } => self.fetch(node, stream, fetch),
            Down::Revoke(id) => self.revoked(node, id),
            Down::Granted {
                stream,
                epoch,
                first_gop,
            } => self.become_origin(node, stream, epoch, first_gop),
            Down::Fence { stream, epoch } => self.give_way(node, stream, epoch),
        }
    }

    /// Takes the answer to a heartbeat.
    fn heed(&mut self, node: u32, reply: &HeartbeatReply) {
        if reply.register {
            let register = self.node(node).register();
            self.send_up(node, Up::Register(register));
        }
        let lost = &reply.tickets.lost;
        if lost.is_empty() {
            return;
        }
        let mut revoked = Vec::new();
        for pull in &mut self.node(node).pulls {
            pull.standby = pull
                .standby
                .take()
                .filter(|standby| !lost.contains(&standby.id));
            revoked.extend(pull.active().filter(|active| lost.contains(&active.id)));
        }
        self.figures.tickets_lost += revoked.len() as u64;
        revoked
            .into_iter()
            .for_each(|ticket| self.part(node, ticket));
    }

    /// A ticket takes the place of another: of the one in use at once, of a standby as such.
    fn go_over(&mut self, node: u32, left: TicketId, by: Ticket) {
        let Some(pull) = self.node(node).pull(by.stream) else {
            return;
        };
        let active = pull.active().filter(|active| active.id == left);
        if active.is_some() || pull.standby.is_some_and(|standby| standby.id == left) {
            pull.standby = Some(by);
        }
        if let Some(active) = active {
            self.leave(node, active, true);
        }
    }

    /// A standby is asked for where there is none.
    pub fn look_for_standbys(&mut self, node: u32) {
        let due = self.now.saturating_sub(STANDBY_RETRY.as_millis() as u64);
        let alone = |pull: &&Pull| pull.standby.is_none() && pull.standby_asked_at <= due;
        let alone = self.nodes[node as usize].pulls.iter().filter(alone);
        let linked = alone.filter_map(|pull| match pull.phase {
            Phase::Linked(ticket) => Some(ticket),
            _ => None,
        });
        let linked: Vec<Ticket> = linked.collect();
        linked
            .into_iter()
            .for_each(|ticket| self.ask_for_standby(node, ticket, None));
    }
}
