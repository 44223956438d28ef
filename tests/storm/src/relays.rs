//! The relays: each a shipped relay, joined to the bus by the shipped glue, with wires in place of sockets.

use crate::Scenario;
use crate::recorder::Recorder;
use crate::wires::{Gate, PEER, Wires};
use astral_backend::{Backend, FaultInjector, Process};
use astral_chassis::Context;
use astral_proto::NodeId;
use astral_proto::model::Role;
use astral_relay::{Reach, Relay, RelayConfig};
use rand::Rng;
use rand::rngs::StdRng;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What a stream may hold at a relay.
const CACHE_BYTES_MAX: usize = 4 << 20;
/// What a supernode may spend, kbit/s: a hundred streams.
const SUPERNODE_KBPS: u32 = 16_000;
/// What any other relay may spend: two, six or thirty.
const NODE_KBPS: [u32; 3] = [320, 1_000, 5_000];

/// A place where a relay runs, again and again.
pub struct Place {
    /// Where it is reached.
    pub address: String,
    role: Role,
    limit_kbps: u32,
    node: NodeId,
    lives: u32,
    /// The relay that runs there now.
    pub life: Option<Life>,
}

/// A relay that runs.
pub struct Life {
    /// Its id.
    pub node: NodeId,
    /// Its process.
    pub process: Process,
    /// The relay itself.
    pub relay: Relay,
    gate: Arc<Gate>,
    is_frozen: bool,
    is_cut_off: bool,
    are_wires_cut: bool,
}

/// All places.
pub struct Relays {
    /// By number; the first ones are supernodes.
    pub places: Vec<Place>,
    backend: Backend,
    injector: FaultInjector,
    wires: Wires,
    recorder: Recorder,
}

impl Relays {
    /// Places without relays.
    pub fn new(
        scenario: &Scenario,
        backend: &Backend,
        injector: &FaultInjector,
        wires: &Wires,
        recorder: &Recorder,
        random: &mut StdRng,
    ) -> Self {
        let place = |number| {
            let is_supernode = number < scenario.supernodes();
            let kbps = NODE_KBPS[random.random_range(0..NODE_KBPS.len())];
            Place {
                address: format!("relay-{number}:8081"),
                role: if is_supernode {
                    Role::Supernode
                } else {
                    Role::Node
                },
                limit_kbps: if is_supernode { SUPERNODE_KBPS } else { kbps },
                node: random_node(random),
                lives: 0,
                life: None,
            }
        };
        Self {
            places: (0..scenario.relays).map(place).collect(),
            backend: backend.clone(),
            injector: injector.clone(),
            wires: wires.clone(),
            recorder: recorder.clone(),
        }
    }

    /// The relays that run.
    pub fn alive(&self) -> impl Iterator<Item = &Life> {
        self.places.iter().filter_map(|place| place.life.as_ref())
    }

    /// Starts a relay at a place where none runs, under the id of the last one or a new one.
    pub async fn start(&mut self, number: usize, new_id: Option<NodeId>) {
        let place = &mut self.places[number];
        if place.life.is_some() {
            return;
        }
        place.node = new_id.unwrap_or(place.node);
        place.lives += 1;
        let backend = self
            .backend
            .as_another_process()
            .await
            .expect("the bus within the process needs no client");
        let gate = Arc::<Gate>::default();
        let context = Context::detached();
        let config = RelayConfig {
            node: place.node,
            reach: Reach::new(PEER, PEER, Some(place.address.clone()), None),
            limit_kbps: place.limit_kbps,
            cache_bytes_max: CACHE_BYTES_MAX,
            gateway_url: None,
            allow_drills: false,
            connect: self.wires.connect(&gate),
            env: backend.env.split("relay"),
        };
        let control = astral_media_forwarder::control_plane(&backend.bus);
        let stopping = CancellationToken::new();
        let relay = astral_relay::start(config, control, stopping, context.scope.tasks.clone());
        astral_media_forwarder::join(&relay, place.role, &backend.bus, &context)
            .await
            .expect("the bus within the process takes all");
        self.wires.put(&place.address, &relay, &gate);
        place.life = Some(Life {
            node: place.node,
            process: backend.process(),
            relay,
            gate,
            is_frozen: false,
            is_cut_off: false,
            are_wires_cut: false,
        });
        self.note_health(number);
    }

    /// Kills the relay at a place. Its sockets are closed, unless it dies `silently`, as by a loss of power.
    pub fn kill(&mut self, number: usize, silently: bool) {
        let place = &mut self.places[number];
        let Some(life) = place.life.take() else {
            return;
        };
        if silently {
            life.gate.set_open(false);
        }
        self.injector.crash(life.process);
        self.wires.remove(&place.address);
        life.relay.stopping().cancel();
        self.recorder.health(|health| health.is_unwell(life.node));
    }

    /// Has the relay at a place stand still, or go on.
    pub fn freeze(&mut self, number: usize, is_frozen: bool) {
        let Some(life) = &mut self.places[number].life else {
            return;
        };
        life.is_frozen = is_frozen;
        life.gate.set_open(!is_frozen && !life.are_wires_cut);
        if is_frozen {
            self.injector.freeze(life.process);
        } else {
            self.injector.thaw(life.process);
        }
        self.note_health(number);
    }

    /// Cuts the relay at a place off from the bus, or connects it again.
    pub fn cut_off(&mut self, number: usize, is_cut_off: bool) {
        let Some(life) = &mut self.places[number].life else {
            return;
        };
        life.is_cut_off = is_cut_off;
        self.injector.cut_off(life.process, is_cut_off);
        self.note_health(number);
    }

    /// Has the wires of the relay at a place carry nothing, or go on.
    pub fn cut_wires(&mut self, number: usize, are_cut: bool) {
        let Some(life) = &mut self.places[number].life else {
            return;
        };
        life.are_wires_cut = are_cut;
        life.gate.set_open(!are_cut && !life.is_frozen);
        self.note_health(number);
    }

    /// Changes what the relay at a place may spend.
    pub fn limit(&mut self, number: usize, kbps: u32) {
        let place = &mut self.places[number];
        place.limit_kbps = kbps;
        if let Some(life) = &place.life {
            life.relay.set_limit_kbps(kbps);
        }
    }

    fn note_health(&self, number: usize) {
        let place = &self.places[number];
        let Some(life) = &place.life else {
            return;
        };
        let reaches_control = !(life.is_frozen || life.is_cut_off);
        self.recorder.health(|health| match reaches_control {
            true if health.life(life.node) == Some(place.lives) => {}
            true => health.is_well(life.node, place.lives),
            false => health.is_unwell(life.node),
        });
    }
}

/// An id that follows from the seed.
pub fn random_node(random: &mut StdRng) -> NodeId {
    NodeId(uuid::Builder::from_random_bytes(random.random()).into_uuid())
}
