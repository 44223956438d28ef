//! The settings of a media forwarder.

use astral_proto::model::Role;
use astral_relay::{is_reachable, parse_advertise};
use std::net::SocketAddr;

/// Settings of one relay of the cluster.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Where HLS, HTTP-FLV and the relay link are served
    #[arg(
        long,
        env = "ASTRAL_MEDIA_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8081"
    )]
    pub media_listen: SocketAddr,
    /// Where RTMP publishers and players connect
    #[arg(
        long,
        env = "ASTRAL_RTMP_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:1935"
    )]
    pub rtmp_listen: SocketAddr,
    /// host:port that other relays pull from; the media listener unless told
    #[arg(long, env = "ASTRAL_ADVERTISE", value_name = "HOST:PORT", value_parser = parse_advertise)]
    pub advertise: Option<String>,
    /// URL where the gateway sends viewers; http:// and the advertised address unless told
    #[arg(long, env = "ASTRAL_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// What people call this relay, on the page of the network; the advertised address unless told
    #[arg(long, env = "ASTRAL_NAME", value_name = "NAME")]
    pub name: Option<String>,
    /// URL of the gateway, where viewers are sent when this relay is full
    #[arg(long, env = "ASTRAL_GATEWAY_URL", value_name = "URL")]
    pub gateway_url: Option<String>,
    /// What this relay is for: `auto` leaves it to the coordinator
    #[arg(long, env = "ASTRAL_ROLE", value_name = "ROLE", default_value = "supernode", value_parser = role)]
    pub role: Role,
    /// Most it may send, tickets and viewers together, in kbit/s
    #[arg(
        long,
        env = "ASTRAL_UPSTREAM_LIMIT",
        value_name = "KBPS",
        default_value_t = 1_000_000
    )]
    pub upstream_limit: u32,
    /// Most a stream may hold in the GOP cache, in MiB
    #[arg(long, env = "ASTRAL_CACHE_MIB", value_name = "MIB", default_value_t = 64,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=65_536))]
    pub cache_mib: usize,
    /// Let operators put faults on this relay, to see the network ride them out
    #[arg(long, env = "ASTRAL_ALLOW_DRILLS")]
    pub allow_drills: bool,
    /// Serve relay links beyond loopback without TLS, behind a network that is trusted
    #[arg(long, env = "ASTRAL_ALLOW_PLAINTEXT")]
    pub allow_plaintext: bool,
}

/// Settings that do not go together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Links would leave the machine in the clear.
    #[error(
        "--media-listen {0} is beyond loopback and links have no TLS: add --allow-plaintext if the network is trusted"
    )]
    Plaintext(SocketAddr),
    /// Other relays would be told to connect to an address that stands for all.
    #[error(
        "--media-listen {0} is all addresses of this machine, and other relays need one: add --advertise HOST:PORT"
    )]
    Unreachable(SocketAddr),
}

impl Config {
    /// Refuses what would open more than was asked for.
    ///
    /// # Errors
    /// [`ConfigError`], which names the setting and its value.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wide = !self.media_listen.ip().is_loopback();
        if wide && !self.allow_plaintext {
            return Err(ConfigError::Plaintext(self.media_listen));
        }
        if !is_reachable(self.media_listen, self.advertise.as_deref()) {
            return Err(ConfigError::Unreachable(self.media_listen));
        }
        Ok(())
    }
}

fn role(text: &str) -> Result<Role, String> {
    match text {
        "auto" => Ok(Role::Auto),
        "node" => Ok(Role::Node),
        "supernode" => Ok(Role::Supernode),
        _ => Err("a role is auto, node or supernode".into()),
    }
}
