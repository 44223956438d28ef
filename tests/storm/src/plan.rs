//! What goes wrong and when, drawn from the seed before anything starts. Each seed has some classes of faults and not others,
//! since a fault that is always there hides what others would do.

use crate::Scenario;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Replicas of each control service.
pub const REPLICAS: usize = 3;
/// Control services.
pub const SERVICES: usize = 3;
/// Everybody has come by then; faults begin.
pub const STARTED: Duration = Duration::from_secs(24);
/// A seed has each class of faults with this chance, in a hundred.
const CLASS_PERCENT: u32 = 60;
/// Longest that one fault lasts.
const FAULT_MAX: Duration = Duration::from_secs(15);
/// Mean time between two actions of one class.
const BETWEEN: Duration = Duration::from_secs(5);

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Messages are lost, repeated, and late.
    Messages,
    /// A replica of a control service crashes and is started again.
    ReplicaCrash,
    /// A replica stands still for a while.
    ReplicaFreeze,
    /// A replica is cut off from the bus, or two processes do not hear each other.
    Partition,
    /// Events and requests reach a replica late.
    Lag,
    /// A relay is killed and started again.
    RelayKill,
    /// A relay stands still for a while.
    RelayFreeze,
    /// A relay is cut off from the control services, while its links go on.
    RelayCutOff,
    /// No link to or from a relay carries anything.
    WiresCut,
    /// The state refuses everything for a while.
    StateOutage,
    /// The state loses everything.
    StateWipe,
    /// Operations on the state are slow, refused, or their answers lost.
    StateTrouble,
    /// The clock of the state is set.
    Clock,
    /// A publisher leaves and comes back, here or elsewhere.
    Publisher,
    /// Viewers come and go.
    Viewers,
    /// A relay may spend more or less than before.
    Limit,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 16] = [
        Self::Messages,
        Self::ReplicaCrash,
        Self::ReplicaFreeze,
        Self::Partition,
        Self::Lag,
        Self::RelayKill,
        Self::RelayFreeze,
        Self::RelayCutOff,
        Self::WiresCut,
        Self::StateOutage,
        Self::StateWipe,
        Self::StateTrouble,
        Self::Clock,
        Self::Publisher,
        Self::Viewers,
        Self::Limit,
    ];
}

/// What is done to the world. Replicas, relays and streams are by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each field is named for what it is
pub enum Action {
    /// Messages are lost, repeated and late from now on, so many in a hundred; or are not.
    Messages { lose: u8, repeat: u8, late: u8 },
    /// A replica crashes.
    Crash { replica: usize },
    /// It is started again.
    Restart { replica: usize },
    /// A replica stands still.
    Freeze { replica: usize },
    /// It goes on.
    Thaw { replica: usize },
    /// A replica is cut off from the bus, or is connected again.
    CutOff { replica: usize, is_cut_off: bool },
    /// Two replicas do not hear each other, or do again.
    Part {
        one: usize,
        other: usize,
        is_parted: bool,
    },
    /// What is sent to a replica is so much later.
    Lag { replica: usize, milliseconds: u16 },
    /// A relay is killed; without its sockets being closed if `silently`.
    Kill { relay: usize, silently: bool },
    /// It is started again, under its id or a new one.
    Revive { relay: usize, keeps_id: bool },
    /// A relay stands still, or goes on.
    FreezeRelay { relay: usize, is_frozen: bool },
    /// A relay is cut off from the bus, or is connected again.
    CutOffRelay { relay: usize, is_cut_off: bool },
    /// The links of a relay carry nothing, or do again.
    CutWires { relay: usize, is_cut: bool },
    /// The state refuses everything, or does not.
    StateAway { is_away: bool },
    /// The state loses everything.
    Wipe,
    /// So many in a hundred operations on the state are refused, and of so many the answer is lost.
    StateTrouble { refuse: u8, lose_answer: u8 },
    /// The clock of the state is set.
    Clock { ahead_ms: i32 },
    /// A publisher leaves.
    PublisherLeaves { stream: usize },
    /// It comes to a relay.
    PublisherComes { stream: usize, relay: usize },
    /// A viewer comes to a relay.
    ViewerComes { relay: usize, stream: usize },
    /// The viewers of a relay leave.
    ViewersLeave { relay: usize },
    /// A relay may spend so much from now on.
    Limit { relay: usize, kbps: u32 },
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DO {self:?}")
    }
}

/// What goes wrong and when.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Everything that is done, in order.
    pub actions: Vec<(Duration, Action)>,
    /// When the last fault is over.
    pub calm: Duration,
    counts: BTreeMap<Class, usize>,
}

impl Plan {
    /// The plan of a scenario.
    pub fn of(scenario: &Scenario) -> Self {
        let mut draft = Draft {
            random: StdRng::seed_from_u64(scenario.seed),
            scenario,
            plan: Self {
                actions: Vec::new(),
                calm: STARTED + scenario.storm,
                counts: BTreeMap::new(),
            },
        };
        for class in Class::ALL {
            if draft.random.random_range(0..100) < CLASS_PERCENT {
                draft.add_class(class);
            }
        }
        let mut plan = draft.plan;
        plan.actions.sort_by_key(|(at, _)| *at);
        plan
    }

    /// How many faults of each class there are.
    pub fn counts(&self) -> Vec<(Class, usize)> {
        self.counts
            .iter()
            .map(|(class, count)| (*class, *count))
            .collect()
    }
}

struct Draft<'a> {
    random: StdRng,
    scenario: &'a Scenario,
    plan: Plan,
}

