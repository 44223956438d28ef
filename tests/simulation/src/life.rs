//! How nodes and publishers come and go.

use crate::message::{Said, Ticket, Up};
use crate::node::{Health, Phase, Pull};
use crate::queue::{Alarm, Event};
use crate::world::World;
use astral_proto::limits::LINK_SILENCE;
use astral_proto::message::CancelTicket;
use astral_proto::model::Role;
use rand::Rng;
use std::rc::Rc;

/// Until a provider notices that a machine cut off reads no more, milliseconds.
const CUT_OFF_NOTICED_MS: u64 = 5_000;
/// One node in this many crashes in a minute of faults.
const CRASH_ONE_IN_A_MINUTE: u64 = 25;
/// One crash in this many hits a supernode.
const SUPERNODE_ONE_IN: u32 = 8;
/// The machine that has the publisher fails so often in a minute of faults, on average: it fails no more often because
/// more watch, and with a failure for every so many nodes a large network would have no stream to be judged by.
const ORIGIN_CRASHES_A_MINUTE: u32 = 5;

impl World {
    /// A node's process starts.
    pub fn start(&mut self, node: u32) {
        let here = self.node(node);
        if here.is_up() {
            return;
        }
        here.health = Health::Up;
        here.life += 1;
        here.registered = false;
        let life = here.life;
        let register = here.register();
        self.figures.starts += 1;
        self.send_up(node, Up::Register(register));
        self.beat_again(node, life);
    }

    /// A node has been admitted.
    pub fn registered(&mut self, node: u32) {
        let here = self.node(node);
        here.registered = true;
        if let Some(stream) = here.wants {
            self.want(node, stream);
        }
    }

    /// A node says everything, or that it wants to be admitted.
    pub fn beat(&mut self, node: u32, life: u32) {
        let slugs = &self.slugs;
        let ids = &self.ids;
        let now = self.now;
        let here = &mut self.nodes[node as usize];
        if !here.is_up() || here.life != life {
            return;
        }
        let up = if here.registered {
            Up::Heartbeat(here.heartbeat(slugs, ids, now))
        } else {
            Up::Register(here.register())
        };
        self.send_up(node, up);
        self.look_for_standbys(node);
        self.beat_again(node, life);
    }

    /// Somebody crashes, is cut off or leaves; most come back.
    pub fn crash_somebody(&mut self) {
        let plan = self.scenario.plan();
        if self.now >= plan.calm {
            return;
        }
        let node = self.victim();
        let how = self.rng.random_range(0..100);
        if self.nodes[node as usize].is_up() {
            match how {
                0..20 => {
                    self.send_up(node, Up::Leave);
                    self.stop(node, Health::Killed);
                }
                20..60 => self.stop(node, Health::Killed),
                _ => self.stop(node, Health::CutOff),
            }
            if self.rng.random_range(0..100) < 70 {
                let back = self.now + self.rng.random_range(500..20_000);
                self.queue.put(back.min(plan.calm), Event::Start(node));
            }
        }
        let mean = (60_000 * CRASH_ONE_IN_A_MINUTE / self.nodes.len() as u64).max(1);
        let next = self.rng.random_range(0..=2 * mean);
        self.queue.put(self.now + next, Event::Crash);
    }

    /// Whom the next crash hits: anybody, often enough a supernode, now and then an origin.
    fn victim(&mut self) -> u32 {
        let all = self.nodes.len() as u32;
        let crashes = all / CRASH_ONE_IN_A_MINUTE as u32;
        let origin = self.control.records[0]
            .origin
            .map(|origin| self.numbers[&origin]);
        match (
            self.rng.random_range(0..crashes.max(1)),
            self.rng.random_range(0..SUPERNODE_ONE_IN),
            origin,
        ) {
            (..ORIGIN_CRASHES_A_MINUTE, _, Some(origin)) => origin,
            (_, 0, _) => self.rng.random_range(0..self.scenario.supernodes() as u32),
            _ => self.rng.random_range(0..all),
        }
    }

    fn stop(&mut self, node: u32, health: Health) {
        let now = self.now;
        let here = self.node(node);
        (here.health, here.died_at, here.registered, here.used_kbps) = (health, now, false, 0);
        here.revoked.clear();
        let served = std::mem::take(&mut here.served);
        let pulls = std::mem::take(&mut here.pulls);
        self.figures.stops += 1;
        self.watch_leases(node);
        served
            .into_values()
            .for_each(|ticket| self.lose_provider(ticket, health));
        for pull in pulls {
            self.lose_subscriber(&pull, health);
            if matches!(pull.phase, Phase::Origin { .. }) {
                let back = now + self.rng.random_range(1_000..4_000);
                self.queue.put(
                    back,
                    Event::Publish {
                        stream: pull.stream,
                    },
                );
            }
        }
    }

