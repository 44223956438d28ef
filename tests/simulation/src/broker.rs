//! The broker around production's rules: judge, draw, reserve in the ledger.

use crate::message::{Down, GENERATION, Ticket};
use crate::queue::Event;
use crate::world::World;
use astral_proto::message::{Carried, ConfirmTicket, RequestTicket, SwitchTicket};
use astral_proto::model::{Node, Role};
use astral_proto::{Code, NodeId, TicketId};
use astral_ticket_broker::candidate_index::bucket_of;
use astral_ticket_broker::carrier::{Carrier, Carriers};
use astral_ticket_broker::judge::draw::{Choice, draw_provider, tries_max};
use astral_ticket_broker::judge::fetch::supernode_to_fetch;
use astral_ticket_broker::judge::standby::rank_standbys;
use astral_ticket_broker::judge::{Asker, Candidate, rank_providers, ticket_kbps};
use astral_ticket_broker::ledger::{Entry, Moment, Refusal};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a supernode may take to fetch a stream for its child.
const FETCHED_WITHIN: Duration = Duration::from_secs(4);
/// Requests that wait for a supernode at a time, as in three broker replicas.
const FETCHES_MAX: usize = 3 * 128;

/// What a relay said last.
#[derive(Clone, Debug)]
pub struct Relay {
    pub node: Node,
    pub rtts: Vec<(NodeId, u32)>,
    pub streams: Vec<u8>,
    pub holds: Vec<TicketId>,
    pub sent_at: u64,
}

/// A request that waits for a supernode to fetch the stream.
#[derive(Debug)]
pub struct Parked {
    from: u32,
    ask: RequestTicket,
    stream: u8,
    attempt: u32,
    primary: NodeId,
}

impl World {
    /// A relay needs a stream.
    pub fn request(&mut self, from: u32, ask: RequestTicket, stream: u8, attempt: u32) {
        let asker = self.asker(from, ask.exclude.iter().copied().collect());
        let first = self
            .carriers(stream, &asker)
            .and_then(|carriers| supernode_to_fetch(&asker, &carriers));
        match first {
            Some(primary) if self.control.parked.len() < FETCHES_MAX => {
                self.control.last_fetch += 1;
                let fetch = self.control.last_fetch;
                self.control.parked.insert(
                    fetch,
                    Parked {
                        from,
                        ask,
                        stream,
                        attempt,
                        primary,
                    },
                );
                self.send_down(self.numbers[&primary], Down::Fetch { fetch, stream });
                let at = self.now + FETCHED_WITHIN.as_millis() as u64;
                self.queue.put(at, Event::FetchTimedOut(fetch));
            }
            _ => self.answer(from, &asker, stream, attempt),
        }
    }

    /// A supernode has fetched.
    pub fn fetched(&mut self, fetch: u64, carried: Option<Carried>) {
        let Some(parked) = self.control.parked.remove(&fetch) else {
            return;
        };
        let known = self.control.relays[self.numbers[&parked.primary] as usize].clone();
        if let Some((relay, carried)) = known.zip(carried) {
            self.hear_carrier(&relay.node, &carried, parked.stream);
        }
        self.go_on(parked);
    }

    /// A supernode has not fetched in time.
    pub fn fetch_timed_out(&mut self, fetch: u64) {
        if let Some(parked) = self.control.parked.remove(&fetch) {
            self.figures.fetches_late += 1;
            self.go_on(parked);
        }
    }

    fn go_on(&mut self, parked: Parked) {
        let asker = self.asker(parked.from, parked.ask.exclude.into_iter().collect());
        self.answer(parked.from, &asker, parked.stream, parked.attempt);
    }

    fn answer(&mut self, from: u32, asker: &Asker, stream: u8, attempt: u32) {
        let granted = self.grant(asker, stream);
        self.send_down(
            from,
            Down::Tickets {
                stream,
                attempt,
                granted,
            },
        );
    }

    fn grant(&mut self, asker: &Asker, stream: u8) -> Result<(Ticket, Option<Ticket>), Code> {
        let carriers = self.carriers(stream, asker).ok_or(Code::Unavailable)?;
        let fit = rank_providers(asker, &carriers, &mut Vec::new());
        let active = self.reserve(asker, stream, &carriers, &fit, false)?;
        let provider = self.ids[active.provider as usize];
        self.note_upstream(asker.node, stream, provider);
        let ranked = rank_standbys(&fit, &carriers, provider);
        Ok((
            active,
            self.reserve(asker, stream, &carriers, &ranked, true).ok(),
        ))
    }

