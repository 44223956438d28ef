//! The world that the storm goes over, and what it does to it.

use crate::Scenario;
use crate::audit::Audit;
use crate::plan::{Action, Plan, REPLICAS, SERVICES, STARTED};
use crate::publisher::Publisher;
use crate::recorder::Recorder;
use crate::relays::{Relays, random_node};
use crate::replicas::Replicas;
use crate::viewer::Viewer;
use crate::wires::Wires;
use astral_backend::{Backend, BusFaults, FaultInjector, StateFaults};
use astral_env::Env;
use astral_proto::Slug;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// The control services have started, and their truce is over.
const SERVICES_READY: Duration = Duration::from_secs(8);
/// Publishers and viewers come when the relays are there.
const RELAYS_READY: Duration = Duration::from_secs(16);
/// Between two looks at the whole world.
const LOOK: Duration = Duration::from_secs(1);
/// Everything has healed within this time after the last fault.
const HEALS_WITHIN: Duration = Duration::from_secs(60);
/// And stays so for this long.
const STAYS_WELL: Duration = Duration::from_secs(5);
/// Messages and operations take a moment even in calm.
const MESSAGE_DELAY: Duration = Duration::from_millis(4);
const STATE_DELAY: Duration = Duration::from_millis(2);
/// How late a message that is late may be.
const LATE_MAX: Duration = Duration::from_millis(1_500);
/// Of so many relays one has no viewer.
const IDLE_ONE_IN: usize = 4;

/// Everything that runs.
pub struct World {
    pub scenario: Scenario,
    pub backend: Backend,
    pub relays: Relays,
    pub publishers: Vec<Publisher>,
    pub viewers: Vec<Viewer>,
    pub recorder: Recorder,
    injector: FaultInjector,
    replicas: Replicas,
    wires: Wires,
    slugs: Vec<Slug>,
    random: StdRng,
    /// Pictures of viewers that have left.
    pictures: u64,
}

impl World {
    /// Lets the plan go over a world; how long it took to heal, None if an invariant broke.
    pub async fn weather(
        scenario: &Scenario,
        plan: &Plan,
        recorder: &Recorder,
    ) -> Option<Duration> {
        let mut world = Self::start(scenario, recorder).await;
        let mut audit = Audit::default();
        let begun = Instant::now();
        let mut actions = plan.actions.iter().peekable();
        world.come(&begun).await;
        while recorder.elapsed() < plan.calm && !recorder.is_broken() {
            let look = begun + recorder.elapsed() + LOOK;
            while let Some((at, action)) = actions.next_if(|(at, _)| begun + *at <= look) {
                sleep_until(begun + *at).await;
                world.act(*action).await;
            }
            sleep_until(look).await;
            audit.look(&world);
        }
        for (_, action) in actions {
            world.act(*action).await;
        }
        world.calm().await;
        world.heals(&mut audit).await
    }

    async fn start(scenario: &Scenario, recorder: &Recorder) -> Self {
        let injector = FaultInjector::new(scenario.seed);
        injector.set_bus(calm_bus());
        injector.set_state(calm_state());
        recorder.watch(&injector);
        let backend = Backend::with_faults(&injector, Env::seeded(scenario.seed));
        let mut random = StdRng::seed_from_u64(!scenario.seed);
        let wires = Wires::default();
        let slugs: Vec<Slug> = (0..scenario.streams)
            .map(|number| format!("stream-{number}").parse().expect("it is a slug"))
            .collect();
        let replicas = Replicas::start(&backend, &injector, REPLICAS * SERVICES).await;
        let publishers = slugs
            .iter()
            .map(|slug| Publisher::absent(slug.clone(), wires.clone()))
            .collect();
        Self {
            relays: Relays::new(scenario, &backend, &injector, &wires, recorder, &mut random),
            scenario: scenario.clone(),
            viewers: Vec::new(),
            recorder: recorder.clone(),
            pictures: 0,
            backend,
            publishers,
            injector,
            replicas,
            wires,
            slugs,
            random,
        }
    }

    /// Relays, publishers and viewers come, one after the other.
    async fn come(&mut self, begun: &Instant) {
        sleep_until(*begun + SERVICES_READY).await;
        let between = (RELAYS_READY - SERVICES_READY) / self.scenario.relays as u32;
        for number in 0..self.relays.places.len() {
            self.relays.start(number, None).await;
            sleep(between).await;
        }
        sleep_until(*begun + RELAYS_READY).await;
        for stream in 0..self.slugs.len() {
            let relay = self.random.random_range(0..self.relays.places.len());
            self.act(Action::PublisherComes { stream, relay }).await;
        }
        let between = (STARTED - RELAYS_READY) / 2 / self.scenario.relays as u32;
        for relay in 0..self.relays.places.len() {
            if relay % IDLE_ONE_IN > 0 {
                let stream = self.random.random_range(0..self.slugs.len());
                self.act(Action::ViewerComes { relay, stream }).await;
            }
            sleep(between).await;
        }
        sleep_until(*begun + STARTED).await;
    }

