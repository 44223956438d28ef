//! The control services around production's rules: what they keep, and in which order they apply which rule. The
//! coordinator and the directory are here, the broker beside.

use crate::Scenario;
use crate::check::Fault;
use crate::message::{Down, Up};
use crate::node::Phase;
use crate::world::{SWEEP_MS, World};
use astral_directory::grant::{granted, next_grant, origin_to_ask, refuse_if_alive};
use astral_directory::liveness::{self, Report, Verdict};
use astral_directory::record::Record;
use astral_proto::limits::{CHILDREN_MAX, LEASE};
use astral_proto::message::{GoLive, Heartbeat, HeartbeatReply, Probed, Register, RenewTickets};
use astral_proto::model::{NodeState, Role};
use astral_proto::{Incarnation, NodeId, TicketId};
use astral_supernode_coordinator::member::{self, Heard, Member, Silence};
use astral_supernode_coordinator::placement::{Seats, candidates, is_supernode, may_be_promoted};
use astral_ticket_broker::candidate_index::CandidateIndex;
use astral_ticket_broker::ledger::Ledger;
use astral_ticket_broker::reparent::MoveBudget;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Everything that the control services keep, by number of the node or stream.
pub struct Control {
    /// When they started: no silence counts within a lease of it.
    pub started_at: u64,
    /// Of the coordinator.
    pub members: Vec<Option<Member>>,
    /// Of the coordinator: supernodes and their children.
    pub seats: Vec<(NodeId, Seats)>,
    seats_at: HashMap<NodeId, usize>,
    /// Of the broker: what each relay said last.
    pub relays: Vec<Option<crate::broker::Relay>>,
    /// Of the broker: what each relay has promised.
    pub ledgers: Vec<Option<Ledger>>,
    /// Of the broker: who carries each stream.
    pub indexes: Vec<CandidateIndex>,
    /// Of the broker: whose ledger a ticket is in, and for which stream.
    pub places: HashMap<TicketId, (u32, u8)>,
    /// Of the broker: requests that wait for a supernode to fetch.
    pub parked: BTreeMap<u64, crate::broker::Parked>,
    /// Of the broker: the last such request.
    pub last_fetch: u64,
    /// Of the broker: what each stream may still move.
    pub move_budgets: Vec<MoveBudget>,
    /// Of the directory.
    pub records: Vec<Record>,
    /// Of the directory: when a relay last said that it gets each stream's frames.
    pub carried_at: Vec<u64>,
}

impl Control {
    /// Services that know of nothing.
    pub fn new(scenario: &Scenario, now: u64) -> Self {
        let record = |at: usize| {
            let slug = format!("stream-{at}").parse().expect("it is a slug");
            Record::new(slug, None, 0, now)
        };
        Self {
            started_at: now,
            members: vec![None; scenario.nodes],
            seats: Vec::new(),
            seats_at: HashMap::new(),
            relays: vec![None; scenario.nodes],
            ledgers: vec![None; scenario.nodes],
            indexes: vec![CandidateIndex::default(); scenario.streams],
            places: HashMap::new(),
            parked: BTreeMap::new(),
            last_fetch: 0,
            move_budgets: vec![MoveBudget::default(); scenario.streams],
            records: (0..scenario.streams).map(record).collect(),
            carried_at: vec![0; scenario.streams],
        }
    }

    /// Whether silence means nothing yet.
    pub fn truce(&self, now: u64) -> bool {
        now < self.started_at + LEASE.as_millis() as u64
    }

    fn open_seats(&mut self, supernode: NodeId, draining: bool) {
        let at = *self.seats_at.entry(supernode).or_insert_with(|| {
            self.seats.push((supernode, Seats::default()));
            self.seats.len() - 1
        });
        self.seats[at].1.draining = draining;
    }

    fn seats_of(&mut self, supernode: NodeId) -> Option<&mut Seats> {
        self.seats_at
            .get(&supernode)
            .map(|at| &mut self.seats[*at].1)
    }

