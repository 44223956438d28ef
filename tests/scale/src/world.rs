//! A crowd that comes, dies and comes back.

use crate::depth::{Depth, Look};
use crate::links::{Links, STREAM_KBPS};
use crate::relay::{Counts, ModelRelay, Network, Profile};
use crate::{Outcome, Scenario, Watch};
use astral_backend::{Backend, BusFaults, FaultInjector};
use astral_control_tests::Control;
use astral_env::Env;
use astral_proto::NodeId;
use astral_proto::limits::CHILDREN_MAX;
use astral_proto::model::Role;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Supernodes come first, then the crowd.
const SUPERNODES_COME: Duration = Duration::from_secs(5);
const CROWD_COMES: Duration = Duration::from_secs(60);
/// Nodes are killed for this long.
const KILLS: Duration = Duration::from_secs(60);
/// In which one node of so many dies.
const KILLED_ONE_IN: usize = 20;
/// After which it is started again.
const DEAD_FOR: Duration = Duration::from_secs(10);
/// Every relay has its turn to go to a better place once a minute, and one above it may first have to.
const SETTLES: Duration = Duration::from_secs(150);
const SETTLES_WITHOUT_KILLS: Duration = Duration::from_secs(40);
/// Between two looks at the tree.
const LOOK: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);
/// How long a message takes at most.
const MESSAGE_DELAY: Duration = Duration::from_millis(30);
/// Supernodes that a node knows the way to.
const LANDMARKS: usize = 4;
/// What a supernode may spend, kbit/s.
const SUPERNODE_KBPS: u32 = 1_000_000;

/// Everything that runs.
pub struct World {
    scenario: Scenario,
    watch: Option<Watch>,
    begun: Instant,
    random: StdRng,
    network: Network,
    profiles: Vec<Profile>,
    relays: Vec<Option<ModelRelay>>,
    starts: u32,
    looks: Vec<Look>,
    moves_in_a_second: u64,
    _control: Control,
}

impl World {
    /// The control services, and nobody else.
    pub async fn start(scenario: &Scenario, watch: Option<Watch>) -> Self {
        let injector = FaultInjector::new(scenario.seed);
        injector.set_bus(BusFaults {
            delay_max: MESSAGE_DELAY,
            ..BusFaults::default()
        });
        let control = Control::start_on(
            Backend::with_faults(&injector, Env::seeded(scenario.seed)),
            CHILDREN_MAX,
            true,
        )
        .await;
        let mut random = StdRng::seed_from_u64(scenario.seed);
        let nodes = control
            .backend
            .as_another_process()
            .await
            .expect("the bus within the process needs no client");
        let network = Network {
            bus: nodes.bus,
            links: Links::default(),
            slug: astral_control_tests::demo(),
            counts: Arc::<Counts>::default(),
        };
        let profiles = profiles(scenario, &mut random);
        Self {
            relays: vec![None; profiles.len()],
            scenario: scenario.clone(),
            watch,
            begun: Instant::now(),
            random,
            network,
            profiles,
            starts: 0,
            looks: Vec::new(),
            moves_in_a_second: 0,
            _control: control,
        }
    }

    /// Lets everything happen until the end.
    pub async fn run(&mut self) -> Outcome {
        let supernodes = self.scenario.supernodes();
        let crowd = self.profiles.len() - supernodes;
        self.come(0, supernodes, SUPERNODES_COME).await;
        self.publish(supernodes).await;
        self.come(supernodes + 1, crowd - 1, CROWD_COMES).await;
        self.look_for(2 * LOOK).await;
        let joined = self.looks.last().copied().unwrap_or_default();
        if self.scenario.kills {
            self.kill_some().await;
        }
        let calm = self.begun.elapsed();
        let settles = match self.scenario.kills {
            true => SETTLES,
            false => SETTLES_WITHOUT_KILLS,
        };
        self.look_for(settles).await;
        let end = self.looks.last().copied().unwrap_or_default();
        let flat = self.looks.iter().rev();
        let flat = flat
            .take_while(|look| look.at >= calm && look.is_flat())
            .last();
        Outcome {
            joined,
            end,
            flat_after: flat.map(|look| look.at - calm),
            served: self.served(),
            moves: self.network.counts.moves.load(Ordering::Relaxed),
            moves_in_a_second: self.moves_in_a_second,
            requests: self.network.counts.requests.load(Ordering::Relaxed),
            took: self.begun.elapsed(),
        }
    }

    /// So many nodes come one after the other.
    async fn come(&mut self, first: usize, count: usize, within: Duration) {
        let begun = Instant::now();
        for number in 0..count {
            self.wait_until(begun + within * number as u32 / count as u32)
                .await;
            self.start_one(first + number).await;
        }
        self.wait_until(begun + within).await;
    }

    async fn start_one(&mut self, number: usize) {
        self.starts += 1;
        let profile = self.profiles[number].clone();
        let wants = profile.role != Role::Supernode;
        let seed = self.random.random();
        let relay = ModelRelay::start(profile, self.network.clone(), self.starts, seed).await;
        if wants {
            relay.want();
        }
        self.relays[number] = Some(relay);
    }

