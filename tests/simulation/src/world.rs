//! The world: nodes, control services, messages between them, time. One event after another, from one seed.

use crate::check::Fault;
use crate::control::Control;
use crate::depth::Look;
use crate::figures::Figures;
use crate::message::{Down, Said, Ticket, Up, Wire};
use crate::node::{Health, SimNode};
use crate::queue::{Event, Queue};
use crate::{Plan, Scenario};
use astral_proto::limits::{HEARTBEAT_INTERVAL, LEASE};
use astral_proto::model::Role;
use astral_proto::{NodeId, Slug, TicketId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeSet, HashMap};

/// When the first node starts; Unix time nought means "never" to the rules. Milliseconds.
pub const BEGIN: u64 = 1_000_000;
/// Between two looks of the control services at the clock.
pub const SWEEP_MS: u64 = 1_000;
/// Between two checks of everything.
pub const CHECK_MS: u64 = 5_000;
/// Longest that a message is on its way, milliseconds.
pub const LATE_MS: u64 = 3_000;
/// One message in this many is lost, one is doubled and two are late, until faults stop.
const FAULT_ONE_IN: u32 = 200;

/// Everything there is.
pub struct World {
    /// What is simulated.
    pub scenario: Scenario,
    /// Milliseconds.
    pub now: u64,
    /// Events so far.
    pub step: u64,
    /// Events to come.
    pub queue: Queue,
    /// The only source of chance.
    pub rng: StdRng,
    /// Every node.
    pub nodes: Vec<SimNode>,
    /// Their ids, by number.
    pub ids: Vec<NodeId>,
    /// Their numbers, by id.
    pub numbers: HashMap<NodeId, u32>,
    /// The streams' names.
    pub slugs: Vec<Slug>,
    /// The control services.
    pub control: Control,
    /// What is measured.
    pub figures: Figures,
    /// The first broken invariant.
    pub broken: Option<Fault>,
    /// Whether messages are lost, doubled and late.
    pub stormy: bool,
    /// Nodes that were in a ring at the last check of everything.
    pub rings: Vec<u32>,
    /// What ledgers and relays disagreed about shortly before the end.
    pub moving: BTreeSet<(u32, TicketId)>,
    /// When each stream last came to an origin.
    pub live_since: Vec<u64>,
    /// When each node was last seen served, or had no wish to be, at a check of everything.
    pub fed_at: Vec<u64>,
    /// How deep each stream's tree was at each check of everything.
    pub looks: Vec<Vec<Look>>,
    /// Told at each of them how deep the first stream's tree is, how many want it and how many have it.
    pub watch: Option<Watch>,
    /// Of everything that happened, in order.
    pub trace: u64,
}

/// Who is told how a run goes on: of the first stream's tree, and how many want a stream and have it.
pub type Watch = Box<dyn Fn(&Look, (usize, usize))>;

impl World {
    /// A world whose nodes are about to start.
    pub fn new(scenario: &Scenario) -> Self {
        let mut rng = StdRng::seed_from_u64(scenario.seed);
        let nodes: Vec<SimNode> = (0..scenario.nodes)
            .map(|at| node(scenario, at, &mut rng))
            .collect();
        let ids: Vec<NodeId> = nodes.iter().map(|node| node.id).collect();
        let slugs =
            (0..scenario.streams).map(|at| format!("stream-{at}").parse().expect("it is a slug"));
        let mut world = Self {
            scenario: scenario.clone(),
            now: BEGIN,
            step: 0,
            queue: Queue::default(),
            numbers: ids
                .iter()
                .enumerate()
                .map(|(at, id)| (*id, at as u32))
                .collect(),
            slugs: slugs.collect(),
            control: Control::new(scenario, BEGIN),
            figures: Figures::default(),
            broken: None,
            stormy: scenario.faults,
            rings: Vec::new(),
            moving: BTreeSet::new(),
            live_since: vec![0; scenario.streams],
            fed_at: vec![BEGIN; scenario.nodes],
            looks: vec![Vec::new(); scenario.streams],
            watch: None,
            trace: 0xcbf2_9ce4_8422_2325,
            rng,
            nodes,
            ids,
        };
        world.learn_distances();
        world.plan(&scenario.plan());
        world
    }

