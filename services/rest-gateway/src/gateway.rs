//! What every request handler uses.

use crate::events::Events;
use crate::relays::Relays;
use crate::rights::Tokens;
use crate::sockets::Sockets;
use astral_backend::Bus;
use astral_proto::rest::Settings;
use astral_proto::{Code, Problem, message::Request};
use astral_runtime::{LogThrottle, TaskScope};
use std::sync::Arc;
use std::time::Duration;

/// Longest time for a service to answer.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Limits the log lines while the control plane is away. Callers do not get these details.
static AWAY: LogThrottle = LogThrottle::new();

/// What every handler works with.
pub(crate) struct Gateway {
    pub(crate) bus: Bus,
    pub(crate) relays: Relays,
    /// Whether drills are allowed.
    pub(crate) drills: bool,
    /// The tokens and their roles. None if everybody may do everything.
    pub(crate) tokens: Option<Arc<Tokens>>,
    /// The newest events.
    pub(crate) events: Arc<Events>,
    /// The effective settings.
    pub(crate) settings: Settings,
    /// The WebSockets by which requests reach nodes.
    pub(crate) sockets: Sockets,
    /// When long answers end, and where their tasks are tracked.
    pub(crate) serving: TaskScope,
}

impl Gateway {
    /// Sends a request to the service that serves `R`.
    ///
    /// # Errors
    /// Those of [`Bus::request`], in the form of [`Problem::for_outsiders`]: a service that does
    /// not answer in time counts as away.
    pub(crate) async fn ask<R: Request>(&self, request: R) -> Result<R::Reply, Problem> {
        self.ask_within(&request, ANSWER_WITHIN).await
    }

    /// As [`Gateway::ask`], for a request that may take longer.
    ///
    /// # Errors
    /// As [`Gateway::ask`].
    pub(crate) async fn ask_within<R: Request>(
        &self,
        request: &R,
        within: Duration,
    ) -> Result<R::Reply, Problem> {
        let answered = self.bus.request(request, within).await;
        answered.map_err(|problem| {
            if matches!(problem.code, Code::ControlPlaneAway | Code::Timeout)
                && let Some(times) = AWAY.occurred(&problem.detail)
            {
                tracing::warn!(%problem, times, "the control plane is away; callers get control_plane_away");
            }
            problem.for_outsiders()
        })
    }
}
