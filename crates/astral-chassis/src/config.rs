//! The settings that every process has.

use crate::values::{parse_address, parse_number};
use std::net::SocketAddr;
use std::time::Duration;

/// Longest drain that can be set, in seconds.
const SHUTDOWN_GRACE_SECONDS_MAX: u64 = 3600;

/// The settings that every process has.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Where /livez, /readyz and /metrics are served; port 0 takes a free one. Default:
    /// 127.0.0.1:9090, or a free port if another process has that one
    #[arg(long, env = "ASTRAL_OPS_LISTEN", value_name = "ADDRESS", value_parser = parse_address)]
    pub ops_listen: Option<SocketAddr>,
    /// Seconds for the drain after the first signal
    #[arg(
        long, env = "ASTRAL_SHUTDOWN_GRACE_SECONDS", value_name = "SECONDS", default_value = "20",
        value_parser = parse_number(0..=SHUTDOWN_GRACE_SECONDS_MAX)
    )]
    pub shutdown_grace_seconds: u64,
    /// How log lines are written to standard error
    #[arg(long, env = "ASTRAL_LOG_FORMAT", value_enum, default_value_t = LogFormat::Human)]
    pub log_format: LogFormat,
    /// What is logged: a level, or several `target=level`, separated by commas
    #[arg(
        long, env = "ASTRAL_LOG_LEVEL", value_name = "FILTER", default_value = "info,async_nats=warn",
        value_parser = crate::logs::parse_filter
    )]
    pub log_level: String,
}

impl Config {
    pub(crate) fn shutdown_grace(&self) -> Duration {
        Duration::from_secs(self.shutdown_grace_seconds)
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}
