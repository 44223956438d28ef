//! A relay as a service of the cluster.
//!
//! Promises: it registers and keeps its lease by one heartbeat every two seconds, goes on streaming whatever becomes
//! of the control plane, and on leaving serves what it has as long as its deadline allows. Holds no state that its
//! heartbeats do not tell.

mod config;
mod control;
mod rpc;

use astral_backend::{Backend, Bus, Serving};
use astral_chassis::{Context, ListenError, ReadyLatch, log_listening};
use astral_proto::model::Role;
use astral_proto::{NodeId, Problem};
use astral_relay::control::ControlPlane;
use astral_relay::{BindError, Connect, Listeners, Reach, Relay, RelayConfig, Standing, listen};
pub use config::{Config, ConfigError};
use control::BusControlPlane;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A media forwarder that runs.
pub struct Started {
    /// Its id.
    pub node: NodeId,
    /// Its RTMP listener.
    pub rtmp_address: SocketAddr,
    /// Its media listener.
    pub media_address: SocketAddr,
    /// Cancelled once it has left, after a drain.
    pub left: CancellationToken,
}

/// Why a media forwarder does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings do not go together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A listener cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The bus does not take its subscriptions.
    #[error(transparent)]
    Bus(#[from] Problem),
}

/// Opens the doors, then registers and keeps at it until `context` stops.
///
/// # Errors
/// [`StartError`]; nothing runs then.
pub async fn start(
    config: Config,
    backend: Backend,
    context: Context,
) -> Result<Started, StartError> {
    config.check()?;
    let listeners = Listeners::bind(config.rtmp_listen, config.media_listen)
        .await
        .map_err(named)?;
    let rtmp_address = listeners.rtmp_address;
    let media_address = listeners.media_address;
    log_listening("rtmp", rtmp_address);
    log_listening("media", media_address);

    let closing = CancellationToken::new();
    let advertise = config.advertise.clone();
    let public_url = config.public_url.clone();
    let reach =
        Reach::new(rtmp_address, media_address, advertise, public_url).called(config.name.clone());
    let relay = Relay::new(
        relay_config(&config, reach),
        control_plane(&backend.bus),
        closing.clone(),
        context.tasks.clone(),
    );
    listen(&relay, listeners);

    let left = join(&relay, config.role, &backend.bus, &context).await?;
    Ok(Started {
        node: relay.node(),
        rtmp_address,
        media_address,
        left,
    })
}

fn named(error: BindError) -> ListenError {
    ListenError {
        flag: error.flag,
        address: error.address,
        cause: error.cause,
    }
}

/// The control plane over `bus`.
pub fn control_plane(bus: &Bus) -> Arc<dyn ControlPlane> {
    Arc::new(BusControlPlane::new(bus.clone()))
}

/// Makes `relay` a node in `role`: it answers on the bus, registers and beats until it stops, and leaves when `context`
/// stops. The token is cancelled once it has left.
///
/// # Errors
/// The bus does not take its subscriptions.
pub async fn join(
    relay: &Relay,
    role: Role,
    bus: &Bus,
    context: &Context,
) -> Result<CancellationToken, Problem> {
    let serving = Serving {
        stopping: relay.stopping().clone(),
        tasks: context.tasks.clone(),
    };
    rpc::serve(relay, bus, &serving).await?;
    let left = CancellationToken::new();
    let registration = context.ready_latch("registration");
    context.spawn(
        "membership",
        be_a_node(relay.clone(), role, registration, context.clone()),
    );
    context.spawn(
        "drain",
        leave_when_told(relay.clone(), context.clone(), left.clone()),
    );
    let leaving = relay.clone();
    context.explain_drain(move || leaving.in_use().in_words());
    Ok(left)
}

async fn be_a_node(relay: Relay, role: Role, registration: ReadyLatch, context: Context) {
    let told = |standing: &Standing| {
        if standing.registered {
            registration.release();
        }
        context.status("control_plane", standing.in_words());
    };
    relay.keep_membership(role, told).await;
}

async fn leave_when_told(relay: Relay, context: Context, left: CancellationToken) {
    context.stopping.cancelled().await;
    relay
        .drain_by(context.deadline().unwrap_or_else(Instant::now))
        .await;
    left.cancel();
}

fn relay_config(config: &Config, reach: Reach) -> RelayConfig {
    RelayConfig {
        node: NodeId::random(),
        reach,
        limit_kbps: config.upstream_limit,
        cache_bytes_max: config.cache_mib << 20,
        gateway_url: config
            .gateway_url
            .as_ref()
            .map(|url| url.trim_end_matches('/').to_owned()),
        allow_drills: config.allow_drills,
        connect: Connect::Tcp,
    }
}