    /// One node is the origin; it does not pull.
    async fn publish(&mut self, number: usize) {
        let profile = self.profiles[number].clone();
        self.starts += 1;
        let relay = ModelRelay::start(profile, self.network.clone(), self.starts, 0).await;
        self.wait_until(Instant::now() + 2 * SECOND).await;
        relay.publish().await.expect("nobody else publishes");
        self.relays[number] = Some(relay);
    }

    /// Nodes die at random and are started again; not the origin, whose publisher the model lacks.
    async fn kill_some(&mut self) {
        let deaths = self.relays.len() / KILLED_ONE_IN;
        let begun = Instant::now();
        let mut dead = std::collections::VecDeque::new();
        for number in 0..deaths {
            let at = begun + KILLS * number as u32 / deaths as u32;
            while let Some((until, victim)) = dead.pop_front_if(|(until, _)| *until <= at) {
                self.wait_until(until).await;
                self.start_one(victim).await;
            }
            self.wait_until(at).await;
            let victim = self.random.random_range(0..self.relays.len());
            if victim == self.scenario.supernodes() {
                continue;
            }
            if let Some(relay) = self.relays[victim].take() {
                relay.kill();
                dead.push_back((at + DEAD_FOR, victim));
            }
        }
        for (until, victim) in dead {
            self.wait_until(until).await;
            self.start_one(victim).await;
        }
    }

    async fn look_for(&mut self, time: Duration) {
        self.wait_until(Instant::now() + time).await;
        self.look();
    }

    /// Waits, and looks at the tree every few seconds meanwhile.
    async fn wait_until(&mut self, until: Instant) {
        loop {
            let seconds = self.begun.elapsed().as_secs() + 1;
            let next = self.begun + Duration::from_secs(seconds);
            if next > until {
                break;
            }
            let moves = self.network.counts.moves.load(Ordering::Relaxed);
            sleep_until(next).await;
            let moved = self.network.counts.moves.load(Ordering::Relaxed) - moves;
            self.moves_in_a_second = self.moves_in_a_second.max(moved);
            if seconds.is_multiple_of(LOOK.as_secs()) {
                self.look();
            }
        }
        sleep_until(until).await;
    }

    fn look(&mut self) {
        let hops = self.network.links.hops();
        let fan = |profile: &Profile| (profile.limit_kbps / STREAM_KBPS) as usize;
        let carriers = self.profiles.iter().filter_map(|profile| {
            let hops = hops.get(&profile.node)?;
            Some((*hops, fan(profile)))
        });
        let (origins, others): (Vec<_>, Vec<_>) = carriers.partition(|(hops, _)| *hops == 0);
        let origin = origins.iter().map(|(_, fan)| fan).sum();
        let look = Look {
            at: self.begun.elapsed(),
            depth: Depth::among(others.iter().map(|(hops, _)| *hops)),
            least: Depth::least(origin, others.iter().map(|(_, fan)| *fan).collect()),
        };
        self.looks.push(look);
        if let Some(watch) = &self.watch {
            watch(&look, self.served());
        }
    }

    /// How many nodes want the stream, and how many of them have it.
    fn served(&self) -> (usize, usize) {
        let hops = self.network.links.hops();
        let alive = self
            .profiles
            .iter()
            .zip(&self.relays)
            .filter(|(profile, relay)| relay.is_some() && profile.role != Role::Supernode);
        let served = alive
            .clone()
            .filter(|(profile, _)| hops.contains_key(&profile.node));
        (alive.count(), served.count())
    }
}

/// Nodes of each class: supernodes first, then machines with much, some or next to no upstream.
fn profiles(scenario: &Scenario, random: &mut StdRng) -> Vec<Profile> {
    let supernodes: Vec<NodeId> = (0..scenario.supernodes())
        .map(|_| random_node(random))
        .collect();
    let supernode = |node: &NodeId| Profile {
        node: *node,
        role: Role::Supernode,
        limit_kbps: SUPERNODE_KBPS,
        rtts: Vec::new(),
    };
    let mut profiles: Vec<Profile> = supernodes.iter().map(supernode).collect();
    for number in supernodes.len()..scenario.nodes {
        let limit_kbps = match random.random_range(0..100) {
            // The origin is one that can send to a few.
            _ if number == supernodes.len() => 50_000,
            0..20 => 50_000,
            20..70 => 10_000,
            _ => 1_000,
        };
        let rtts = (0..LANDMARKS).map(|_| {
            let supernode = supernodes[random.random_range(0..supernodes.len())];
            (supernode, random.random_range(1_000..80_000))
        });
        let rtts = rtts.collect();
        profiles.push(Profile {
            node: random_node(random),
            role: Role::Auto,
            limit_kbps,
            rtts,
        });
    }
    profiles
}

fn random_node(random: &mut StdRng) -> NodeId {
    NodeId(uuid::Builder::from_random_bytes(random.random()).into_uuid())
}