    fn close_seats(&mut self, supernode: NodeId) -> Vec<NodeId> {
        let Some(at) = self.seats_at.remove(&supernode) else {
            return Vec::new();
        };
        let (_, seats) = self.seats.swap_remove(at);
        if let Some((moved, _)) = self.seats.get(at) {
            self.seats_at.insert(*moved, at);
        }
        seats.children.into_keys().collect()
    }

    fn rise(&mut self, supernode: NodeId, child: NodeId, settled: u64) {
        let Some(seats) = self.seats_of(supernode) else {
            return;
        };
        if seats.children.get(&child).is_some_and(|at| *at <= settled) {
            seats.children.remove(&child);
        }
    }

    /// The rule puts the supernode that a node has, and those it has measured the way to, before all others; so the others
    /// are sorted only when none of these has room.
    fn find_seat(&mut self, member: &Member, has: Option<NodeId>, now: u64) -> Option<NodeId> {
        let known = member
            .rtts
            .iter()
            .map(|(supernode, _)| *supernode)
            .chain(has);
        let at: BTreeSet<usize> = known
            .filter_map(|known| self.seats_at.get(&known).copied())
            .collect();
        let known: Vec<(NodeId, Seats)> = at.into_iter().map(|at| self.seats[at].clone()).collect();
        let ranked = candidates(member.node.uuid, &member.rtts, &known, CHILDREN_MAX);
        self.sit(member.node.uuid, ranked, now).or_else(|| {
            let ranked = candidates(member.node.uuid, &member.rtts, &self.seats, CHILDREN_MAX);
            self.sit(member.node.uuid, ranked, now)
        })
    }

    fn sit(&mut self, node: NodeId, ranked: Vec<NodeId>, now: u64) -> Option<NodeId> {
        ranked.into_iter().find(|supernode| {
            self.seats_of(*supernode)
                .is_some_and(|seats| seats.admit(node, CHILDREN_MAX, now))
        })
    }

    fn place(
        &mut self,
        member: &Member,
        before: Option<&Member>,
        now: u64,
    ) -> (Role, Option<NodeId>) {
        if is_supernode(member.asked, before) {
            return (Role::Supernode, None);
        }
        match self.find_seat(
            member,
            before.and_then(|before| before.node.primary_supernode),
            now,
        ) {
            None if may_be_promoted(member.asked, member.node.limit_kbps) => {
                (Role::Supernode, None)
            }
            primary => (Role::Node, primary),
        }
    }
}

impl World {
    /// A message reaches the control services.
    pub fn control_hears(&mut self, from: u32, up: Up) {
        match up {
            Up::Register(ask) => self.admit_node(from, &ask),
            Up::Heartbeat(said) => self.hear(from, said),
            Up::Leave => self.left(from),
            Up::Ask {
                ask,
                stream,
                attempt,
            } => self.request(from, ask, stream, attempt),
            Up::Confirm(ask) => self.confirm(ask),
            Up::Switch { ask, stream } => self.switch(from, &ask, stream),
            Up::Cancel(ask) => self.cancel(ask.id, ask.node),
            Up::Fetched { fetch, carried } => self.fetched(fetch, carried),
            Up::GoLive { stream } => self.go_live(from, stream),
        }
    }

    fn admit_node(&mut self, from: u32, ask: &Register) {
        let at = from as usize;
        let now = self.now;
        let before = self.control.members[at].take();
        let mut member = member::joined(ask, before.as_ref(), now);
        let (role, primary) = self.control.place(&member, before.as_ref(), now);
        (member.node.role, member.node.primary_supernode) = (role, primary);
        self.control.members[at] = Some(member.clone());
        if let Some(before) = before {
            self.leave_old_place(&before, &member);
        }
        if role == Role::Supernode {
            self.control.open_seats(ask.node, false);
        }
        self.note_registered(from, &member);
        self.send_down(from, Down::Registered);
    }

