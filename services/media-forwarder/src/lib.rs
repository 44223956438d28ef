//! A relay as a service of the cluster.
//!
//! Promises: it registers and keeps its lease by one heartbeat every two seconds, goes on streaming whatever becomes
//! of the control plane, and on leaving serves what it has as long as its deadline allows. Holds no state that its
//! heartbeats do not tell.

mod config;
mod control;
mod drain;
mod membership;
mod rpc;

use astral_backend::{Backend, Serving};
use astral_chassis::{Context, log_listening};
use astral_proto::NodeId;
use astral_relay::{Listeners, Relay, RelayConfig, listen};
pub use config::{Config, ConfigError};
use control::BusControlPlane;
use std::net::SocketAddr;
use std::sync::Arc;
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
    /// A door cannot be opened.
    #[error(transparent)]
    Listen(#[from] std::io::Error),
    /// The bus does not take its subscriptions.
    #[error(transparent)]
    Bus(#[from] astral_proto::Problem),
}

/// Opens the doors, then registers and keeps at it until `context` stops.
///
/// # Errors
/// [`StartError`]; nothing runs then.
pub async fn start(config: Config, backend: Backend, context: Context) -> Result<Started, StartError> {
    config.check()?;
    let listeners = Listeners::bind(config.rtmp_listen, config.media_listen).await?;
    let (rtmp_address, media_address) = (listeners.rtmp.local_addr()?, listeners.media.local_addr()?);
    log_listening("rtmp", rtmp_address);
    log_listening("media", media_address);

    let closing = CancellationToken::new();
    let relay = Relay::new(
        relay_config(&config, rtmp_address, media_address),
        Arc::new(BusControlPlane::new(backend.bus.clone())),
        closing.clone(),
        context.tasks.clone(),
    );
    listen(&relay, listeners);

    let serving = Serving { stopping: closing.clone(), tasks: context.tasks.clone() };
    rpc::serve(&relay, &backend.bus, &serving, config.allow_drills).await?;
    let left = CancellationToken::new();
    let membership = membership::Membership::new(&config, relay.clone(), backend.bus.clone());
    context.spawn("membership", membership.keep(context.ready_latch("registration"), context.clone()));
    context
        .spawn("drain", drain::when_told(relay.clone(), backend.bus, context.clone(), closing, left.clone()));
    Ok(Started { node: relay.node(), rtmp_address, media_address, left })
}

fn relay_config(config: &Config, rtmp: SocketAddr, media: SocketAddr) -> RelayConfig {
    let advertise = config.advertise.clone().unwrap_or_else(|| media.to_string());
    let media_url = config.public_url.clone().unwrap_or_else(|| format!("http://{advertise}"));
    RelayConfig {
        node: NodeId::random(),
        advertise,
        media_url: media_url.trim_end_matches('/').to_owned(),
        rtmp_url: format!("rtmp://{rtmp}/live"),
        limit_kbps: config.upstream_limit,
        cache_bytes_max: config.cache_mib << 20,
        gateway_url: config.gateway_url.as_ref().map(|url| url.trim_end_matches('/').to_owned()),
    }
}
