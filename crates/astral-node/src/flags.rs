//! The flags that every relay has.

use astral_chassis::{parse_address, parse_http_url, parse_number};
use astral_proto::model::Role;
use astral_relay::{is_reachable, parse_advertise};
use std::net::SocketAddr;

/// Smallest and largest GOP cache of a stream, in MiB.
const CACHE_MIB: std::ops::RangeInclusive<usize> = 1..=65_536;

/// The flags that every relay has.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct RelayFlags {
    /// Where HLS, HTTP-FLV and the relay link are served
    #[arg(
        long, env = "ASTRAL_MEDIA_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8081",
        value_parser = parse_address
    )]
    pub media_listen: SocketAddr,
    /// Where RTMP publishers and players connect
    #[arg(
        long, env = "ASTRAL_RTMP_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:1935",
        value_parser = parse_address
    )]
    pub rtmp_listen: SocketAddr,
    /// host:port that other relays pull from. Default: the address of the media listener
    #[arg(long, env = "ASTRAL_ADVERTISE", value_name = "HOST:PORT", value_parser = parse_advertise)]
    pub advertise: Option<String>,
    /// URL where the gateway sends viewers. Default: http:// and the advertised address
    #[arg(long, env = "ASTRAL_PUBLIC_URL", value_name = "URL", value_parser = parse_http_url)]
    pub public_url: Option<String>,
    /// The name of this relay on the page of the network. Default: the advertised address
    #[arg(long, env = "ASTRAL_NAME", value_name = "NAME")]
    pub name: Option<String>,
    /// Most memory for the GOP cache of one stream, in MiB
    #[arg(
        long, env = "ASTRAL_CACHE_MIB", value_name = "MIB", default_value_t = 64,
        value_parser = parse_number(CACHE_MIB)
    )]
    pub cache_mib: usize,
    /// Let operators inject faults into this relay, to see that the network survives them
    #[arg(long, env = "ASTRAL_ALLOW_DRILLS")]
    pub allow_drills: bool,
    /// Send secrets beyond loopback without TLS, because the network is trusted: tickets on relay
    /// links, and the token that a node sends to its gateway
    #[arg(long, env = "ASTRAL_ALLOW_PLAINTEXT")]
    pub allow_plaintext: bool,
}

/// Flags that contradict each other.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagsError {
    /// Relay links would leave the machine without TLS.
    #[error(
        "--media-listen {0} is beyond loopback and relay links have no TLS: add --allow-plaintext if the network is \
         trusted"
    )]
    Plaintext(SocketAddr),
    /// Other relays would be given an address that means "any address of this machine".
    #[error(
        "--media-listen {0} stands for all addresses of this machine, but other relays need one: add --advertise \
         HOST:PORT"
    )]
    Unreachable(SocketAddr),
}

impl RelayFlags {
    /// Rejects flags that would expose more than the operator asked for, or that nobody could
    /// reach.
    ///
    /// # Errors
    /// [`FlagsError`], which names the flag and its value.
    pub fn check(&self) -> Result<(), FlagsError> {
        let is_exposed = !self.media_listen.ip().is_loopback();
        if is_exposed && !self.allow_plaintext {
            return Err(FlagsError::Plaintext(self.media_listen));
        }
        if !is_reachable(self.media_listen, self.advertise.as_deref()) {
            return Err(FlagsError::Unreachable(self.media_listen));
        }
        Ok(())
    }

    /// The size limit of the GOP cache of one stream, in bytes.
    pub fn cache_bytes_max(&self) -> usize {
        self.cache_mib << 20
    }
}

/// Reads a value of `--role`.
///
/// # Errors
/// What is expected instead.
pub fn parse_role(text: &str) -> Result<Role, String> {
    match text {
        "auto" => Ok(Role::Auto),
        "node" => Ok(Role::Node),
        "supernode" => Ok(Role::Supernode),
        _ => Err("expected auto, node or supernode".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Settings {
        #[command(flatten)]
        flags: RelayFlags,
    }

    fn check(flags: &[&str]) -> Result<(), FlagsError> {
        Settings::parse_from([&["relay"], flags].concat())
            .flags
            .check()
    }

    #[test]
    fn a_relay_beyond_loopback_needs_a_trusted_network_and_an_address_that_others_reach() {
        assert_eq!(check(&[]), Ok(()));
        let everywhere = "0.0.0.0:8081".parse().unwrap();
        let listen = ["--media-listen", "0.0.0.0:8081"];
        assert_eq!(check(&listen), Err(FlagsError::Plaintext(everywhere)));
        let trusted = [&listen[..], &["--allow-plaintext"]].concat();
        assert_eq!(check(&trusted), Err(FlagsError::Unreachable(everywhere)));
        let advertised = [&trusted[..], &["--advertise", "relay.example:8081"]].concat();
        assert_eq!(check(&advertised), Ok(()));
        assert_eq!(
            check(&["--media-listen", "192.0.2.1:1", "--allow-plaintext"]),
            Ok(())
        );
    }
}
