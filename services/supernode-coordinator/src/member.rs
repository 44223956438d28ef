//! What the coordinator keeps of each node, and what a heartbeat or silence makes of it.

use astral_proto::limits::LEASE;
use astral_proto::message::{Heartbeat, Register};
use astral_proto::model::{Node, NodeState, Role};
use astral_proto::{Code, NodeId, Problem};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a node whose lease has ended stays on the list as lost.
pub const LOST_KEPT: Duration = Duration::from_secs(60);
/// How often it is noted that a suspected node still sends or receives, so that it stays on the list.
const FLOWING_NOTED_EVERY: Duration = Duration::from_secs(30);
/// Longest URL or address of a node, in bytes.
const ADDRESS_BYTES_MAX: usize = 512;
/// Longest name of a node, in bytes: that of a pod has 253 at most.
const NAME_BYTES_MAX: usize = 253;
/// Most round trips that a node may tell.
const RTTS_MAX: usize = 1_000;

/// One node as the coordinator keeps it. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The node as users see it.
    pub node: Node,
    /// The role it asked for.
    pub asked: Role,
    /// Round trips to supernodes, microseconds.
    pub rtts: Vec<(NodeId, u32)>,
    /// When it was last heard of.
    pub heard_at: u64,
    /// When its last heartbeat was said, by its own clock.
    pub sent_at: u64,
    /// When it was last noted that the node flows though it is silent; 0 if it never was.
    #[serde(default)]
    pub flowed_at: u64,
    /// The process that is the node; 0 if it does not say.
    #[serde(default)]
    pub process: u32,
}

/// What a heartbeat comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nobody known: it must register first.
    Stranger,
    /// A message overtaken by a later one.
    Late(Box<Member>),
    /// The node lives on.
    Alive(Box<Member>),
}

/// What silence comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nothing, or nothing new.
    Short,
    /// Its lease has ended, and a link of it flows.
    Suspected(Box<Member>),
    /// Its lease has ended, and nothing flows from it or to it.
    Lost(Box<Member>),
    /// It has been lost for long enough to be forgotten.
    Forgotten,
}

/// Refuses what no node would say.
///
/// # Errors
/// `bad_request` with the field and its limit.
pub fn check(ask: &Register) -> Result<(), Problem> {
    let texts = [
        ("media_url", &ask.media_url),
        ("rtmp_url", &ask.rtmp_url),
        ("advertise", &ask.advertise),
    ];
    for (name, text) in texts {
        if text.is_empty() || text.len() > ADDRESS_BYTES_MAX {
            let detail = format!(
                "{name} of {} bytes must have 1 to {ADDRESS_BYTES_MAX}",
                text.len()
            );
            return Err(Problem::new(Code::BadRequest, detail));
        }
    }
    if ask.name.len() > NAME_BYTES_MAX {
        let detail = format!(
            "name of {} bytes is over the limit of {NAME_BYTES_MAX}",
            ask.name.len()
        );
        return Err(Problem::new(Code::BadRequest, detail));
    }
    if ask.rtts.len() > RTTS_MAX {
        let detail = format!(
            "{} round trips are over the limit of {RTTS_MAX}",
            ask.rtts.len()
        );
        return Err(Problem::new(Code::BadRequest, detail));
    }
    Ok(())
}

/// The node once it has joined, before it has a place. What its heartbeats said of its load stays.
pub fn joined(ask: &Register, before: Option<&Member>, now: u64) -> Member {
    let before = before.map(|member| &member.node);
    let node = Node {
        uuid: ask.node,
        name: ask.name.clone(),
        role: Role::Node,
        state: NodeState::Up,
        media_url: ask.media_url.clone(),
        rtmp_url: ask.rtmp_url.clone(),
        advertise: ask.advertise.clone(),
        primary_supernode: None,
        limit_kbps: ask.limit_kbps,
        promised_kbps: before.map_or(0, |node| node.promised_kbps),
        viewer_kbps: before.map_or(0, |node| node.viewer_kbps),
        streams: before.map_or(0, |node| node.streams),
    };
    let rtts = ask.rtts.clone();
    Member {
        node,
        asked: ask.role,
        rtts,
        heard_at: now,
        sent_at: 0,
        flowed_at: 0,
        process: ask.process,
    }
}