    async fn act(&mut self, action: Action) {
        self.recorder.note(&action);
        match action {
            Action::Messages { .. }
            | Action::StateAway { .. }
            | Action::Wipe
            | Action::StateTrouble { .. }
            | Action::Clock { .. } => self.act_on_backend(action),
            Action::Crash { .. }
            | Action::Restart { .. }
            | Action::Freeze { .. }
            | Action::Thaw { .. }
            | Action::CutOff { .. }
            | Action::Part { .. }
            | Action::Lag { .. } => self.act_on_replica(action).await,
            Action::Kill { relay, silently } => self.relays.kill(relay, silently),
            Action::Revive { relay, keeps_id } => {
                let new_id = random_node(&mut self.random);
                self.relays
                    .start(relay, (!keeps_id).then_some(new_id))
                    .await;
            }
            Action::FreezeRelay { relay, is_frozen } => self.relays.freeze(relay, is_frozen),
            Action::CutOffRelay { relay, is_cut_off } => self.relays.cut_off(relay, is_cut_off),
            Action::CutWires { relay, is_cut } => self.relays.cut_wires(relay, is_cut),
            Action::Limit { relay, kbps } => self.relays.limit(relay, kbps),
            Action::PublisherLeaves { stream } => self.publishers[stream].leave(),
            Action::PublisherComes { stream, relay } => {
                let address = &self.relays.places[relay].address;
                self.publishers[stream].publish_at(address);
            }
            Action::ViewerComes { relay, stream } => self.add_viewer(relay, stream),
            Action::ViewersLeave { relay } => self.remove_viewers(relay),
        }
    }

    fn act_on_backend(&mut self, action: Action) {
        match action {
            Action::Messages { lose, repeat, late } => self.injector.set_bus(BusFaults {
                lose_percent: lose,
                repeat_percent: repeat,
                late_percent: late,
                late_max: LATE_MAX,
                ..calm_bus()
            }),
            Action::StateAway { is_away } => {
                self.injector.set_state_away(is_away);
            }
            Action::Wipe => {
                self.recorder.forgot();
                self.backend.state.forget_everything();
            }
            Action::StateTrouble {
                refuse,
                lose_answer,
            } => {
                self.injector.set_state(StateFaults {
                    refuse_percent: refuse,
                    lose_answer_percent: lose_answer,
                    ..calm_state()
                });
            }
            Action::Clock { ahead_ms } => {
                self.injector.set_state_clock(ahead_ms.into());
            }
            _ => unreachable!("the others are not about the backend"),
        }
    }

    async fn act_on_replica(&mut self, action: Action) {
        match action {
            Action::Crash { replica } => self.replicas.crash(replica),
            Action::Restart { replica } => self.replicas.restart(replica).await,
            Action::Freeze { replica } => self.injector.freeze(self.replicas.process(replica)),
            Action::Thaw { replica } => self.injector.thaw(self.replicas.process(replica)),
            Action::CutOff {
                replica,
                is_cut_off,
            } => {
                let process = self.replicas.process(replica);
                self.injector.cut_off(process, is_cut_off);
            }
            Action::Part {
                one,
                other,
                is_parted,
            } => {
                let one = self.replicas.process(one);
                let other = self.replicas.process(other);
                match is_parted {
                    true => self.injector.part(one, other),
                    false => self.injector.rejoin(one, other),
                }
            }
            Action::Lag {
                replica,
                milliseconds,
            } => {
                let lag = Duration::from_millis(milliseconds.into());
                self.injector.set_lag(self.replicas.process(replica), lag);
            }
            _ => unreachable!("the others are not about replicas"),
        }
    }

    fn add_viewer(&mut self, relay: usize, stream: usize) {
        let address = self.relays.places[relay].address.clone();
        let slug = &self.slugs[stream];
        let viewer = Viewer::start(relay, address, slug, &self.wires, &self.recorder);
        self.viewers.push(viewer);
    }

    fn remove_viewers(&mut self, relay: usize) {
        for viewer in self.viewers.extract_if(.., |viewer| viewer.place == relay) {
            self.pictures += viewer.seen().pictures;
        }
    }

    /// Ends every fault. Whoever has died is started again, and every stream has a publisher.
    async fn calm(&mut self) {
        self.recorder.note(&"CALM");
        self.injector.set_bus(calm_bus());
        self.injector.set_state(calm_state());
        self.injector.set_state_away(false);
        for replica in 0..REPLICAS * SERVICES {
            self.injector.thaw(self.replicas.process(replica));
            self.replicas.restart(replica).await;
            let process = self.replicas.process(replica);
            self.injector.cut_off(process, false);
            self.injector.set_lag(process, Duration::ZERO);
        }
        for relay in 0..self.relays.places.len() {
            self.relays.start(relay, None).await;
            self.relays.freeze(relay, false);
            self.relays.cut_off(relay, false);
            self.relays.cut_wires(relay, false);
        }
        for stream in 0..self.publishers.len() {
            if !self.publishers[stream].is_there() {
                let relay = self.random.random_range(0..self.relays.places.len());
                self.act(Action::PublisherComes { stream, relay }).await;
            }
        }
    }

    /// Waits until everything is well and stays so; after how long that was.
    async fn heals(&self, audit: &mut Audit) -> Option<Duration> {
        let calm = Instant::now();
        let mut well_since = None;
        while !self.recorder.is_broken() {
            sleep(LOOK).await;
            audit.look(self);
            let wrong = audit.what_is_wrong(self);
            match wrong {
                None => {
                    let since: Instant = *well_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= STAYS_WELL {
                        return Some(since - calm);
                    }
                }
                Some(wrong) => {
                    well_since = None;
                    self.recorder.note(&wrong);
                    if calm.elapsed() > HEALS_WITHIN {
                        let after = calm.elapsed().as_secs();
                        self.recorder.break_with(format!(
                            "not healed {after} s after the last fault: {wrong}"
                        ));
                    }
                }
            }
        }
        None
    }

    /// Pictures that viewers have got so far.
    pub fn pictures(&self) -> u64 {
        let present: u64 = self
            .viewers
            .iter()
            .map(|viewer| viewer.seen().pictures)
            .sum();
        self.pictures + present
    }
}

fn calm_bus() -> BusFaults {
    BusFaults {
        delay_max: MESSAGE_DELAY,
        ..BusFaults::default()
    }
}

fn calm_state() -> StateFaults {
    StateFaults {
        delay_max: STATE_DELAY,
        ..StateFaults::default()
    }
}