    /// Lets everything happen until the end.
    ///
    /// # Errors
    /// The first broken invariant.
    pub fn run(&mut self) -> Result<(), Fault> {
        let end = self.scenario.plan().end;
        while let Some((at, event)) = self.queue.take().filter(|(at, _)| *at <= end) {
            self.now = at;
            self.step += 1;
            for part in [at, event.mark()] {
                self.trace = (self.trace ^ part).wrapping_mul(0x0100_0000_01b3);
            }
            self.happen(event);
            if let Some(fault) = self.broken.take() {
                return Err(fault);
            }
        }
        self.check_end()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start(node) => self.start(node),
            Event::Beat { node, life } => self.beat(node, life),
            Event::Alarm {
                node,
                stream,
                attempt,
                alarm,
            } => self.alarm(node, stream, attempt, alarm),
            Event::Up(from, up) => self.control_hears(from, *up),
            Event::Down(to, down) => self.node_hears(to, *down),
            Event::Wire(wire) => self.wire(wire),
            Event::CloseRevoked { provider, id } => self.close_revoked(provider, id),
            Event::Publish { stream } => self.publish(stream),
            Event::Sweep => self.sweep(),
            Event::FetchTimedOut(fetch) => self.fetch_timed_out(fetch),
            Event::Crash => self.crash_somebody(),
            Event::Calm => self.stormy = false,
            Event::Check => self.check_now_and_then(),
            Event::Joined => self.note_joined(),
            Event::NearlyOver => self.note_moving(),
            Event::RingDue(ticket) => self.check_ring_left(ticket),
            Event::LeaseDue { node, life } => self.check_dead_lease(node, life),
        }
    }

    /// Supernodes that a node has measured the way to: a few of those there are.
    fn learn_distances(&mut self) {
        let supernodes: Vec<NodeId> = self
            .nodes
            .iter()
            .filter(|node| node.asked == Role::Supernode)
            .map(|node| node.id)
            .collect();
        for node in &mut self.nodes {
            let near = (0..4).map(|_| supernodes[self.rng.random_range(0..supernodes.len())]);
            node.rtts = near.map(|supernode| (supernode, 0)).collect();
            node.rtts
                .iter_mut()
                .for_each(|(_, rtt)| *rtt = self.rng.random_range(1_000..80_000));
        }
    }

    fn plan(&mut self, plan: &Plan) {
        for number in 0..self.scenario.nodes as u32 {
            let first = self.nodes[number as usize].asked == Role::Supernode;
            let (from, until) = if first {
                (BEGIN, plan.crowd)
            } else {
                (plan.crowd, plan.joined)
            };
            let at = self.rng.random_range(from..until);
            self.queue.put(at, Event::Start(number));
        }
        for stream in 0..self.scenario.streams as u8 {
            self.queue.put(plan.crowd - 500, Event::Publish { stream });
        }
        self.queue.put(BEGIN + SWEEP_MS, Event::Sweep);
        self.queue.put(BEGIN + CHECK_MS, Event::Check);
        self.queue.put(plan.calm, Event::Calm);
        self.queue.put(plan.joined, Event::Joined);
        self.queue.put(
            plan.end - (LEASE + HEARTBEAT_INTERVAL).as_millis() as u64,
            Event::NearlyOver,
        );
        if self.scenario.faults {
            self.queue.put(plan.joined, Event::Crash);
        }
    }

    /// Sends a message to the control services, which may not arrive, or twice, or late.
    pub fn send_up(&mut self, from: u32, up: Up) {
        self.figures.count_message(&up);
        match self.ways() {
            [None, None] => {}
            [Some(late), None] | [None, Some(late)] => {
                self.queue
                    .put(self.now + late, Event::Up(from, Box::new(up)));
            }
            [Some(one), Some(other)] => {
                self.queue
                    .put(self.now + one, Event::Up(from, Box::new(up.clone())));
                self.queue
                    .put(self.now + other, Event::Up(from, Box::new(up)));
            }
        }
    }

    /// Sends a message to a node, which may not arrive, or twice, or late.
    pub fn send_down(&mut self, to: u32, down: Down) {
        self.figures.messages_down += 1;
        match self.ways() {
            [None, None] => {}
            [Some(late), None] | [None, Some(late)] => {
                self.queue
                    .put(self.now + late, Event::Down(to, Box::new(down)));
            }
            [Some(one), Some(other)] => {
                self.queue
                    .put(self.now + one, Event::Down(to, Box::new(down.clone())));
                self.queue
                    .put(self.now + other, Event::Down(to, Box::new(down)));
            }
        }
    }

    /// How long each copy of a message takes; no copy if it is lost.
    fn ways(&mut self) -> [Option<u64>; 2] {
        let usual = self.rng.random_range(2..40);
        let fate = if self.stormy {
            self.rng.random_range(0..FAULT_ONE_IN)
        } else {
            u32::MAX
        };
        let late = self.rng.random_range(200..LATE_MS);
        match fate {
            0 => [None, None],
            1 => [Some(usual), Some(late)],
            2 | 3 => [Some(late), None],
            _ => [Some(usual), None],
        }
    }

    /// Sends on a relay link, in order and without loss.
    pub fn send_wire(&mut self, ticket: Ticket, said: Said) {
        let between =
            ticket.provider.wrapping_mul(0x9e37_79b1) ^ ticket.subscriber.wrapping_mul(0x85eb_ca6b);
        let delay = 1 + u64::from(between >> 16) % 30;
        self.figures.messages_on_links += 1;
        self.queue
            .put(self.now + delay, Event::Wire(Wire { ticket, said }));
    }

    /// A new ticket's id.
    pub fn ticket_id(&mut self) -> TicketId {
        TicketId(uuid::Uuid::from_u128(self.rng.random()))
    }

    /// A node, by number.
    pub fn node(&mut self, number: u32) -> &mut SimNode {
        &mut self.nodes[number as usize]
    }

    /// The next heartbeat of a node.
    pub fn beat_again(&mut self, node: u32, life: u32) {
        let at = self.now + HEARTBEAT_INTERVAL.as_millis() as u64;
        self.queue.put(at, Event::Beat { node, life });
    }
}

/// A node of some class: a media forwarder, or somebody's machine with much, some or next to no upstream.
fn node(scenario: &Scenario, at: usize, rng: &mut StdRng) -> SimNode {
    let supernodes = scenario.supernodes();
    let (asked, limit_kbps) = match (at < supernodes, rng.random_range(0..100)) {
        (true, _) => (Role::Supernode, 1_000_000),
        (false, 0..20) => (Role::Auto, 50_000),
        (false, 20..70) => (Role::Auto, 10_000),
        (false, _) => (Role::Auto, 1_000),
    };
    let stream = rng
        .random_range(0..scenario.streams)
        .min(rng.random_range(0..scenario.streams)) as u8;
    SimNode {
        id: NodeId(uuid::Uuid::from_u128(rng.random())),
        asked,
        limit_kbps,
        wants: (asked != Role::Supernode).then_some(stream),
        rtts: Vec::new(),
        health: Health::Killed,
        died_at: 0,
        life: 0,
        registered: false,
        sent_at: 0,
        served: Default::default(),
        used_kbps: 0,
        revoked: Default::default(),
        pulls: Vec::new(),
    }
}