    /// Draws providers until one has room.
    pub fn reserve(
        &mut self,
        asker: &Asker,
        stream: u8,
        carriers: &Carriers,
        fit: &[Candidate<'_>],
        standby: bool,
    ) -> Result<Ticket, Code> {
        let now = self.now;
        let at = Moment {
            now,
            truce: self.control.truce(now),
            generation: GENERATION,
        };
        let mut refused = BTreeSet::new();
        let mut code = Code::Unavailable;
        for _ in 0..tries_max(standby) {
            let Some(Choice { carrier, .. }) =
                draw_provider(fit, &refused, &asker.rtts, &mut self.rng)
            else {
                break;
            };
            let id = self.ticket_id();
            let node = carrier.node.uuid;
            let charge = ticket_kbps(carriers, carrier);
            let hops = carrier.hops() + 1;
            let slug = self.slugs[stream as usize].clone();
            let entry = Entry::offered(slug, asker.node, standby, charge, hops, now);
            let provider = self.numbers[&node];
            let subscriber = self.numbers[&asker.node];
            let ledger = self.control.ledgers[provider as usize].as_mut();
            match ledger.map_or(Err(Refusal::Lost), |ledger| ledger.offer(id, entry, at)) {
                Ok(()) => {
                    if !standby {
                        self.control.indexes[stream as usize].charge(node, charge);
                    }
                    self.control.places.insert(id, (provider, stream));
                    self.figures.grants += 1;
                    self.check_grant(provider, standby, hops);
                    return Ok(Ticket {
                        id,
                        provider,
                        subscriber,
                        stream,
                        kbps: charge,
                        standby,
                    });
                }
                Err(refusal) => {
                    self.figures.refusals += 1;
                    if !standby {
                        self.control.indexes[stream as usize].mark_full(node);
                    }
                    code = if refusal == Refusal::Full {
                        Code::Full
                    } else {
                        code
                    };
                    refused.insert(node);
                }
            }
        }
        Err(code)
    }

    /// Those who may provide a stream that is on air to `asker`.
    pub fn carriers(&mut self, stream: u8, asker: &Asker) -> Option<Carriers> {
        let record = &self.control.records[stream as usize];
        let origin = record.origin.filter(|_| record.on_air())?;
        let known = self.control.indexes[stream as usize].get(origin);
        let epoch = |carrier: &Carrier| carrier.carried.as_ref().map_or(0, |carried| carried.epoch);
        if !known.is_some_and(|carrier| carrier.is_origin() && epoch(carrier) >= record.epoch) {
            self.probe_origin(origin, stream);
        }
        let mut carriers =
            self.control.indexes[stream as usize].shortlist(origin, asker, &mut self.rng);
        carriers.retain(|node, carrier| *node == origin || !carrier.is_origin());
        Some(carriers)
    }

    /// Asks an origin not heard of as such yet how it carries the stream.
    fn probe_origin(&mut self, origin: NodeId, stream: u8) {
        let at = self.numbers[&origin] as usize;
        let pull = self.nodes[at]
            .pulls
            .iter()
            .find(|pull| pull.stream == stream);
        let carried = pull.and_then(|pull| pull.carried(&self.slugs, &self.ids, self.now));
        if let Some((relay, carried)) = self.control.relays[at].clone().zip(carried) {
            self.hear_carrier(&relay.node, &carried, stream);
        }
    }

    pub fn asker(&self, from: u32, exclude: BTreeSet<NodeId>) -> Asker {
        let relay = self.control.relays[from as usize].as_ref();
        Asker {
            node: self.ids[from as usize],
            role: relay.map_or(Role::Node, |relay| relay.node.role),
            primary: relay.and_then(|relay| relay.node.primary_supernode),
            rtts: relay.map_or_else(BTreeMap::new, |relay| relay.rtts.iter().copied().collect()),
            exclude,
        }
    }

    pub fn hear_carrier(&mut self, node: &Node, carried: &Carried, stream: u8) {
        if carried.path.last() != Some(&node.uuid) {
            return;
        }
        let index = &mut self.control.indexes[stream as usize];
        let before = index.get(node.uuid);
        let said = Carrier::reported(
            node.clone(),
            carried.clone(),
            before.and_then(|known| known.upstream),
            self.now,
        );
        let stands = before
            .filter(|before| bucket_of(before) == bucket_of(&said))
            .map(|before| before.since);
        index.insert(Carrier {
            since: stands.unwrap_or(self.now),
            ..said
        });
    }

    pub fn note_upstream(&mut self, node: NodeId, stream: u8, provider: NodeId) {
        self.control.indexes[stream as usize].note_grant(node, provider, self.now);
    }

    /// The link by a ticket is open.
    pub fn confirm(&mut self, ask: ConfirmTicket) {
        let Some((provider, _)) = self.control.places.get(&ask.id).copied() else {
            return;
        };
        if let Some(ledger) = &mut self.control.ledgers[provider as usize] {
            let confirmed = ledger.confirm(ask.id, ask.subscriber, self.now);
            self.figures.confirmed_late += u64::from(confirmed.is_err());
        }
    }

    /// A standby is in use, and another one wanted.
    pub fn switch(&mut self, from: u32, ask: &SwitchTicket, stream: u8) {
        let Some((provider, _)) = self.control.places.get(&ask.active).copied() else {
            return;
        };
        let Some(ledger) = &mut self.control.ledgers[provider as usize] else {
            return;
        };
        let waited = ledger
            .tickets
            .get(&ask.active)
            .is_some_and(|entry| entry.standby);
        if ledger
            .activate(ask.active, ask.subscriber, self.now)
            .is_err()
        {
            self.figures.switches_refused += 1;
            return;
        }
        if waited {
            self.check_switch(provider);
        }
        let left = ask
            .left
            .and_then(|left| Some((left, self.control.places.get(&left)?.0)));
        if let Some((left, _)) = left {
            self.cancel(left, ask.subscriber);
        }
        let exclude = left
            .map(|(_, provider)| self.ids[provider as usize])
            .into_iter()
            .collect();
        let standby = self.next_standby(from, stream, self.ids[provider as usize], exclude);
        self.send_down(
            from,
            Down::Standby {
                stream,
                active: ask.active,
                standby,
            },
        );
    }

    fn next_standby(
        &mut self,
        from: u32,
        stream: u8,
        active: NodeId,
        exclude: BTreeSet<NodeId>,
    ) -> Option<Ticket> {
        self.note_upstream(self.ids[from as usize], stream, active);
        let asker = self.asker(from, exclude);
        let carriers = self.carriers(stream, &asker)?;
        let fit = rank_providers(&asker, &carriers, &mut Vec::new());
        let ranked = rank_standbys(&fit, &carriers, active);
        self.reserve(&asker, stream, &carriers, &ranked, true).ok()
    }
}
