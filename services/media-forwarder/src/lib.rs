//! A relay as a service of the cluster.
//!
//! It registers and keeps its lease with one heartbeat every two seconds. It keeps streaming while
//! the control plane is away. When it leaves, it serves what it has until its deadline. It holds no
//! state that its heartbeats do not report.

mod config;
mod control;
mod rpc;

use astral_backend::{Backend, Bus};
use astral_chassis::{Context, Program, Threads, log_as_node};
use astral_node::{FlagsError, OpenListeners, Started, keep_membership, leave_on_stop};
use astral_proto::Problem;
use astral_proto::model::Role;
use astral_relay::Relay;
use astral_relay::control::ControlPlane;
use astral_runtime::{ListenError, TaskScope};
use astral_service::{Dependency, Service};
pub use config::Config;
use control::BusControlPlane;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Why a media forwarder cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The flags contradict each other.
    #[error(transparent)]
    Flags(#[from] FlagsError),
    /// A listener cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The bus does not accept the subscriptions.
    #[error(transparent)]
    Bus(#[from] Problem),
}

/// The media forwarder as a process of its own.
pub struct ForwarderService;

impl Service for ForwarderService {
    const PROGRAM: Program = Program {
        name: "astral-media-forwarder",
        component: "media-forwarder",
        about: "Takes streams in over RTMP, relays them, and sends them out as HLS, HTTP-FLV and RTMP",
        threads: Threads::PerCore,
    };
    /// None: it is ready once it has registered, for which it needs both.
    const WAITS_FOR: &'static [Dependency] = &[];
    type Config = Config;
    type Error = StartError;

    async fn start(config: Config, backend: Backend, context: Context) -> Result<(), StartError> {
        let started = start(config, backend, context).await?;
        log_as_node(started.node);
        Ok(())
    }
}

/// Opens the listeners, then registers and stays a node until `context` stops.
///
/// # Errors
/// [`StartError`]; nothing runs then.
pub async fn start(
    config: Config,
    backend: Backend,
    context: Context,
) -> Result<Started, StartError> {
    config.relay.check()?;
    let listeners = OpenListeners::open(config.relay).await?;
    let rtmp_address = listeners.rtmp_address();
    let media_address = listeners.media_address();
    let relay = listeners.serve(
        backend.env.node_id(),
        backend.env.split("relay"),
        config.upstream_limit,
        config.gateway_url,
        control_plane(&backend.bus),
        &context,
    );
    let left = join(&relay, config.role, &backend.bus, &context).await?;
    Ok(Started {
        node: relay.node(),
        rtmp_address,
        media_address,
        left,
    })
}

/// The control plane over `bus`.
pub fn control_plane(bus: &Bus) -> Arc<dyn ControlPlane> {
    Arc::new(BusControlPlane::new(bus.clone()))
}

/// Makes `relay` a node in `role`: it answers requests from the bus, registers and sends heartbeats
/// until it stops. It leaves when `context` stops. The token is cancelled once it has left.
///
/// # Errors
/// The bus does not accept the subscriptions.
pub async fn join(
    relay: &Relay,
    role: Role,
    bus: &Bus,
    context: &Context,
) -> Result<CancellationToken, Problem> {
    let scope = TaskScope {
        stopping: relay.stopping().clone(),
        tasks: context.scope.tasks.clone(),
    };
    rpc::serve(relay, bus, &scope).await?;
    let registration = context.ready_latch("registration");
    let member = relay.clone();
    let member_context = context.clone();
    context.spawn("membership", async move {
        keep_membership(&member, role, registration, &member_context, || {}).await;
    });
    Ok(leave_on_stop(relay, context))
}