    fn leave_old_place(&mut self, before: &Member, member: &Member) {
        let old = before.node.primary_supernode;
        if let Some(primary) = old.filter(|old| Some(*old) != member.node.primary_supernode) {
            self.control.rise(primary, member.node.uuid, u64::MAX);
        }
        if before.node.role == Role::Supernode && member.node.role != Role::Supernode {
            self.close(member.node.uuid);
        }
    }

    fn hear(&mut self, from: u32, said: Heartbeat) {
        let at = from as usize;
        let now = self.now;
        let lost = self.control.members[at].take_if(|member| member.node.state == NodeState::Lost);
        let mut member =
            match member::heard(lost.clone().or(self.control.members[at].take()), &said, now) {
                Heard::Stranger => {
                    self.control.members[at] = lost;
                    let reply = HeartbeatReply {
                        register: true,
                        ..HeartbeatReply::default()
                    };
                    return self.send_down(from, Down::Reply(reply, vec![]));
                }
                Heard::Late(member) => {
                    self.control.members[at] = Some(*member);
                    return;
                }
                Heard::Alive(member) => *member,
            };
        self.hear_streams(from, &said);
        if member.node.role == Role::Supernode {
            self.control.open_seats(said.node, said.draining);
        } else if member.node.primary_supernode.is_none() {
            member.node.primary_supernode = self.control.find_seat(&member, None, now);
        }
        let ask = RenewTickets {
            heartbeat: said,
            node: member.node.clone(),
            rtts: member.rtts.clone(),
        };
        let (tickets, replaced) = self.renew(from, &ask);
        member.node.promised_kbps = tickets.promised_kbps;
        let unplaced = member.node.role == Role::Node && member.node.primary_supernode.is_none();
        let reply = HeartbeatReply {
            register: unplaced && may_be_promoted(member.asked, member.node.limit_kbps),
            primary_supernode: member.node.primary_supernode,
            ticket_keys: vec![],
            tickets,
            supernodes: vec![],
            now: 0,
        };
        self.control.members[at] = Some(member);
        self.send_down(from, Down::Reply(reply, replaced));
    }

    fn left(&mut self, from: u32) {
        if let Some(member) = self.control.members[from as usize].take() {
            self.gone(&member, false);
        }
    }

    fn gone(&mut self, member: &Member, lost: bool) {
        self.node_gone(member.node.uuid, lost);
        if let Some(primary) = member.node.primary_supernode {
            self.control.rise(primary, member.node.uuid, u64::MAX);
        }
        if member.node.role == Role::Supernode {
            self.close(member.node.uuid);
        }
    }

    fn close(&mut self, supernode: NodeId) {
        for child in self.control.close_seats(supernode) {
            self.rehome(self.numbers[&child], Some(supernode));
        }
    }

    /// Gives a node whose primary supernode is `from` another one.
    fn rehome(&mut self, node: u32, from: Option<NodeId>) {
        let known = self.control.members[node as usize].clone();
        let Some(mut member) = known.filter(|member| member.node.primary_supernode == from) else {
            return;
        };
        member.node.primary_supernode = self.control.find_seat(&member, None, self.now);
        self.control.members[node as usize] = Some(member);
    }

    /// The control services look at the clock.
    pub fn sweep(&mut self) {
        let now = self.now;
        let truce = self.control.truce(self.now);
        for at in 0..self.control.members.len() {
            let Some(member) = &self.control.members[at] else {
                continue;
            };
            let flows = member.is_silent(now) && self.flows(at);
            match member::time_passed(member, now, truce, flows) {
                Silence::Short => {}
                Silence::Suspected(suspected) => self.control.members[at] = Some(*suspected),
                Silence::Forgotten => self.control.members[at] = None,
                Silence::Lost(lost) => {
                    let before = self.control.members[at].replace(*lost);
                    before
                        .into_iter()
                        .for_each(|member| self.gone(&member, true));
                }
            }
        }
        self.tidy_seats();
        self.sweep_carriers();
        for at in 0..self.control.records.len() {
            let record = self.control.records[at].clone();
            let carried_at = self.control.carried_at[at];
            if let Some(record) = liveness::time_passed(record, now, truce, carried_at) {
                self.control.records[at] = record;
            }
        }
        self.queue.put(now + SWEEP_MS, crate::queue::Event::Sweep);
    }