/// Takes in a heartbeat.
pub fn heard(member: Option<Member>, heartbeat: &Heartbeat, now: u64) -> Heard {
    let Some(mut member) = member.filter(|member| member.node.state != NodeState::Lost) else {
        return Heard::Stranger;
    };
    if is_another(member.process, heartbeat.process) {
        // Another process has taken its place. Told to register, it hears whether that one lives.
        return Heard::Stranger;
    }
    if heartbeat.sent_at <= member.sent_at {
        return Heard::Late(Box::new(member));
    }
    member.heard_at = now;
    member.sent_at = heartbeat.sent_at;
    member.node.state = if heartbeat.draining {
        NodeState::Draining
    } else {
        NodeState::Up
    };
    if !heartbeat.rtts.is_empty() {
        member.rtts = heartbeat.rtts.iter().copied().take(RTTS_MAX).collect();
    }
    member.node.limit_kbps = heartbeat.limit_kbps;
    member.node.viewer_kbps = heartbeat.viewer_kbps;
    member.node.streams = u32::try_from(heartbeat.streams.len()).unwrap_or(u32::MAX);
    Heard::Alive(Box::new(member))
}

impl Member {
    /// Whether its lease has ended, and it is not known yet whether it is lost.
    pub fn is_silent(&self, now: u64) -> bool {
        self.node.state != NodeState::Lost && since(self.heard_at, now) >= LEASE
    }
}

/// Lets time pass. Under `truce` silence means nothing. `flows`: whether a relay at the other end of a link of this node
/// says that the link flows.
pub fn time_passed(member: &Member, now: u64, truce: bool, flows: bool) -> Silence {
    if member.node.state == NodeState::Lost {
        let is_over = since(member.heard_at, now) >= LEASE + LOST_KEPT;
        return if is_over {
            Silence::Forgotten
        } else {
            Silence::Short
        };
    }
    if !member.is_silent(now) || truce {
        return Silence::Short;
    }
    if flows {
        suspected(member, now)
    } else {
        lost(member)
    }
}

fn suspected(member: &Member, now: u64) -> Silence {
    let is_known = member.node.state == NodeState::Suspected;
    if is_known && since(member.flowed_at, now) < FLOWING_NOTED_EVERY {
        return Silence::Short;
    }
    let mut member = member.clone();
    member.node.state = NodeState::Suspected;
    member.flowed_at = now;
    Silence::Suspected(Box::new(member))
}

fn lost(member: &Member) -> Silence {
    let mut member = member.clone();
    member.node.state = NodeState::Lost;
    member.node.primary_supernode = None;
    Silence::Lost(Box::new(member))
}

fn since(then: u64, now: u64) -> Duration {
    Duration::from_millis(now.saturating_sub(then))
}

/// Whether two numbers are those of two processes; 0 is none.
fn is_another(one: u32, other: u32) -> bool {
    one != 0 && other != 0 && one != other
}

/// Whether a node that registers may be a second one with the same id, so that it must be found out whether the first
/// lives. One that the control plane has given up is not in the way.
pub fn may_be_twin(known: Option<&Member>, ask: &Register) -> bool {
    known.is_some_and(|known| {
        known.node.state != NodeState::Lost && is_another(known.process, ask.process)
    })
}

/// How far the clock of a node that registers is ahead of `now`, milliseconds; none if it does not say what time it has.
pub fn clock_ahead_ms(ask: &Register, now: u64) -> Option<i64> {
    (ask.sent_at > 0).then(|| ask.sent_at.cast_signed() - now.cast_signed())
}

/// How it is found out whether the holder of an address lives, when another node claims the address too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// It is gone.
    Gone,
    /// It is there: it has just registered.
    There,
    /// Ask it: a process that has crashed does not answer, and the one that takes its place need not wait for its lease.
    AskIt,
    /// It is not heard. Ask whether one of its links flows.
    AskPeers,
}

