//! Being a node: registration, and one heartbeat every two seconds for as long as the relay runs.

use crate::clock::unix_ms;
use crate::core::Relay;
use crate::sync::lock;
use astral_proto::limits::HEARTBEAT_INTERVAL;
use astral_proto::message::Register;
use astral_proto::model::Role;
use astral_proto::{NodeId, Problem};
use astral_runtime::LogThrottle;
use std::time::Duration;
use tokio::time::Instant;

/// First wait between two tries to register; doubles up to that between heartbeats, with jitter.
const REGISTER_RETRY: Duration = Duration::from_millis(250);
/// Within this much of hearing that the ledger has begun anew, a node states everything.
const ANEW: Duration = Duration::from_secs(1);

/// How a relay stands with the control plane, as it was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether it has ever registered.
    pub registered: bool,
    /// The role it got; none before it has registered.
    pub role: Option<Role>,
    /// The supernode it hangs off.
    pub primary_supernode: Option<NodeId>,
    /// What it has promised to others by tickets, kbit/s.
    pub promised_kbps: u32,
    /// Why the control plane did not answer the last time; none if it did.
    pub problem: Option<Problem>,
}

impl Standing {
    /// Whether the control plane is there, if only to refuse.
    pub fn control_plane_up(&self) -> bool {
        self.problem
            .as_ref()
            .is_none_or(|problem| !problem.code.may_retry())
    }

    /// How it stands, for a line of `/readyz`: `up`, and why it is refused if it is, or `away` and why.
    pub fn in_words(&self) -> String {
        let is = if self.control_plane_up() {
            "up"
        } else {
            "away"
        };
        match &self.problem {
            None => is.to_owned(),
            Some(problem) => format!("{is}: {problem}"),
        }
    }
}

impl Relay {
    /// How it stands with the control plane.
    pub fn standing(&self) -> Standing {
        lock(&self.shared.standing).clone()
    }

    /// Registers in `role` and keeps the lease until the relay stops; `told` hears of every answer, or of its absence.
    pub async fn keep_membership(&self, role: Role, told: impl Fn(&Standing) + Send) {
        let mut membership = Membership::new(self, role);
        let keeping = self.stopping().run_until_cancelled(membership.keep(told));
        self.named(keeping).await;
    }
}

struct Membership<'a> {
    relay: &'a Relay,
    role: Role,
    /// Whether the control plane knows this node.
    known: bool,
    /// Whether the ledger has begun anew, and wants all that this node serves and holds.
    anew: bool,
    retry: Duration,
    troubles: LogThrottle,
}

impl<'a> Membership<'a> {
    fn new(relay: &'a Relay, role: Role) -> Self {
        let troubles = LogThrottle::new();
        Self {
            relay,
            role,
            known: false,
            anew: false,
            retry: REGISTER_RETRY,
            troubles,
        }
    }

    async fn keep(&mut self, told: impl Fn(&Standing)) {
        loop {
            let outcome = if self.known {
                self.beat().await
            } else {
                self.register().await
            };
            told(&self.note(outcome.as_ref().err()));
            tokio::time::sleep(self.pause_after(outcome)).await;
        }
    }

    /// Registers; that there is more to be said at once.
    async fn register(&mut self) -> Result<bool, Problem> {
        let config = self.relay.config();
        let reach = config.reach.clone();
        let request = Register {
            node: config.node,
            role: self.role,
            media_url: reach.media_url,
            rtmp_url: reach.rtmp_url,
            advertise: reach.advertise,
            name: reach.name,
            limit_kbps: self.relay.limit_kbps(),
            rtts: self.relay.rtts(),
            process: self.relay.process(),
            sent_at: unix_ms(),
        };
        let asked = Instant::now();
        let registered = self.relay.control().register(request).await?;
        self.relay.shared.clock.told(registered.now, asked);
        self.relay.joined(&registered);
        self.known = true;
        tracing::info!(role = ?registered.role, "registered");
        Ok(true)
    }