    /// Frees seats of nodes that sit elsewhere, and homes nodes whose supernode has gone.
    fn tidy_seats(&mut self) {
        let settled = self.now.saturating_sub(LEASE.as_millis() as u64);
        let members = &self.control.members;
        let numbers = &self.numbers;
        let living = |node: &NodeId| {
            let member = members[numbers[node] as usize].as_ref();
            member
                .filter(|member| member.node.state != NodeState::Lost)
                .map(|member| &member.node)
        };
        for (supernode, seats) in &mut self.control.seats {
            let sits = |child: &NodeId| {
                living(child).is_some_and(|n| n.primary_supernode == Some(*supernode))
            };
            seats
                .children
                .retain(|child, admitted| *admitted > settled || sits(child));
        }
        let homeless = |member: &&Member| {
            let primary = member.node.primary_supernode;
            primary.is_some_and(|primary| !self.control.seats_at.contains_key(&primary))
        };
        let homeless: Vec<_> = members
            .iter()
            .flatten()
            .filter(homeless)
            .map(|m| (m.node.uuid, m.node.primary_supernode))
            .collect();
        homeless
            .into_iter()
            .for_each(|(node, from)| self.rehome(self.numbers[&node], from));
    }

    /// A publisher has come to a node.
    fn go_live(&mut self, from: u32, stream: u8) {
        let at = stream as usize;
        let now = self.now;
        let node = self.ids[from as usize];
        let ask = GoLive {
            slug: self.slugs[at].clone(),
            key: None,
            node,
            newest: None,
            newest_dts: None,
            incarnation: Incarnation::default(),
            epoch: 0,
        };
        let probed = origin_to_ask(Some(&self.control.records[at]), node)
            .map(|origin| self.probe(origin, stream));
        if refuse_if_alive(&ask, self.control.records[at].epoch, probed.as_ref()).is_err() {
            return;
        }
        let before = self.control.records[at].clone();
        let grant = next_grant(&before, &[], Incarnation::default(), now);
        let epoch = grant.epoch;
        let first_gop = grant.first_gop;
        let reached = before
            .reached
            .map_or(0, |reached| reached.state.newest.gop + 1);
        if epoch <= before.epoch || first_gop < reached {
            self.break_with(Fault::Numbering {
                stream,
                epoch,
                first_gop,
            });
        }
        self.control.records[at] = granted(before, grant, node, now);
        self.send_down(
            from,
            Down::Granted {
                stream,
                epoch,
                first_gop,
            },
        );
    }

    /// What an origin answers when it is asked.
    fn probe(&mut self, origin: NodeId, stream: u8) -> Probed {
        let here = self.nodes[self.numbers[&origin] as usize]
            .pulls
            .iter()
            .find(|pull| pull.stream == stream);
        let publishes = here.is_some_and(|pull| matches!(pull.phase, Phase::Origin { .. }));
        Probed {
            carried: None,
            publisher_silent_ms: publishes.then_some(0),
            process: 0,
        }
    }

    /// What a heartbeat says of the streams that come to the node, and of those whose origin it is.
    fn hear_streams(&mut self, from: u32, said: &Heartbeat) {
        for pull in self.nodes[from as usize]
            .pulls
            .iter()
            .filter(|pull| pull.is_served())
        {
            self.control.carried_at[pull.stream as usize] = self.now;
        }
        for report in said
            .streams
            .iter()
            .filter_map(|carried| Report::of(said.node, carried))
        {
            let Some(at) = self.slugs.iter().position(|slug| *slug == report.slug) else {
                continue;
            };
            match liveness::report(self.control.records[at].clone(), &report, self.now) {
                Verdict::Keep(record) | Verdict::HeldBack(record) => {
                    self.control.records[at] = *record
                }
                Verdict::Fence(epoch) => self.send_down(
                    from,
                    Down::Fence {
                        stream: at as u8,
                        epoch,
                    },
                ),
            }
        }
    }
}