    /// The provider of `ticket` has stopped: its subscriber sees its socket closed, or nothing any more.
    fn lose_provider(&mut self, ticket: Ticket, health: Health) {
        if health == Health::Killed {
            return self.send_wire(ticket, Said::Closed);
        }
        self.fall_silent(ticket);
    }

    /// A link whose provider stopped while its first word was on its way has nobody at the other end: it falls silent too.
    pub fn note_if_silent(&mut self, ticket: Ticket) {
        if !self.nodes[ticket.provider as usize]
            .served
            .contains_key(&ticket.id)
        {
            self.fall_silent(ticket);
        }
    }

    fn fall_silent(&mut self, ticket: Ticket) {
        let node = ticket.subscriber;
        let stream = ticket.stream;
        let Some(pull) = self
            .node(node)
            .pull(stream)
            .filter(|pull| pull.active() == Some(ticket))
        else {
            return;
        };
        let attempt = pull.attempt;
        let at = self.now + LINK_SILENCE.as_millis() as u64;
        self.queue.put(
            at,
            Event::Alarm {
                node,
                stream,
                attempt,
                alarm: Alarm::Silent,
            },
        );
    }

    /// The subscriber of a link has stopped: its provider sees so at once, or when it has sent for too long.
    fn lose_subscriber(&mut self, pull: &Pull, health: Health) {
        let Some(ticket) = pull.active() else { return };
        if health == Health::Killed {
            return self.send_wire(ticket, Said::HungUp);
        }
        let wire = crate::message::Wire {
            ticket,
            said: Said::HungUp,
        };
        self.queue
            .put(self.now + CUT_OFF_NOTICED_MS, Event::Wire(wire));
    }

    /// A publisher comes to some supernode that is up, and comes again until it is let in.
    pub fn publish(&mut self, stream: u8) {
        let on_air =
            |pull: &Pull| pull.stream == stream && matches!(pull.phase, Phase::Origin { .. });
        if self
            .nodes
            .iter()
            .any(|node| node.is_up() && node.pulls.iter().any(on_air))
        {
            return;
        }
        let supernodes = self.scenario.supernodes() as u32;
        let node = self.rng.random_range(0..supernodes);
        let here = &self.nodes[node as usize];
        if here.is_up() && here.registered && here.asked == Role::Supernode {
            self.send_up(node, Up::GoLive { stream });
        }
        self.queue.put(self.now + 1_000, Event::Publish { stream });
    }

    /// The directory lets a publisher in here.
    pub fn become_origin(&mut self, node: u32, stream: u8, epoch: u64, first_gop: u64) {
        let now = self.now;
        self.let_go(node, stream);
        let here = self.node(node);
        if here.pull(stream).is_none() {
            let attempt = here.life << 20;
            here.pulls.push(Pull::new(stream, attempt, now));
        }
        let Some(pull) = here.pull(stream) else {
            return;
        };
        if matches!(pull.phase, Phase::Origin { epoch: known, .. } if known >= epoch) {
            return;
        }
        pull.attempt += 1;
        pull.phase = Phase::Origin {
            epoch,
            first_gop,
            since: now,
        };
        (pull.path, pull.upstream_ok, pull.flows) = (Rc::new([node]), true, true);
        (pull.lost_since, pull.failing_since, pull.joining_since) = (None, None, None);
        self.live_since[stream as usize] = now;
        self.tell_all(node, stream);
    }

    /// Another relay is origin of a later publish: this one pulls from now on.
    pub fn give_way(&mut self, node: u32, stream: u8, epoch: u64) {
        let Some(pull) = self.node(node).pull(stream) else {
            return;
        };
        if matches!(pull.phase, Phase::Origin { epoch: known, .. } if known < epoch) {
            self.figures.fenced += 1;
            self.ask(node, stream);
        }
    }

    /// Gives back what a pull holds.
    pub fn let_go(&mut self, node: u32, stream: u8) {
        let id = self.ids[node as usize];
        let Some(pull) = self.node(node).pull(stream) else {
            return;
        };
        let active = pull.active();
        let standby = pull.standby.take();
        active
            .into_iter()
            .for_each(|ticket| self.send_wire(ticket, Said::HungUp));
        for ticket in active.into_iter().chain(standby) {
            self.send_up(
                node,
                Up::Cancel(CancelTicket {
                    id: ticket.id,
                    node: id,
                }),
            );
        }
    }
}
