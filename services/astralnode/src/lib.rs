//! A relay as an edge on anyone's machine.
//!
//! Promises: it joins a network by the public REST of its gateways alone, lends the upstream that its host says or that it
//! measured, goes on streaming whatever becomes of the gateway, and on leaving serves what it has as long as its
//! deadline allows. Its host sees and steers it by a page and an API on loopback. Knows no bus and no state store.

mod client;
mod config;
mod control;
mod page;
mod requests;
mod resources;
mod routes;
mod upstream;

use astral_chassis::{Context, ListenError, ReadyLatch, log_listening, serve_http};
use astral_proto::NodeId;
use astral_proto::model::Role;
use astral_relay::{BindError, Connect, Listeners, Reach, Relay, RelayConfig, Standing, listen};
use client::Client;
pub use config::{Config, ConfigError};
use control::RestControlPlane;
use http::{HeaderValue, Uri};
use hyper::service::service_fn;
use hyper_util::service::TowerToHyperService;
use resources::Local;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use upstream::Limit;

/// Connections to the control API at once; further ones wait in the kernel.
const CONTROL_CONNECTIONS_MAX: usize = 64;

/// An astralnode that runs.
pub struct Started {
    /// Its id.
    pub node: NodeId,
    /// Its RTMP listener.
    pub rtmp_address: SocketAddr,
    /// Its media listener.
    pub media_address: SocketAddr,
    /// Its control API and page.
    pub control_address: SocketAddr,
}

/// Why an astralnode does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is missing, or settings do not go together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A listener cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// There is nothing to check the gateway's certificate against.
    #[error("--join {url} wants the system's certificates, which cannot be read: {source}")]
    Certificates {
        /// The gateways.
        url: String,
        /// Why not.
        source: std::io::Error,
    },
}

/// Opens the doors, then joins and keeps at it until `context` stops.
///
/// # Errors
/// [`StartError`]; nothing runs then.
pub async fn start(config: Config, context: Context) -> Result<Started, StartError> {
    let (join, authorization) = config.check()?;
    let client = Arc::new(new_client(&join, authorization)?);
    let listeners = Listeners::bind(config.rtmp_listen, config.media_listen)
        .await
        .map_err(named)?;
    let rtmp_address = listeners.rtmp_address;
    let media_address = listeners.media_address;
    let control = |cause| ListenError {
        flag: "--control-listen",
        address: config.control_listen,
        cause,
    };
    let control_listener = TcpListener::bind(config.control_listen)
        .await
        .map_err(control)?;
    let control_address = control_listener.local_addr().map_err(control)?;
    let doors = [
        ("rtmp", rtmp_address),
        ("media", media_address),
        ("control", control_address),
    ];
    doors
        .into_iter()
        .for_each(|(door, address)| log_listening(door, address));

    let advertise = config.advertise.clone();
    let public_url = config.public_url.clone();
    let reach =
        Reach::new(rtmp_address, media_address, advertise, public_url).called(config.name.clone());
    let relay = Relay::new(
        relay_config(&config, reach, client.base()),
        Arc::new(RestControlPlane::new(client.clone())),
        CancellationToken::new(),
        context.tasks.clone(),
    );
    listen(&relay, listeners);
    let node = relay.node();
    let limit = Limit::new(relay.clone(), config.upstream_limit.is_some());
    let local = Local {
        relay: relay.clone(),
        limit: limit.clone(),
        context: context.clone(),
        client: client.clone(),
        role: config.role,
    };
    serve_control(control_listener, local);
    spawn_node(
        Node {
            relay,
            client,
            limit,
            role: config.role,
        },
        &context,
    );
    tracing::info!("this node's page is at http://{control_address}/");
    Ok(Started {
        node,
        rtmp_address,
        media_address,
        control_address,
    })
}

fn named(error: BindError) -> ListenError {
    ListenError {
        flag: error.flag,
        address: error.address,
        cause: error.cause,
    }
}

fn new_client(join: &[Uri], authorization: Option<HeaderValue>) -> Result<Client, StartError> {
    let url = || {
        join.iter()
            .map(Uri::to_string)
            .collect::<Vec<_>>()
            .join(",")
    };
    Client::new(join, authorization)
        .map_err(|source| StartError::Certificates { url: url(), source })
}

fn relay_config(config: &Config, reach: Reach, gateway: &str) -> RelayConfig {
    RelayConfig {
        node: config.uuid.unwrap_or_else(NodeId::random),
        reach,
        // Until the upstream is known, nothing is lent.
        limit_kbps: config.upstream_limit.unwrap_or(0),
        cache_bytes_max: config.cache_mib << 20,
        gateway_url: Some(gateway.to_owned()),
        allow_drills: config.allow_drills,
        connect: Connect::Tcp,
    }
}

/// Serves the control API until the relay has left, so that its host sees it leave.
fn serve_control(listener: TcpListener, local: Local) {
    let relay = local.relay.clone();
    let context = local.context.clone();
    let routes = TowerToHyperService::new(warp::service(routes::all(Arc::new(local))));
    let service = service_fn(move |request| routes::guard(routes.clone(), request));
    let stopping = relay.stopping().clone();
    let tasks = context.tasks.clone();
    let serving = serve_http(listener, service, CONTROL_CONNECTIONS_MAX, stopping, tasks);
    context.spawn_critical("control", serving);
}

/// What is a member of the network.
#[derive(Clone)]
struct Node {
    relay: Relay,
    client: Arc<Client>,
    limit: Limit,
    role: Role,
}

fn spawn_node(node: Node, context: &Context) {
    let registered = Arc::new(Notify::new());
    let answering = node.clone().answer_once_registered(registered.clone());
    context.spawn("requests", answering);
    let latch = context.ready_latch("registration");
    context.spawn("gateway", node.clone().send_viewers_to_the_gateway_asked());
    context.spawn(
        "membership",
        node.clone().be_a_node(latch, registered, context.clone()),
    );
    let leaving = node.relay.clone();
    context.explain_drain(move || leaving.in_use().in_words());
    context.spawn("drain", leave_when_told(node.relay, context.clone()));
}

impl Node {
    async fn be_a_node(self, latch: ReadyLatch, registered: Arc<Notify>, context: Context) {
        let told = |standing: &Standing| {
            if standing.registered {
                latch.release();
                registered.notify_one();
            }
            context.status("control_plane", standing.in_words());
        };
        let settled = self
            .relay
            .stopping()
            .run_until_cancelled(self.limit.settle(&self.client))
            .await;
        if settled.is_some() {
            self.relay.keep_membership(self.role, told).await;
        }
    }

    /// A gateway that does not answer this node is no place to send its viewers to.
    async fn send_viewers_to_the_gateway_asked(self) {
        let mut switches = self.client.switches();
        let follow = async {
            loop {
                // Before the first wait too: a switch may have come before there were eyes on it.
                self.relay.set_gateway_url(self.client.base());
                if switches.changed().await.is_err() {
                    break;
                }
            }
        };
        self.relay.stopping().run_until_cancelled(follow).await;
    }

    async fn answer_once_registered(self, registered: Arc<Notify>) {
        let stopping = self.relay.stopping().clone();
        let answering = async {
            registered.notified().await;
            requests::answer(self.client, self.relay).await;
        };
        stopping.run_until_cancelled(answering).await;
    }
}

async fn leave_when_told(relay: Relay, context: Context) {
    context.stopping.cancelled().await;
    relay
        .drain_by(context.deadline().unwrap_or_else(Instant::now))
        .await;
}
