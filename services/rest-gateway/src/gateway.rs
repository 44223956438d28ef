//! What every handler works with.

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

/// Longest a service may take to answer.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What each request would log while the control plane is away. Those who ask do not hear it.
static AWAY: LogThrottle = LogThrottle::new();

/// What every handler works with.
pub(crate) struct Gateway {
    pub(crate) bus: Bus,
    pub(crate) relays: Relays,
    /// Whether faults may be put on nodes.
    pub(crate) drills: bool,
    /// Who may do what; none where everybody may do everything.
    pub(crate) tokens: Option<Arc<Tokens>>,
    /// What has happened of late.
    pub(crate) events: Arc<Events>,
    /// How it was set up.
    pub(crate) settings: Settings,
    /// The sockets by which requests reach nodes.
    pub(crate) sockets: Sockets,
    /// Until when long answers go on, and where they are tracked.
    pub(crate) serving: TaskScope,
}

impl Gateway {
    /// Asks the service that serves `R`.
    ///
    /// # Errors
    /// As [`Bus::request`], as [`Problem::for_outsiders`] has it: a service that does not answer in time is away too.
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
                tracing::warn!(%problem, times, "the control plane is away to who asks here");
            }
            problem.for_outsiders()
        })
    }
}
