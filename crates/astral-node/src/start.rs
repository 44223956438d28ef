//! How a relay starts.

use crate::RelayFlags;
use astral_chassis::{Context, log_listening};
use astral_proto::NodeId;
use astral_relay::Env;
use astral_relay::control::ControlPlane;
use astral_relay::{Connect, Listeners, Reach, Relay, RelayConfig, listen};
use astral_runtime::ListenError;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A relay that runs.
pub struct Started {
    /// Its id.
    pub node: NodeId,
    /// The address of its RTMP listener.
    pub rtmp_address: SocketAddr,
    /// The address of its media listener.
    pub media_address: SocketAddr,
    /// Cancelled once the relay has left the network, after a drain.
    pub left: CancellationToken,
}

/// The open listeners of a relay that does not serve yet.
pub struct OpenListeners {
    flags: RelayFlags,
    listeners: Listeners,
}

impl OpenListeners {
    /// Opens the listeners that `flags` name.
    ///
    /// # Errors
    /// [`ListenError`] for the first one that cannot be opened.
    pub async fn open(flags: RelayFlags) -> Result<Self, ListenError> {
        let listeners = Listeners::bind(flags.rtmp_listen, flags.media_listen).await?;
        log_listening("rtmp", listeners.rtmp_address);
        log_listening("media", listeners.media_address);
        Ok(Self { flags, listeners })
    }

    /// The address of the RTMP listener.
    pub fn rtmp_address(&self) -> SocketAddr {
        self.listeners.rtmp_address
    }

    /// The address of the media listener.
    pub fn media_address(&self) -> SocketAddr {
        self.listeners.media_address
    }

    /// Starts a relay on the listeners. It is no member of a network yet.
    ///
    /// It may send `limit_kbps`, and sends viewers to `gateway_url` when it is full.
    pub fn serve(
        self,
        node: NodeId,
        env: Env,
        limit_kbps: u32,
        gateway_url: Option<String>,
        control: Arc<dyn ControlPlane>,
        context: &Context,
    ) -> Relay {
        let flags = self.flags;
        let cache_bytes_max = flags.cache_bytes_max();
        let reach = Reach::new(
            self.listeners.rtmp_address,
            self.listeners.media_address,
            flags.advertise,
            flags.public_url,
        );
        let config = RelayConfig {
            node,
            reach: reach.called(flags.name),
            limit_kbps,
            cache_bytes_max,
            gateway_url,
            allow_drills: flags.allow_drills,
            connect: Connect::Tcp,
            env,
        };
        let stopping = CancellationToken::new();
        let relay = astral_relay::start(config, control, stopping, context.scope.tasks.clone());
        listen(&relay, self.listeners);
        relay
    }
}
