//! Membership in the network: registration, and one heartbeat every two seconds for as long as the
//! relay runs.

use super::statement::{apply_heartbeat_reply, apply_registration, statement};
use crate::core::{MembershipStatus, Relay};
use astral_env::Env;
use astral_proto::limits::HEARTBEAT_INTERVAL;
use astral_proto::message::Register;
use astral_proto::model::Role;
use astral_proto::{Kbps, Problem, UnixMillis};
use astral_runtime::LogThrottle;
use rand::Rng;
use std::time::Duration;
use tokio::time::Instant;

/// First wait between two tries to register. Doubles up to the interval of heartbeats, with jitter.
const REGISTER_RETRY: Duration = Duration::from_millis(250);
/// A node that sees a new generation of ledgers sends its next heartbeat within this time. Not at
/// once: all nodes see it together.
const RESTORE_WITHIN: Duration = Duration::from_secs(1);

/// Registers `relay` in `role`, and keeps its lease until the relay stops. Calls `on_answer` after
/// every message to the control plane, whether it was answered or not.
pub async fn keep_membership(
    relay: &Relay,
    role: Role,
    on_answer: impl Fn(&MembershipStatus) + Send,
) {
    let mut membership = Membership::new(relay, role);
    let keeping = relay
        .stopping()
        .run_until_cancelled(membership.keep(on_answer));
    relay.named(keeping).await;
}

struct Membership<'a> {
    relay: &'a Relay,
    role: Role,
    /// Whether the control plane knows this node.
    known: bool,
    /// Whether the broker has new ledgers, which only heartbeats can restore.
    must_restore: bool,
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
            must_restore: false,
            retry: REGISTER_RETRY,
            troubles,
        }
    }

    async fn keep(&mut self, on_answer: impl Fn(&MembershipStatus)) {
        loop {
            let outcome = if self.known {
                self.send_heartbeat().await
            } else {
                self.register().await
            };
            on_answer(&self.note(outcome.as_ref().err()));
            tokio::time::sleep(self.pause_after(outcome)).await;
        }
    }

    /// Registers. Returns true: the first heartbeat follows at once.
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
            limit_kbps: Kbps::new(self.relay.limit_kbps()),
            rtts: self.relay.distances().rtts(),
            process: self.relay.process(),
            sent_at: UnixMillis::new(self.relay.now_ms()),
        };
        let asked = Instant::now();
        let registered = self.relay.control().register(request).await?;
        self.relay.clock().learn(registered.now.get(), asked);
        apply_registration(self.relay, &registered);
        self.known = true;
        tracing::info!(role = ?registered.role, "registered");
        Ok(true)
    }

    /// Sends one heartbeat. Returns whether the node must register at once.
    async fn send_heartbeat(&mut self) -> Result<bool, Problem> {
        let asked = Instant::now();
        let reply = self
            .relay
            .control()
            .heartbeat(statement(self.relay))
            .await?;
        self.relay.clock().learn(reply.now.get(), asked);
        self.must_restore = apply_heartbeat_reply(self.relay, &reply);
        self.known = !reply.register;
        Ok(!self.known)
    }

    /// Notes the outcome of the last message. Returns how the relay stands now.
    fn note(&self, problem: Option<&Problem>) -> MembershipStatus {
        log(&self.troubles, problem);
        let status = self.relay.update_status(|status| {
            status.registered |= self.known;
            status.problem = problem.cloned();
        });
        let up = status.control_plane_up();
        metrics::gauge!("astral_control_plane_up").set(if up { 1.0 } else { 0.0 });
        status
    }

    fn pause_after(&mut self, outcome: Result<bool, Problem>) -> Duration {
        match outcome {
            Err(_) if !self.known => {
                let pause = self.retry;
                self.retry = (self.retry * 2).min(HEARTBEAT_INTERVAL);
                jittered(pause, self.relay.env())
            }
            Ok(true) => Duration::ZERO,
            Ok(false) if self.must_restore => {
                RESTORE_WITHIN.mul_f64(self.relay.env().random().random())
            }
            Ok(false) | Err(_) => jittered(HEARTBEAT_INTERVAL, self.relay.env()),
        }
    }
}

/// Logs once that the control plane is away or refuses this node, then how often, and once that it
/// is back.
fn log(troubles: &LogThrottle, problem: Option<&Problem>) {
    let Some(problem) = problem else {
        if troubles.ended() {
            tracing::info!("control plane is back");
        }
        return;
    };
    // One kind of trouble: whether it is silent or says that it is unavailable may change with
    // every try.
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
        tracing::warn!(%problem, times, "control plane away, streams continue");
    } else {
        tracing::warn!(%problem, times, "the control plane refuses this node");
    }
}

/// Spreads the messages of nodes that started together.
fn jittered(duration: Duration, env: &Env) -> Duration {
    duration.mul_f64(env.random().random_range(0.8..1.0))
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
    async fn a_node_that_is_not_registered_asks_sooner() {
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
            "the next message is due at once"
        );
        member.known = true;
        assert!(member.pause_after(Ok(false)) > HEARTBEAT_INTERVAL / 2);
        assert!(member.pause_after(away()) > HEARTBEAT_INTERVAL / 2);
        member.must_restore = true;
        assert!(member.pause_after(Ok(false)) < RESTORE_WITHIN);
    }

    #[tokio::test]
    async fn the_status_says_whether_the_control_plane_is_away_or_refuses() {
        let relay = testing::relay();
        let mut member = Membership::new(&relay, Role::Node);
        let problem = away().unwrap_err();
        let status = member.note(Some(&problem));
        assert!(!status.registered && !status.control_plane_up());
        assert_eq!(status.in_words(), "away: nobody is there");
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
        assert_eq!(relay.status().problem, Some(problem));
    }
}
