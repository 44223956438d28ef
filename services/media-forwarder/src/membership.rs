//! Being a node: registration, and one heartbeat every two seconds for as long as the process runs.

use crate::Config;
use astral_backend::Bus;
use astral_chassis::{Context, ReadyLatch};
use astral_proto::limits::HEARTBEAT_INTERVAL;
use astral_proto::message::Register;
use astral_proto::model::Role;
use astral_proto::{NodeId, Problem};
use astral_relay::Relay;
use std::time::Duration;

/// How long the coordinator may take to answer.
const WAIT: Duration = Duration::from_secs(2);
/// Between two tries to register; heartbeats go on at their own pace.
const REGISTER_RETRY: Duration = Duration::from_millis(250);

/// Within this much of hearing that the ledger has begun anew, a node states everything.
const ANEW: Duration = Duration::from_secs(1);

/// One node's membership.
pub struct Membership {
    role: Role,
    relay: Relay,
    bus: Bus,
    primary_supernode: Option<NodeId>,
    /// Whether the ledger has begun anew, and wants all that this node serves and holds.
    anew: bool,
}

impl Membership {
    /// Of `relay`, in the role that `config` asks for.
    pub fn new(config: &Config, relay: Relay, bus: Bus) -> Self {
        Self { role: config.role, relay, bus, primary_supernode: None, anew: false }
    }

    /// Registers, tells `registered`, and keeps the lease until the relay has left.
    pub async fn keep(mut self, registered: ReadyLatch, context: Context) {
        let closing = self.relay.stopping().clone();
        closing.run_until_cancelled(self.keep_for_ever(registered, &context)).await;
    }

    async fn keep_for_ever(&mut self, registered: ReadyLatch, context: &Context) {
        let mut known = false;
        loop {
            let outcome = if known { self.beat().await } else { self.register().await };
            tell(context, outcome.as_ref().err());
            match outcome {
                Ok(still_known) => {
                    if !known && still_known {
                        registered.release();
                    }
                    let again_at_once = !known || !still_known;
                    known = still_known;
                    if again_at_once {
                        continue;
                    }
                    let pause =
                        if self.anew { ANEW.mul_f64(rand::random()) } else { jittered(HEARTBEAT_INTERVAL) };
                    tokio::time::sleep(pause).await;
                }
                Err(problem) => {
                    tracing::debug!(%problem, "control plane away");
                    let pause = if known { HEARTBEAT_INTERVAL } else { REGISTER_RETRY };
                    tokio::time::sleep(jittered(pause)).await;
                }
            }
        }
    }

    async fn register(&mut self) -> Result<bool, Problem> {
        let config = self.relay.config();
        let request = Register {
            node: config.node,
            role: self.role,
            media_url: config.media_url.clone(),
            rtmp_url: config.rtmp_url.clone(),
            advertise: config.advertise.clone(),
            limit_kbps: config.limit_kbps,
            rtts: self.relay.rtts(),
        };
        let registered = self.bus.request(&request, WAIT).await?;
        self.relay.joined(&registered);
        self.primary_supernode = registered.primary_supernode;
        tracing::info!(node.id = %config.node, role = ?registered.role, "registered");
        Ok(true)
    }

    /// One heartbeat; whether the coordinator knows this node.
    async fn beat(&mut self) -> Result<bool, Problem> {
        let reply = self.bus.request(&self.relay.statement(), WAIT).await?;
        self.anew = self.relay.heed(&reply);
        self.primary_supernode = reply.primary_supernode;
        Ok(!reply.register)
    }
}

fn tell(context: &Context, problem: Option<&Problem>) {
    let up = problem.is_none_or(|problem| !problem.code.may_retry());
    metrics::gauge!("astral_control_plane_up").set(if up { 1.0 } else { 0.0 });
    context.status("control_plane", if up { "up" } else { "away" });
}

/// Nodes that started together do not speak together.
fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(rand::random_range(0.8..1.0))
}
