//! Astral's public door: REST, the web application, and redirects that send players to a relay.
//!
//! Holds no state: what it remembers of relays is at most a second old, or the last heard while the control plane is away.
//! Never carries media.

mod answer;
mod api;
mod assets;
mod call;
mod events;
mod gateway;
mod headers;
mod nodes;
mod observe;
mod openapi;
mod operation;
mod pages;
mod patience;
mod ping;
mod problem;
mod redirect;
mod relays;
mod request;
mod rights;
mod routes;
mod server;
mod settings;
mod streams;
mod tickets;
mod topology;

use astral_backend::{Backend, Serving};
use astral_chassis::{Context, ListenError, log_listening};
use astral_proto::Problem;
use astral_proto::rest::Settings;
use gateway::Gateway;
use nodes::requests::Sockets;
use relays::Relays;
use rights::Tokens;
pub use rights::TokensError;
use std::{net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::net::TcpListener;

/// How the gateway is set up.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Address of REST, events and the web application; port 0 takes a free one
    #[arg(long, env = "ASTRAL_HTTP_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub http_listen: SocketAddr,
    /// Let callers put faults on nodes, to see the network ride them out
    #[arg(long, env = "ASTRAL_ALLOW_DRILLS")]
    pub allow_drills: bool,
    /// TOML file of tokens and their roles; whoever has none reads what is open to all, and no more
    #[arg(long, env = "ASTRAL_API_TOKENS_FILE", value_name = "FILE")]
    pub api_tokens_file: Option<PathBuf>,
    /// Serve everyone beyond loopback, without tokens
    #[arg(long, env = "ASTRAL_ALLOW_OPEN")]
    pub allow_open: bool,
}

/// A running gateway.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    /// Where it listens.
    pub address: SocketAddr,
}

/// The gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It would serve strangers.
    #[error(
        "--http-listen {0} is beyond loopback and nothing asks callers who they are: pass --api-tokens-file, or \
         --allow-open if that is meant"
    )]
    Open(SocketAddr),
    /// The tokens are no good.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The bus does not take its subscriptions.
    #[error(transparent)]
    Bus(#[from] Problem),
    /// The address is not to be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// Starts the gateway and returns once it listens. It serves until `context` stops, then finishes the requests in hand.
///
/// # Errors
/// [`Error::Open`] beyond loopback unless allowed; [`Error::Tokens`] if the tokens file is no good; [`Error::Listen`] if
/// the address is not to be had.
pub async fn start(config: Config, backend: Backend, context: Context) -> Result<Started, Error> {
    let address = config.http_listen;
    if !address.ip().is_loopback() && config.api_tokens_file.is_none() && !config.allow_open {
        return Err(Error::Open(address));
    }
    let tokens = config.api_tokens_file.as_deref().map(Tokens::read).transpose()?.map(Arc::new);
    let listen = |cause| ListenError { flag: "--http-listen", address, cause };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    if let Some(tokens) = tokens.clone() {
        context.spawn("tokens", tokens.follow(context.stopping.clone()));
    }
    let gateway = Arc::new(Gateway {
        relays: Relays::new(backend.bus.clone()),
        bus: backend.bus,
        drills: config.allow_drills,
        tokens,
        events: Arc::default(),
        settings: settings(&config, address),
        sockets: Sockets::default(),
        serving: Serving { stopping: context.stopping.clone(), tasks: context.tasks.clone() },
    });
    events::follow(&gateway.events, &gateway.bus, &context).await?;
    nodes::requests::hear_of_others(&gateway, &context).await?;
    log_listening("http", address);
    context.spawn_critical("http", server::run(listener, gateway, context.clone()));
    Ok(Started { address })
}

fn settings(config: &Config, address: SocketAddr) -> Settings {
    Settings {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        http_listen: address.to_string(),
        allow_drills: config.allow_drills,
        allow_open: config.allow_open,
        api_tokens_file: config.api_tokens_file.as_ref().map(|path| path.display().to_string()),
        api_tokens: None,
    }
}
