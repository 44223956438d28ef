//! The settings of a media forwarder.

use astral_chassis::{parse_http_url, parse_number};
use astral_node::{RelayFlags, parse_role};
use astral_proto::model::Role;

/// Settings of one relay of the cluster.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// The flags that every relay has.
    #[command(flatten)]
    pub relay: RelayFlags,
    /// URL of the gateway, where viewers are sent when this relay is full
    #[arg(long, env = "ASTRAL_GATEWAY_URL", value_name = "URL", value_parser = parse_http_url)]
    pub gateway_url: Option<String>,
    /// What this relay is for: `auto` leaves it to the coordinator
    #[arg(
        long, env = "ASTRAL_ROLE", value_name = "ROLE", default_value = "supernode",
        value_parser = parse_role
    )]
    pub role: Role,
    /// Most it may send, tickets and viewers together, in kbit/s
    #[arg(
        long, env = "ASTRAL_UPSTREAM_LIMIT", value_name = "KBPS", default_value_t = 1_000_000,
        value_parser = parse_number(0..=u32::MAX)
    )]
    pub upstream_limit: u32,
}
