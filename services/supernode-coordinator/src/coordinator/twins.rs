//! Checks of a node that registers: that no other node with its id is alive (a *twin*), and that its clock is right.

use super::Coordinator;
use crate::Error;
use crate::member::{Member, clock_ahead_ms, may_be_twin};
use astral_proto::Slug;
use astral_proto::limits::CLOCK_TOLERANCE;
use astral_proto::message::{Probe, Register};
use astral_runtime::LogThrottle;
use std::time::Duration;

/// How long the node that is registered may take to answer when a second one uses its id.
const FIRST_TIMEOUT: Duration = Duration::from_millis(500);
/// The stream in the probe. Any name works: only the process that answers matters.
const PROBED_STREAM: &str = "any";

/// Limits the log line that each attempt of a twin to register would write.
static TWINS: LogThrottle = LogThrottle::new();
/// Limits the log line about a wrong clock.
static WRONG_CLOCKS: LogThrottle = LogThrottle::new();

impl Coordinator {
    /// Refuses a node if another process with the same id is alive. A crashed process does not answer, so its successor is
    /// admitted at once.
    pub(super) async fn refuse_twin(
        &self,
        before: Option<&Member>,
        request: &Register,
    ) -> Result<(), Error> {
        let Some(first) = before.filter(|_| may_be_twin(before, request)) else {
            return Ok(());
        };
        let probe = Probe {
            slug: PROBED_STREAM.parse::<Slug>()?,
        };
        let answer = self
            .bus
            .request_node(request.node, &probe, FIRST_TIMEOUT)
            .await;
        if !answer.is_ok_and(|probed| probed.process == first.process) {
            return Ok(());
        }
        let error = Error::DuplicateNode {
            node: request.node,
            first: first.node.advertise.clone(),
            second: request.advertise.clone(),
        };
        if let Some(times) = TWINS.occurred(&request.node.to_string()) {
            tracing::warn!(node.id = %request.node, %error, times, "a second node with the same id was refused");
        }
        Err(error)
    }

    /// Warns if the clock of a node is wrong. The node is admitted, because it checks tickets by the date in the answer.
    pub(super) fn compare_clocks(&self, request: &Register) {
        let Some(ahead_ms) = clock_ahead_ms(request, self.store.now()) else {
            return;
        };
        if u128::from(ahead_ms.unsigned_abs()) <= CLOCK_TOLERANCE.as_millis() {
            return;
        }
        metrics::counter!("astral_nodes_clock_wrong_total").increment(1);
        if let Some(times) = WRONG_CLOCKS.occurred(&request.node.to_string()) {
            tracing::warn!(
                node.id = %request.node,
                advertise = request.advertise,
                clock.ahead_seconds = ahead_ms as f64 / 1_000.0,
                times,
                "the clock of a node differs from that of the state: set the wrong one, for example by NTP"
            );
        }
    }
}