    /// One heartbeat; whether there is more to be said at once.
    async fn beat(&mut self) -> Result<bool, Problem> {
        let asked = Instant::now();
        let reply = self
            .relay
            .control()
            .heartbeat(self.relay.statement())
            .await?;
        self.relay.shared.clock.told(reply.now, asked);
        self.anew = self.relay.heed(&reply);
        self.known = !reply.register;
        Ok(!self.known)
    }

    /// Keeps what came of the last message; how the relay stands now.
    fn note(&self, problem: Option<&Problem>) -> Standing {
        let mut standing = lock(&self.relay.shared.standing);
        standing.registered |= self.known;
        log(&self.troubles, problem);
        standing.problem = problem.cloned();
        let up = standing.control_plane_up();
        metrics::gauge!("astral_control_plane_up").set(if up { 1.0 } else { 0.0 });
        standing.clone()
    }

    fn pause_after(&mut self, outcome: Result<bool, Problem>) -> Duration {
        match outcome {
            Err(_) if !self.known => {
                let pause = self.retry;
                self.retry = (self.retry * 2).min(HEARTBEAT_INTERVAL);
                jittered(pause)
            }
            Ok(true) => Duration::ZERO,
            Ok(false) if self.anew => ANEW.mul_f64(rand::random()),
            Ok(false) | Err(_) => jittered(HEARTBEAT_INTERVAL),
        }
    }
}

/// Says once that the control plane is away or refuses this node, then how often, and once that it is back.
fn log(troubles: &LogThrottle, problem: Option<&Problem>) {
    let Some(problem) = problem else {
        if troubles.ended() {
            tracing::info!("control plane is back");
        }
        return;
    };
    // Whether it says nothing or says that it is not there changes from one try to the next.
    let is_away = problem.code.may_retry();
    let what = if is_away {
        "away"
    } else {
        problem.code.as_str()
    };
    let Some(times) = troubles.occurred(what) else {
        return;
    };
    if is_away {
        tracing::warn!(%problem, times, "control plane away, streams go on");
    } else {
        tracing::warn!(%problem, times, "the control plane refuses this node");
    }
}

/// Nodes that started together do not speak together.
fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(rand::random_range(0.8..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use astral_proto::Code;

    fn away() -> Result<bool, Problem> {
        Err(Problem::new(Code::ControlPlaneAway, "nobody is there"))
    }

    #[tokio::test]
    async fn a_node_asks_sooner_the_less_it_is_known() {
        let relay = testing::relay();
        let mut member = Membership::new(&relay, Role::Node);
        for most in [250, 500, 1_000, 2_000, 2_000] {
            let pause = member.pause_after(away()).as_millis();
            assert!(
                (most * 8 / 10..=most).contains(&pause),
                "{pause} ms of {most}"
            );
        }
        assert_eq!(
            member.pause_after(Ok(true)),
            Duration::ZERO,
            "there is more to be said"
        );
        member.known = true;
        assert!(member.pause_after(Ok(false)) > HEARTBEAT_INTERVAL / 2);
        assert!(member.pause_after(away()) > HEARTBEAT_INTERVAL / 2);
        member.anew = true;
        assert!(member.pause_after(Ok(false)) < ANEW);
    }

    #[tokio::test]
    async fn standing_says_whether_the_control_plane_is_away_or_refuses() {
        let relay = testing::relay();
        let mut member = Membership::new(&relay, Role::Node);
        let problem = away().unwrap_err();
        let standing = member.note(Some(&problem));
        assert!(!standing.registered && !standing.control_plane_up());
        assert_eq!(standing.in_words(), "away: nobody is there");
        assert!(
            member
                .note(Some(&Problem::new(Code::Forbidden, "no")))
                .control_plane_up()
        );
        member.known = true;
        assert!(member.note(None).registered);
        member.known = false;
        assert!(
            member.note(Some(&problem)).registered,
            "it has been registered once"
        );
        assert_eq!(relay.standing().problem, Some(problem));
    }
}