impl Draft<'_> {
    /// Adds faults of one class, each with its end.
    fn add_class(&mut self, class: Class) {
        let mut at = STARTED;
        loop {
            let pause = self.random.random_range(Duration::ZERO..2 * BETWEEN);
            at += pause;
            let lasts = self
                .random
                .random_range(Duration::from_millis(200)..FAULT_MAX);
            let until = (at + lasts).min(self.plan.calm);
            if at >= self.plan.calm {
                return;
            }
            *self.plan.counts.entry(class).or_default() += 1;
            let (begin, end) = self.fault(class);
            self.plan.actions.push((at, begin));
            if let Some(end) = end {
                self.plan.actions.push((until, end));
                // The next one of this class that could undo its end comes after it.
                if is_of_everybody(class) {
                    at = until;
                }
            }
        }
    }

    /// One fault of a class, and what ends it.
    fn fault(&mut self, class: Class) -> (Action, Option<Action>) {
        match class {
            Class::Messages
            | Class::StateOutage
            | Class::StateWipe
            | Class::StateTrouble
            | Class::Clock => self.fault_of_everybody(class),
            Class::ReplicaCrash | Class::ReplicaFreeze | Class::Partition | Class::Lag => {
                self.fault_of_a_replica(class)
            }
            Class::RelayKill | Class::RelayFreeze | Class::RelayCutOff | Class::WiresCut => {
                self.fault_of_a_relay(class)
            }
            Class::Publisher | Class::Viewers | Class::Limit => self.change_of_demand(class),
        }
    }

    fn fault_of_everybody(&mut self, class: Class) -> (Action, Option<Action>) {
        match class {
            Class::Messages => {
                let begin = Action::Messages {
                    lose: self.random.random_range(0..4),
                    repeat: self.random.random_range(0..6),
                    late: self.random.random_range(0..6),
                };
                let end = Action::Messages {
                    lose: 0,
                    repeat: 0,
                    late: 0,
                };
                (begin, Some(end))
            }
            Class::StateOutage => (
                Action::StateAway { is_away: true },
                Some(Action::StateAway { is_away: false }),
            ),
            Class::StateWipe => (Action::Wipe, None),
            Class::StateTrouble => {
                let begin = Action::StateTrouble {
                    refuse: self.random.random_range(0..4),
                    lose_answer: self.random.random_range(0..4),
                };
                let end = Action::StateTrouble {
                    refuse: 0,
                    lose_answer: 0,
                };
                (begin, Some(end))
            }
            _ => {
                let ahead_ms = self.random.random_range(-30_000..30_000);
                (Action::Clock { ahead_ms }, None)
            }
        }
    }

    fn fault_of_a_replica(&mut self, class: Class) -> (Action, Option<Action>) {
        let replica = self.random.random_range(0..REPLICAS * SERVICES);
        let other = self.random.random_range(0..REPLICAS * SERVICES);
        match class {
            Class::ReplicaCrash => (Action::Crash { replica }, Some(Action::Restart { replica })),
            Class::ReplicaFreeze => (Action::Freeze { replica }, Some(Action::Thaw { replica })),
            Class::Lag => {
                let milliseconds = self.random.random_range(10..600);
                let begin = Action::Lag {
                    replica,
                    milliseconds,
                };
                let end = Action::Lag {
                    replica,
                    milliseconds: 0,
                };
                (begin, Some(end))
            }
            _ if replica == other => {
                let cut = |is_cut_off| Action::CutOff {
                    replica,
                    is_cut_off,
                };
                (cut(true), Some(cut(false)))
            }
            _ => {
                let part = |is_parted| Action::Part {
                    one: replica,
                    other,
                    is_parted,
                };
                (part(true), Some(part(false)))
            }
        }
    }

    fn fault_of_a_relay(&mut self, class: Class) -> (Action, Option<Action>) {
        let relay = self.any_relay();
        match class {
            Class::RelayKill => {
                let silently = self.random.random();
                let keeps_id = self.random.random();
                (
                    Action::Kill { relay, silently },
                    Some(Action::Revive { relay, keeps_id }),
                )
            }
            Class::RelayFreeze => {
                let freeze = |is_frozen| Action::FreezeRelay { relay, is_frozen };
                (freeze(true), Some(freeze(false)))
            }
            Class::RelayCutOff => {
                let cut = |is_cut_off| Action::CutOffRelay { relay, is_cut_off };
                (cut(true), Some(cut(false)))
            }
            _ => {
                let cut = |is_cut| Action::CutWires { relay, is_cut };
                (cut(true), Some(cut(false)))
            }
        }
    }

    fn change_of_demand(&mut self, class: Class) -> (Action, Option<Action>) {
        let relay = self.any_relay();
        let stream = self.random.random_range(0..self.scenario.streams);
        match class {
            Class::Publisher => (
                Action::PublisherLeaves { stream },
                Some(Action::PublisherComes { stream, relay }),
            ),
            Class::Viewers if self.random.random() => (Action::ViewersLeave { relay }, None),
            Class::Viewers => (Action::ViewerComes { relay, stream }, None),
            _ => {
                let kbps = *[200, 400, 1_000, 4_000]
                    .choose(&mut self.random)
                    .expect("there are some");
                (Action::Limit { relay, kbps }, None)
            }
        }
    }

    /// A relay; supernodes more often than others, since more hangs on them.
    fn any_relay(&mut self) -> usize {
        let among = if self.random.random_range(0..3) == 0 {
            self.scenario.supernodes()
        } else {
            self.scenario.relays
        };
        self.random.random_range(0..among)
    }
}

/// Whether there is one such fault at a time.
fn is_of_everybody(class: Class) -> bool {
    matches!(
        class,
        Class::Messages | Class::StateOutage | Class::StateTrouble
    )
}