/// Whether the holder of an address keeps it against another node: the one that lives does.
pub fn holder(holder: Option<&Member>, now: u64) -> Holder {
    match holder {
        None => Holder::Gone,
        Some(member) if member.node.state == NodeState::Lost => Holder::Gone,
        Some(member) if member.is_silent(now) => Holder::AskPeers,
        Some(member) if member.sent_at == 0 => Holder::There,
        Some(_) => Holder::AskIt,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn ask(role: Role) -> Register {
        Register {
            node: NodeId::random(),
            name: String::new(),
            role,
            media_url: "http://host:8081".into(),
            rtmp_url: "rtmp://host:1935/live".into(),
            advertise: "host:8081".into(),
            limit_kbps: 100_000,
            rtts: vec![],
            process: 0,
            sent_at: 0,
        }
    }

    pub fn heartbeat(node: NodeId, sent_at: u64) -> Heartbeat {
        Heartbeat {
            node,
            draining: false,
            limit_kbps: 50_000,
            viewer_kbps: 7,
            streams: vec![],
            serves: vec![],
            holds: vec![],
            rtts: vec![],
            generation: 0,
            sent_at,
            notices: vec![],
            process: 0,
        }
    }

    fn member() -> Member {
        joined(&ask(Role::Node), None, 1_000)
    }

    #[test]
    fn a_heartbeat_renews_the_lease_and_the_figures() {
        let said = heartbeat(NodeId::random(), 5);
        let Heard::Alive(after) = heard(Some(member()), &said, 3_000) else {
            panic!("not alive")
        };
        assert_eq!((after.heard_at, after.sent_at), (3_000, 5));
        assert_eq!((after.node.limit_kbps, after.node.viewer_kbps), (50_000, 7));
    }

    #[test]
    fn round_trips_stand_until_others_are_told() {
        let [one, two] = std::array::from_fn(|_| NodeId::random());
        let told = Heartbeat {
            rtts: vec![(one, 5)],
            ..heartbeat(two, 5)
        };
        let Heard::Alive(after) = heard(Some(member()), &told, 3_000) else {
            panic!("not alive")
        };
        let Heard::Alive(after) = heard(Some(*after), &heartbeat(two, 6), 5_000) else {
            panic!("not alive")
        };
        assert_eq!(after.rtts, [(one, 5)]);
    }

    #[test]
    fn a_late_heartbeat_renews_nothing() {
        let member = Member {
            sent_at: 5,
            ..member()
        };
        for sent_at in [4, 5] {
            let said = heartbeat(NodeId::random(), sent_at);
            assert_eq!(
                heard(Some(member.clone()), &said, 9),
                Heard::Late(Box::new(member.clone()))
            );
        }
    }

    #[test]
    fn a_stranger_and_a_node_given_up_must_register() {
        let said = heartbeat(NodeId::random(), 5);
        assert_eq!(heard(None, &said, 9), Heard::Stranger);
        let Silence::Lost(lost) = time_passed(&member(), 7_000, false, false) else {
            panic!("not lost")
        };
        assert_eq!(heard(Some(*lost), &said, 9), Heard::Stranger);
    }

    #[test]
    fn three_missed_heartbeats_end_the_lease_and_a_minute_later_the_node_is_forgotten() {
        assert_eq!(time_passed(&member(), 6_999, false, false), Silence::Short);
        assert_eq!(time_passed(&member(), 99_000, true, false), Silence::Short);
        let Silence::Lost(lost) = time_passed(&member(), 7_000, false, false) else {
            panic!("not lost")
        };
        assert_eq!(time_passed(&lost, 66_999, false, true), Silence::Short);
        assert_eq!(time_passed(&lost, 67_000, false, true), Silence::Forgotten);
    }

    #[test]
    fn a_silent_node_whose_links_flow_is_suspected_until_it_is_heard_or_nothing_flows() {
        let Silence::Suspected(suspected) = time_passed(&member(), 7_000, false, true) else {
            panic!("not suspected")
        };
        assert_eq!(
            (suspected.node.state, suspected.heard_at),
            (NodeState::Suspected, 1_000)
        );
        assert_eq!(
            time_passed(&suspected, 36_999, false, true),
            Silence::Short,
            "no news"
        );
        let Silence::Suspected(still) = time_passed(&suspected, 37_000, false, true) else {
            panic!("forgotten")
        };
        assert_eq!(still.flowed_at, 37_000);
        assert_eq!(
            time_passed(&still, 90_000, true, false),
            Silence::Short,
            "a truce"
        );
        assert!(matches!(
            time_passed(&still, 90_000, false, false),
            Silence::Lost(_)
        ));
        let Heard::Alive(back) = heard(Some(*still), &heartbeat(NodeId::random(), 5), 91_000)
        else {
            panic!("lost")
        };
        assert_eq!(back.node.state, NodeState::Up, "it need not register");
    }

    #[test]
    fn an_address_stays_with_the_living_and_who_cannot_be_heard_is_asked_after() {
        let Silence::Lost(lost) = time_passed(&member(), 7_000, false, false) else {
            panic!("not lost")
        };
        for gone in [None, Some(&*lost)] {
            assert_eq!(holder(gone, 7_000), Holder::Gone);
        }
        let beats = Member {
            sent_at: 5,
            ..member()
        };
        assert_eq!(
            holder(Some(&member()), 6_999),
            Holder::There,
            "it has yet to beat"
        );
        assert_eq!(holder(Some(&beats), 6_999), Holder::AskIt);
        assert_eq!(holder(Some(&beats), 7_000), Holder::AskPeers);
    }

    #[test]
    fn a_node_that_is_back_may_be_a_twin_until_the_first_is_known_to_be_gone() {
        let first = Member {
            process: 1,
            ..member()
        };
        let by = |process| Register {
            process,
            ..ask(Role::Node)
        };
        assert!(may_be_twin(Some(&first), &by(2)));
        assert!(
            !may_be_twin(Some(&first), &by(1)),
            "the same process registers again"
        );
        assert!(!may_be_twin(None, &by(2)));
        for unknown in [0, 1] {
            assert!(
                !may_be_twin(
                    Some(&Member {
                        process: 0,
                        ..member()
                    }),
                    &by(unknown)
                ),
                "of an older version"
            );
        }
        let Silence::Lost(lost) = time_passed(&first, 7_000, false, false) else {
            panic!("not lost")
        };
        assert!(!may_be_twin(Some(&lost), &by(2)));
    }

    #[test]
    fn a_process_whose_place_another_has_taken_must_register() {
        let member = Member {
            process: 2,
            ..member()
        };
        let by = |process| Heartbeat {
            process,
            ..heartbeat(NodeId::random(), 5)
        };
        assert_eq!(heard(Some(member.clone()), &by(1), 2_000), Heard::Stranger);
        for same in [0, 2] {
            assert!(matches!(
                heard(Some(member.clone()), &by(same), 2_000),
                Heard::Alive(_)
            ));
        }
    }

    #[test]
    fn clocks_are_compared_when_a_node_says_its_time() {
        let at = |sent_at| Register {
            sent_at,
            ..ask(Role::Node)
        };
        assert_eq!(clock_ahead_ms(&at(0), 5_000), None);
        assert_eq!(clock_ahead_ms(&at(6_500), 5_000), Some(1_500));
        assert_eq!(clock_ahead_ms(&at(4_000), 5_000), Some(-1_000));
    }

    #[test]
    fn what_no_node_would_say_is_refused() {
        assert!(check(&ask(Role::Auto)).is_ok());
        let table = [
            Register {
                advertise: String::new(),
                ..ask(Role::Auto)
            },
            Register {
                media_url: "x".repeat(513),
                ..ask(Role::Auto)
            },
            Register {
                rtts: vec![(NodeId::random(), 1); 1_001],
                ..ask(Role::Auto)
            },
        ];
        for bad in table {
            assert_eq!(check(&bad).unwrap_err().code, Code::BadRequest);
        }
    }
}
