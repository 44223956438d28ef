//! What the coordinator keeps of each node, and what a heartbeat or silence makes of it.

use astral_proto::limits::LEASE;
use astral_proto::message::{Heartbeat, Register};
use astral_proto::model::{Node, NodeState, Role};
use astral_proto::{Code, NodeId, Problem};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a node whose lease has ended stays on the list as lost.
pub const LOST_KEPT: Duration = Duration::from_secs(60);
/// Longest URL or address of a node, in bytes.
const ADDRESS_BYTES_MAX: usize = 512;
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
    /// Nothing yet.
    Short,
    /// Its lease has ended.
    Lost(Box<Member>),
    /// It has been lost for long enough to be forgotten.
    Forgotten,
}

/// Refuses what no node would say.
///
/// # Errors
/// `bad_request` with the field and its limit.
pub fn check(ask: &Register) -> Result<(), Problem> {
    let texts = [("media_url", &ask.media_url), ("rtmp_url", &ask.rtmp_url), ("advertise", &ask.advertise)];
    for (name, text) in texts {
        if text.is_empty() || text.len() > ADDRESS_BYTES_MAX {
            let detail = format!("{name} of {} bytes must have 1 to {ADDRESS_BYTES_MAX}", text.len());
            return Err(Problem::new(Code::BadRequest, detail));
        }
    }
    if ask.rtts.len() > RTTS_MAX {
        let detail = format!("{} round trips are over the limit of {RTTS_MAX}", ask.rtts.len());
        return Err(Problem::new(Code::BadRequest, detail));
    }
    Ok(())
}

/// The node once it has joined, before it has a place. What its heartbeats said of its load stays.
pub fn joined(ask: &Register, before: Option<&Member>, now: u64) -> Member {
    let before = before.map(|member| &member.node);
    let node = Node {
        uuid: ask.node,
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
    Member { node, asked: ask.role, rtts: ask.rtts.clone(), heard_at: now, sent_at: 0 }
}

/// Takes in a heartbeat.
pub fn heard(member: Option<Member>, heartbeat: &Heartbeat, now: u64) -> Heard {
    let Some(mut member) = member.filter(|member| member.node.state != NodeState::Lost) else {
        return Heard::Stranger;
    };
    if heartbeat.sent_at <= member.sent_at {
        return Heard::Late(Box::new(member));
    }
    member.heard_at = now;
    member.sent_at = heartbeat.sent_at;
    member.node.state = if heartbeat.draining { NodeState::Draining } else { NodeState::Up };
    if !heartbeat.rtts.is_empty() {
        member.rtts = heartbeat.rtts.iter().copied().take(RTTS_MAX).collect();
    }
    member.node.limit_kbps = heartbeat.limit_kbps;
    member.node.viewer_kbps = heartbeat.viewer_kbps;
    member.node.streams = u32::try_from(heartbeat.streams.len()).unwrap_or(u32::MAX);
    Heard::Alive(Box::new(member))
}

/// Lets time pass. Under `truce` silence means nothing.
pub fn time_passed(member: &Member, now: u64, truce: bool) -> Silence {
    let silent = Duration::from_millis(now.saturating_sub(member.heard_at));
    if member.node.state == NodeState::Lost {
        return if silent >= LEASE + LOST_KEPT { Silence::Forgotten } else { Silence::Short };
    }
    if silent < LEASE || truce {
        return Silence::Short;
    }
    let mut member = member.clone();
    member.node.state = NodeState::Lost;
    member.node.primary_supernode = None;
    Silence::Lost(Box::new(member))
}

/// Whether `holder` keeps an address against another node that claims it too: the living one does.
pub fn keeps_address(holder: Option<&Member>, now: u64) -> bool {
    holder.is_some_and(|member| {
        member.node.state != NodeState::Lost && now.saturating_sub(member.heard_at) < LEASE.as_millis() as u64
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn ask(role: Role) -> Register {
        Register {
            node: NodeId::random(),
            role,
            media_url: "http://host:8081".into(),
            rtmp_url: "rtmp://host:1935/live".into(),
            advertise: "host:8081".into(),
            limit_kbps: 100_000,
            rtts: vec![],
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
        }
    }

    fn member() -> Member {
        joined(&ask(Role::Node), None, 1_000)
    }

    #[test]
    fn a_heartbeat_renews_the_lease_and_the_figures() {
        let said = heartbeat(NodeId::random(), 5);
        let Heard::Alive(after) = heard(Some(member()), &said, 3_000) else { panic!("not alive") };
        assert_eq!((after.heard_at, after.sent_at), (3_000, 5));
        assert_eq!((after.node.limit_kbps, after.node.viewer_kbps), (50_000, 7));
    }

    #[test]
    fn round_trips_stand_until_others_are_told() {
        let [one, two] = std::array::from_fn(|_| NodeId::random());
        let told = Heartbeat { rtts: vec![(one, 5)], ..heartbeat(two, 5) };
        let Heard::Alive(after) = heard(Some(member()), &told, 3_000) else { panic!("not alive") };
        let Heard::Alive(after) = heard(Some(*after), &heartbeat(two, 6), 5_000) else { panic!("not alive") };
        assert_eq!(after.rtts, [(one, 5)]);
    }

    #[test]
    fn a_late_heartbeat_renews_nothing() {
        let member = Member { sent_at: 5, ..member() };
        for sent_at in [4, 5] {
            let said = heartbeat(NodeId::random(), sent_at);
            assert_eq!(heard(Some(member.clone()), &said, 9), Heard::Late(Box::new(member.clone())));
        }
    }

    #[test]
    fn a_stranger_and_a_node_given_up_must_register() {
        let said = heartbeat(NodeId::random(), 5);
        assert_eq!(heard(None, &said, 9), Heard::Stranger);
        let Silence::Lost(lost) = time_passed(&member(), 7_000, false) else { panic!("not lost") };
        assert_eq!(heard(Some(*lost), &said, 9), Heard::Stranger);
    }

    #[test]
    fn three_missed_heartbeats_end_the_lease_and_a_minute_later_the_node_is_forgotten() {
        assert_eq!(time_passed(&member(), 6_999, false), Silence::Short);
        assert_eq!(time_passed(&member(), 99_000, true), Silence::Short);
        let Silence::Lost(lost) = time_passed(&member(), 7_000, false) else { panic!("not lost") };
        assert_eq!(time_passed(&lost, 66_999, false), Silence::Short);
        assert_eq!(time_passed(&lost, 67_000, false), Silence::Forgotten);
    }

    #[test]
    fn an_address_stays_with_the_living() {
        let Silence::Lost(lost) = time_passed(&member(), 7_000, false) else { panic!("not lost") };
        assert!(keeps_address(Some(&member()), 6_999));
        for holder in [None, Some(&member()), Some(&*lost)] {
            assert!(!keeps_address(holder, 7_000));
        }
    }

    #[test]
    fn what_no_node_would_say_is_refused() {
        assert!(check(&ask(Role::Auto)).is_ok());
        let table = [
            Register { advertise: String::new(), ..ask(Role::Auto) },
            Register { media_url: "x".repeat(513), ..ask(Role::Auto) },
            Register { rtts: vec![(NodeId::random(), 1); 1_001], ..ask(Role::Auto) },
        ];
        for bad in table {
            assert_eq!(check(&bad).unwrap_err().code, Code::BadRequest);
        }
    }
}
