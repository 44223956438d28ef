//! `astral up`: directory, coordinator, broker, relays and gateway together.

use anyhow::{Context as _, bail, ensure};
use astral_backend::Backend;
use astral_chassis::{Context, parse_address, parse_number};
use astral_node::{RelayFlags, Started as Relay};
use astral_proto::model::Role;
use astral_runtime::TaskScope;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// Most relays in one process.
const RELAYS_MAX: u16 = 64;

/// Settings of the whole network.
#[derive(clap::Args)]
pub struct Args {
    /// How many relays; their ports count up from the given ones. The first one accepts publishers
    /// as an ordinary node, the second one is its supernode, and the others are children of that
    /// supernode
    #[arg(
        long, env = "ASTRAL_RELAYS", value_name = "N", default_value_t = 1,
        value_parser = parse_number(1..=RELAYS_MAX)
    )]
    pub relays: u16,
    /// Where REST and the web application are served; port 0 takes a free one
    #[arg(
        long, env = "ASTRAL_HTTP_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080",
        value_parser = parse_address
    )]
    pub http_listen: SocketAddr,
    /// TOML file of tokens and their roles, for REST
    #[arg(long, env = "ASTRAL_API_TOKENS_FILE", value_name = "FILE")]
    pub api_tokens_file: Option<PathBuf>,
    /// Where publishers send their streams, such as rtmp://publish.example.org/live; pages show it.
    /// By default the first relay, unless that listens on every address
    #[arg(long, env = "ASTRAL_PUBLISH_URL", value_name = "URL", value_parser = astral_rest_gateway::publish_url)]
    pub publish_url: Option<String>,
    /// Serve and accept streams beyond loopback without checking who callers are
    #[arg(long, env = "ASTRAL_ALLOW_OPEN")]
    pub allow_open: bool,
    /// The settings of every process.
    #[command(flatten)]
    pub process: astral_chassis::Config,
    /// Bus and state.
    #[command(flatten)]
    pub backend: astral_backend::Config,
    /// The directory.
    #[command(flatten)]
    pub directory: astral_directory::Config,
    /// The supernode coordinator.
    #[command(flatten)]
    pub coordinator: astral_supernode_coordinator::Config,
    /// The ticket broker.
    #[command(flatten)]
    pub broker: astral_ticket_broker::Config,
    /// Each relay.
    #[command(flatten)]
    pub relay: astral_media_forwarder::Config,
}

/// The running network.
pub struct Network {
    /// The gateway.
    pub http_address: SocketAddr,
    /// The relays. The first one accepts publishers.
    pub relays: Vec<Relay>,
    /// Bus and state, to send requests to the services directly.
    pub backend: Backend,
}

/// Starts every service. They run until `context` stops; the control services stop last.
///
/// # Errors
/// A setting is wrong, or a listener cannot be opened.
pub async fn start(args: Args, context: Context) -> anyhow::Result<Network> {
    check_doors(&args)?;
    let drills = args.relay.relay.allow_drills || is_on_loopback(&args);
    let configs = (0..args.relays).map(|index| relay_config(&args, index, drills));
    let configs = configs.collect::<anyhow::Result<Vec<_>>>()?;
    let backend = Backend::connect(&args.backend).await?;
    let control_stops = CancellationToken::new();
    // The control services stop last, once the relays have left, or at once if this start fails.
    let stop_control = control_stops.clone().drop_guard();
    let serving = TaskScope {
        stopping: control_stops.clone(),
        tasks: context.scope.tasks.clone(),
    };
    astral_directory::start(args.directory.clone(), backend.clone(), serving.clone()).await?;
    astral_supernode_coordinator::start(args.coordinator.clone(), backend.clone(), serving.clone())
        .await?;
    astral_ticket_broker::start(args.broker.clone(), backend.clone(), serving).await?;

    let mut relays = Vec::new();
    for config in configs {
        relays.push(astral_media_forwarder::start(config, backend.clone(), context.clone()).await?);
    }
    let gateway = astral_rest_gateway::Config {
        http_listen: args.http_listen,
        allow_drills: drills,
        allow_open: args.allow_open,
        api_tokens_file: args.api_tokens_file,
        publish_url: args
            .publish_url
            .or_else(|| publish_url(relays[0].rtmp_address, args.http_listen)),
    };
    let gateway = astral_rest_gateway::start(gateway, backend.clone(), context.clone()).await?;
    let left: Vec<_> = relays.iter().map(|relay| relay.left.clone()).collect();
    context.spawn("control stops", async move {
        for relay in left {
            relay.cancelled().await;
        }
        drop(stop_control);
    });
    greet(gateway.address, relays[0].rtmp_address);
    Ok(Network {
        http_address: gateway.address,
        relays,
        backend,
    })
}

