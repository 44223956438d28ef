//! A relay on any machine, at the edge of a network.
//!
//! It joins a network only by the public REST interface of its gateways. It lends the upstream
//! bandwidth that its owner sets or that it measures. It keeps streaming while the gateway is away.
//! When it leaves, it serves what it has until its deadline. Its owner watches and controls it by a
//! page and an API on loopback. It uses neither bus nor state.

mod client;
mod config;
mod control;
mod page;
mod requests;
mod resources;
mod routes;
mod upstream;

use astral_chassis::{
    Context, HttpListener, Program, ReadyLatch, Threads, log_as_node, log_listening, serve_http,
};
use astral_node::{OpenListeners, keep_membership, leave_on_stop};
use astral_proto::model::Role;
use astral_relay::{Env, Relay};
use astral_runtime::{ListenError, TaskScope, bind};
use client::Client;
pub use config::{Config, ConfigError};
use control::RestControlPlane;
use http::{HeaderValue, Uri};
use hyper::service::service_fn;
use hyper_util::service::TowerToHyperService;
use resources::Local;
use std::convert::identity;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use upstream::Limit;

/// Most connections to the control API; further ones wait in the kernel.
const CONTROL_CONNECTIONS_MAX: usize = 64;

/// The program.
const PROGRAM: Program = Program {
    name: "astralnode",
    component: "astralnode",
    about: "Lends this machine's upstream to an Astral network: pulls streams by ticket, serves viewers and other relays",
    threads: Threads::PerCore,
};

/// An astralnode that runs.
pub struct Started {
    /// Its relay.
    pub relay: astral_node::Started,
    /// The address of its control API and page.
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
    /// There are no certificates to verify the gateway with.
    #[error("--join {url} wants the system's certificates, which cannot be read: {source}")]
    Certificates {
        /// The gateways.
        url: String,
        /// Why not.
        source: std::io::Error,
    },
}

/// The whole `main` of the program.
pub fn run() -> ExitCode {
    astral_chassis::run(&PROGRAM, async |config: Config, context: Context| {
        let started = start(config, context).await?;
        log_as_node(started.relay.node);
        Ok::<_, StartError>(())
    })
}

/// Opens the listeners, then joins the network and stays in it until `context` stops.
///
/// # Errors
/// [`StartError`]; nothing runs then.
pub async fn start(config: Config, context: Context) -> Result<Started, StartError> {
    let (join, authorization) = config.check()?;
    let client = Arc::new(new_client(&join, authorization)?);
    let listeners = OpenListeners::open(config.relay).await?;
    let rtmp_address = listeners.rtmp_address();
    let media_address = listeners.media_address();
    let (control_listener, control_address) =
        bind("--control-listen", config.control_listen).await?;
    log_listening("control", control_address);
    let env = Env::system();
    let relay = listeners.serve(
        config.uuid.unwrap_or_else(|| env.node_id()),
        env,
        // Until the upstream is known, the node lends nothing.
        config.upstream_limit.unwrap_or(0),
        Some(client.base().to_owned()),
        Arc::new(RestControlPlane::new(client.clone())),
        &context,
    );
    let limit = Limit::new(relay.clone(), config.upstream_limit.is_some());
    let local = Local {
        relay: relay.clone(),
        limit: limit.clone(),
        context: context.clone(),
        client: client.clone(),
        role: config.role,
    };
    serve_control(control_listener, local);
    let node = relay.node();
    let member = Node {
        relay,
        client,
        limit,
        role: config.role,
    };
    let left = spawn_node(member, &context);
    tracing::info!("this node's page is at http://{control_address}/");
    Ok(Started {
        relay: astral_node::Started {
            node,
            rtmp_address,
            media_address,
            left,
        },
        control_address,
    })
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

/// Serves the control API until the relay has left, so that its owner can watch it leave.
fn serve_control(listener: TcpListener, local: Local) {
    let relay = local.relay.clone();
    let context = local.context.clone();
    let routes = TowerToHyperService::new(warp::service(routes::all(Arc::new(local))));
    let service = service_fn(move |request| routes::guard(routes.clone(), request));
    let scope = TaskScope {
        stopping: relay.stopping().clone(),
        tasks: context.scope.tasks.clone(),
    };
    let listener = HttpListener {
        listener,
        door: "control",
        connections_max: CONTROL_CONNECTIONS_MAX,
    };
    let serving = serve_http(listener, service, identity, scope);
    context.spawn_critical("control", serving);
}

/// A member of the network.
#[derive(Clone)]
struct Node {
    relay: Relay,
    client: Arc<Client>,
    limit: Limit,
    role: Role,
}

fn spawn_node(node: Node, context: &Context) -> CancellationToken {
    let registered = Arc::new(Notify::new());
    let answering = node.clone().answer_once_registered(registered.clone());
    context.spawn("requests", answering);
    let registration = context.ready_latch("registration");
    context.spawn("gateway", node.clone().send_viewers_to_the_gateway_asked());
    let left = leave_on_stop(&node.relay, context);
    context.spawn(
        "membership",
        node.keep_membership(registration, registered, context.clone()),
    );
    left
}

impl Node {
    /// Measures the upstream, then registers and keeps the lease.
    async fn keep_membership(
        self,
        registration: ReadyLatch,
        registered: Arc<Notify>,
        context: Context,
    ) {
        let settled = self
            .relay
            .stopping()
            .run_until_cancelled(self.limit.settle(&self.client))
            .await;
        if settled.is_some() {
            let on_registered = || registered.notify_one();
            keep_membership(
                &self.relay,
                self.role,
                registration,
                &context,
                on_registered,
            )
            .await;
        }
    }

    /// Keeps the gateway to which full relays send viewers up to date: a gateway that does not
    /// answer this node would not answer viewers either.
    async fn send_viewers_to_the_gateway_asked(self) {
        let mut switches = self.client.switches();
        let follow = async {
            loop {
                // Also before the first wait: the gateway may have changed before this task ran.
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
