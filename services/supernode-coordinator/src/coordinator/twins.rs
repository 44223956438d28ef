//! Two nodes with one id, and nodes whose clocks are wrong: what is noticed when a node registers.

use super::Coordinator;
use crate::member::{Member, clock_ahead_ms, may_be_twin};
use astral_proto::limits::CLOCK_TOLERANCE;
use astral_proto::message::{Probe, Register};
use astral_proto::{Code, Problem, Slug};
use astral_runtime::LogThrottle;
use std::time::Duration;

/// How long the first of two nodes with one id may take to say that it is there.
const FIRST_ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// The stream that it is asked about. Any does: what counts is who answers.
const ASKED_ABOUT: &str = "any";

/// What each try of a node to register would log.
static TWINS: LogThrottle = LogThrottle::new();
static WRONG_CLOCKS: LogThrottle = LogThrottle::new();

impl Coordinator {
    /// Refuses a second node with the id of one that lives. One that has crashed answers no more, and the process in its
    /// place is taken at once.
    pub(super) async fn refuse_twin(
        &self,
        before: Option<&Member>,
        ask: &Register,
    ) -> Result<(), Problem> {
        let Some(first) = before.filter(|_| may_be_twin(before, ask)) else {
            return Ok(());
        };
        let probe = Probe {
            slug: ASKED_ABOUT.parse::<Slug>()?,
        };
        let answer = self
            .bus
            .request_node(ask.node, &probe, FIRST_ANSWERS_WITHIN)
            .await;
        if !answer.is_ok_and(|probed| probed.process == first.process) {
            return Ok(());
        }
        let problem = is_taken(first, ask);
        if let Some(times) = TWINS.occurred(&ask.node.to_string()) {
            tracing::warn!(node.id = %ask.node, %problem, times, "a second node with one id was refused");
        }
        Err(problem)
    }

    /// Warns of a node whose clock is wrong. It is taken: it checks tickets by the clock that it is told.
    pub(super) fn compare_clocks(&self, ask: &Register) {
        let Some(ahead_ms) = clock_ahead_ms(ask, self.store.0.now()) else {
            return;
        };
        if u128::from(ahead_ms.unsigned_abs()) <= CLOCK_TOLERANCE.as_millis() {
            return;
        }
        metrics::counter!("astral_nodes_clock_wrong_total").increment(1);
        if let Some(times) = WRONG_CLOCKS.occurred(&ask.node.to_string()) {
            let seconds = ahead_ms as f64 / 1_000.0;
            let advertise = &ask.advertise;
            tracing::warn!(
                node.id = %ask.node,
                advertise,
                clock.ahead_seconds = seconds,
                times,
                "the clock of a node is wrong: set it, best by NTP, or that of the state"
            );
        }
    }
}

fn is_taken(first: &Member, ask: &Register) -> Problem {
    let detail = format!(
        "node {} lives at {}, and the one at {} says that it is the same: give one of them another --uuid, or stop it",
        ask.node, first.node.advertise, ask.advertise
    );
    Problem::new(Code::Conflict, detail)
}