fn greet(http: SocketAddr, rtmp: SocketAddr) {
    tracing::info!("watch at http://{http}/ and publish to rtmp://{rtmp}/live/NAME");
}

fn is_on_loopback(args: &Args) -> bool {
    let doors = [
        args.http_listen,
        args.relay.relay.media_listen,
        args.relay.relay.rtmp_listen,
    ];
    doors.iter().all(|door| door.ip().is_loopback())
}

fn check_doors(args: &Args) -> anyhow::Result<()> {
    let open = args.directory.open_publishing && !args.relay.relay.rtmp_listen.ip().is_loopback();
    if open && !args.allow_open {
        bail!(
            "--rtmp-listen {} is beyond loopback and anyone may publish: add --open-publishing false, or \
             --allow-open if that is meant",
            args.relay.relay.rtmp_listen
        );
    }
    Ok(())
}

/// The settings of relay `index`: its ports counted up, and its role.
fn relay_config(
    args: &Args,
    index: u16,
    drills: bool,
) -> anyhow::Result<astral_media_forwarder::Config> {
    let role = if index == 1 {
        Role::Supernode
    } else {
        Role::Node
    };
    let single = args.relays == 1;
    ensure!(
        single || args.relay.relay.advertise.is_none(),
        "--advertise is for one relay, not {}",
        args.relays
    );
    let media_listen = counted_up(args.relay.relay.media_listen, index)?;
    // Relays of one process reach each other by loopback. A single relay advertises what its flag
    // says, as it would in a cluster.
    let is_inside = !single && media_listen.ip().is_unspecified() && media_listen.port() != 0;
    let inside = is_inside.then(|| format!("127.0.0.1:{}", media_listen.port()));
    let flags = RelayFlags {
        media_listen,
        advertise: inside.or_else(|| args.relay.relay.advertise.clone()),
        rtmp_listen: counted_up(args.relay.relay.rtmp_listen, index)?,
        name: relay_name(args, index),
        allow_drills: drills,
        ..args.relay.relay.clone()
    };
    flags.check()?;
    let gateway_url = args.relay.gateway_url.clone();
    Ok(astral_media_forwarder::Config {
        relay: flags,
        role,
        gateway_url: gateway_url.or_else(|| gateway_url_of(args.http_listen)),
        ..args.relay.clone()
    })
}

/// The name of relay `index`, if there is one. Several relays are numbered.
fn relay_name(args: &Args, index: u16) -> Option<String> {
    let name = args.relay.relay.name.as_ref()?;
    Some(if args.relays == 1 {
        name.clone()
    } else {
        format!("{name}-{}", index + 1)
    })
}

/// The URL of the gateway for viewers, if it is known before it listens.
fn gateway_url_of(http_listen: SocketAddr) -> Option<String> {
    let is_known = http_listen.port() != 0 && !http_listen.ip().is_unspecified();
    is_known.then(|| format!("http://{http_listen}"))
}

/// The URL for publishers of the relay that listens at `rtmp`. If that is every address, loopback
/// is the right one for callers of a gateway on loopback at `http`, and nothing is known for
/// others.
fn publish_url(rtmp: SocketAddr, http: SocketAddr) -> Option<String> {
    let is_anywhere = rtmp.ip().is_unspecified();
    let host = if is_anywhere { http.ip() } else { rtmp.ip() };
    let is_known = !is_anywhere || host.is_loopback();
    is_known.then(|| format!("rtmp://{}/live", SocketAddr::new(host, rtmp.port())))
}

fn counted_up(address: SocketAddr, index: u16) -> anyhow::Result<SocketAddr> {
    if address.port() == 0 {
        return Ok(address);
    }
    let port = address
        .port()
        .checked_add(index)
        .with_context(|| format!("no port is {index} above {address}"))?;
    Ok(SocketAddr::new(address.ip(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishers_are_told_an_address_that_leads_to_the_first_relay_or_none() {
        for (rtmp, http, told) in [
            (
                "127.0.0.1:1935",
                "127.0.0.1:8080",
                Some("rtmp://127.0.0.1:1935/live"),
            ),
            (
                "192.0.2.7:1936",
                "0.0.0.0:8080",
                Some("rtmp://192.0.2.7:1936/live"),
            ),
            (
                "0.0.0.0:1936",
                "127.0.0.1:8080",
                Some("rtmp://127.0.0.1:1936/live"),
            ),
            ("0.0.0.0:1935", "0.0.0.0:8080", None),
            ("[::]:1935", "192.0.2.7:8080", None),
        ] {
            let url = publish_url(rtmp.parse().unwrap(), http.parse().unwrap());
            assert_eq!(url.as_deref(), told, "{rtmp} {http}");
        }
    }
}
