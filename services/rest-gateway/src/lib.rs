//! The public entry to Astral: REST, the web application, and redirects that send players to a
//! relay.
//!
//! It has no state. What it remembers about relays is at most a second old, or the last known while
//! the control plane is away. It never carries media.

mod answer;
mod api;
mod assets;
mod body;
mod call;
mod change;
mod error;
mod event_stream;
mod events;
mod gateway;
mod headers;
mod nodes;
mod observe;
mod openapi;
mod operation;
mod page;
mod pages;
mod patience;
mod ping;
mod redirect;
mod relays;
mod rights;
mod routes;
mod server;
mod settings;
mod sockets;
mod streams;
mod tickets;
mod topology;

use astral_backend::Backend;
use astral_chassis::{Context, Program, Threads, log_listening, parse_address};
use astral_proto::Problem;
use astral_proto::rest::Settings;
use astral_runtime::{ListenError, bind};
use astral_service::{Dependency, Service};
use gateway::Gateway;
use relays::Relays;
use rights::Tokens;
pub use rights::TokensError;
use sockets::Sockets;
use std::{net::SocketAddr, path::PathBuf, sync::Arc};

/// The default port of RTMP.
const RTMP_PORT: u16 = 1935;

/// Settings of the gateway.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Address of REST, events and the web application; port 0 takes a free one
    #[arg(
        long, env = "ASTRAL_HTTP_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080",
        value_parser = parse_address
    )]
    pub http_listen: SocketAddr,
    /// Let callers put faults on nodes, to see the network ride them out
    #[arg(long, env = "ASTRAL_ALLOW_DRILLS")]
    pub allow_drills: bool,
    /// TOML file of tokens and their roles; whoever has none reads what is open to all, and no more
    #[arg(long, env = "ASTRAL_API_TOKENS_FILE", value_name = "FILE")]
    pub api_tokens_file: Option<PathBuf>,
    /// Where publishers send their streams, such as rtmp://publish.example.org/live; pages show it.
    /// By default port 1935 of this machine, if the gateway listens on loopback
    #[arg(long, env = "ASTRAL_PUBLISH_URL", value_name = "URL", value_parser = publish_url)]
    pub publish_url: Option<String>,
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

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It would be open to everyone.
    #[error(
        "--http-listen {0} is beyond loopback, and callers are not authenticated: pass --api-tokens-file, or \
         --allow-open if that is meant"
    )]
    Open(SocketAddr),
    /// The tokens file cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The bus does not accept the subscriptions.
    #[error(transparent)]
    Bus(#[from] Problem),
    /// The listener cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// The gateway as a process of its own.
pub struct GatewayService;

impl Service for GatewayService {
    const PROGRAM: Program = Program {
        name: "astral-rest-gateway",
        component: "rest-gateway",
        about: "Serves REST and the web application, and sends players to relays",
        threads: Threads::PerCore,
    };
    const WAITS_FOR: &'static [Dependency] = &[Dependency::Bus];
    type Config = Config;
    type Error = StartError;

    async fn start(config: Config, backend: Backend, context: Context) -> Result<(), StartError> {
        start(config, backend, context).await.map(drop)
    }
}

/// Starts the gateway and returns once it listens. It serves until `context` stops, then finishes
/// the requests that are running.
///
/// # Errors
/// [`StartError::Open`] beyond loopback unless allowed; [`StartError::Tokens`] if the tokens file
/// cannot be used; [`StartError::Listen`] if the listener cannot be opened.
pub async fn start(
    config: Config,
    backend: Backend,
    context: Context,
) -> Result<Started, StartError> {
    let address = config.http_listen;
    if !address.ip().is_loopback() && config.api_tokens_file.is_none() && !config.allow_open {
        return Err(StartError::Open(address));
    }
    let tokens = config
        .api_tokens_file
        .as_deref()
        .map(Tokens::read)
        .transpose()?
        .map(Arc::new);
    let (listener, address) = bind("--http-listen", address).await?;
    if let Some(tokens) = tokens.clone() {
        context.spawn("tokens", tokens.follow(context.scope.stopping.clone()));
    }
    let gateway = Arc::new(Gateway {
        relays: Relays::new(backend.bus.clone()),
        bus: backend.bus,
        drills: config.allow_drills,
        tokens,
        events: Arc::default(),
        settings: settings(&config, address),
        sockets: Sockets::default(),
        serving: context.scope.clone(),
    });
    events::sources::follow(&gateway.events, &gateway.bus, &context).await?;
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
        api_tokens_file: config
            .api_tokens_file
            .as_ref()
            .map(|path| path.display().to_string()),
        api_tokens: None,
        publish_url: config
            .publish_url
            .clone()
            .or_else(|| publish_url_beside(address)),
    }
}

/// The default RTMP URL, for a gateway that listens on loopback at `address`.
fn publish_url_beside(address: SocketAddr) -> Option<String> {
    let rtmp = SocketAddr::new(address.ip(), RTMP_PORT);
    address
        .ip()
        .is_loopback()
        .then(|| format!("rtmp://{rtmp}/live"))
}

/// Reads a value of `--publish-url`: `rtmp://HOST[:PORT]/APP`. Returns it without a slash at its
/// end.
///
/// # Errors
/// What is expected instead.
pub fn publish_url(text: &str) -> Result<String, String> {
    let url: http::Uri = text
        .parse()
        .map_err(|_| "expected rtmp://HOST[:PORT]/APP or rtmps://HOST[:PORT]/APP")?;
    let has_host = url.host().is_some_and(|host| !host.is_empty());
    if !has_host || !matches!(url.scheme_str(), Some("rtmp" | "rtmps")) {
        return Err("it must start with rtmp://HOST or rtmps://HOST".into());
    }
    if url.path() == "/" || url.query().is_some() {
        return Err(
            "it must end with an application, such as /live, to which publishers add /NAME".into(),
        );
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_url_is_one_of_rtmp_with_an_application() {
        for (given, taken) in [
            (
                "rtmp://publish.example.org/live",
                "rtmp://publish.example.org/live",
            ),
            (
                "rtmps://[2001:db8::1]:1936/live/",
                "rtmps://[2001:db8::1]:1936/live",
            ),
        ] {
            assert_eq!(publish_url(given).as_deref(), Ok(taken));
        }
        for wrong in [
            "publish.example.org/live",
            "http://a/live",
            "rtmp:///live",
            "rtmp://a",
            "rtmp://a/",
            "rtmp://a/live?key=1",
            "a b",
        ] {
            assert!(publish_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_gateway_that_strangers_reach_does_not_guess_where_to_publish() {
        let beside = |address: &str| publish_url_beside(address.parse().unwrap());
        assert_eq!(
            beside("127.0.0.1:8080").as_deref(),
            Some("rtmp://127.0.0.1:1935/live")
        );
        assert_eq!(
            beside("[::1]:8080").as_deref(),
            Some("rtmp://[::1]:1935/live")
        );
        assert_eq!(beside("0.0.0.0:8080"), None);
        assert_eq!(beside("192.0.2.1:8080"), None);
    }
}
