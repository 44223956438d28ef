//! The settings of an astralnode.

use crate::client::GATEWAYS_MAX;
use astral_chassis::{parse_address, parse_number};
use astral_node::{FlagsError, RelayFlags, parse_role};
use astral_proto::model::Role;
use astral_proto::{NodeId, Secret};
use http::{HeaderValue, Uri};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Longest token file, in bytes.
const TOKEN_BYTES_MAX: usize = 4096;

/// Settings of a relay on any machine.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// URL of the gateway to join, or several separated by commas: if one does not answer, the node
    /// asks the next
    #[arg(long, env = "ASTRAL_JOIN", value_name = "URL", value_delimiter = ',', value_parser = gateway)]
    pub join: Vec<Uri>,
    /// File with the token that identifies this node to the gateway
    #[arg(long, env = "ASTRAL_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The id of this node, if its token is valid for that id only. Default: a new one at each
    /// start
    #[arg(long, env = "ASTRAL_UUID", value_name = "UUID")]
    pub uuid: Option<NodeId>,
    /// Where the local control API and its page are served, on loopback
    #[arg(
        long, env = "ASTRAL_CONTROL_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8000",
        value_parser = parse_address
    )]
    pub control_listen: SocketAddr,
    /// The flags that every relay has.
    #[command(flatten)]
    pub relay: RelayFlags,
    /// What this node is for: `auto` leaves it to the coordinator
    #[arg(long, env = "ASTRAL_ROLE", value_name = "ROLE", default_value = "auto", value_parser = parse_role)]
    pub role: Role,
    /// Most it may send, tickets and viewers together, in kbit/s. Default: measured to the gateway
    #[arg(
        long, env = "ASTRAL_UPSTREAM_LIMIT", value_name = "KBPS",
        value_parser = parse_number(0..=u32::MAX)
    )]
    pub upstream_limit: Option<u32>,
}

/// Settings that are missing or contradict each other.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No gateway to join.
    #[error(
        "--join is missing: name the gateway to join by, such as --join https://astral.example"
    )]
    NoGateway,
    /// The flags of the relay contradict each other.
    #[error(transparent)]
    Flags(#[from] FlagsError),
    /// Too many gateways to join.
    #[error("--join names {0} gateways; {GATEWAYS_MAX} are the most")]
    Gateways(usize),
    /// Anyone who reaches the control API may stop the node.
    #[error(
        "--control-listen {0} is beyond loopback, but the control API does not authenticate callers"
    )]
    Control(SocketAddr),
    /// The token would leave the machine unencrypted.
    #[error(
        "--join {0} is not https, so the token would be sent unencrypted: add --allow-plaintext if the network is trusted"
    )]
    PlainToken(Uri),
    /// The token cannot be read.
    #[error("--token-file {path} cannot be read: {source}")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The content of the file cannot be sent as a token.
    #[error(
        "--token-file {0} does not hold one token of 1 to {TOKEN_BYTES_MAX} visible characters"
    )]
    Token(PathBuf),
}

impl Config {
    /// Rejects settings that would expose more than the operator asked for. Returns the gateways,
    /// and the header that identifies this node to them.
    ///
    /// # Errors
    /// [`ConfigError`], which names the setting and its value.
    pub(crate) fn check(&self) -> Result<(Vec<Uri>, Option<HeaderValue>), ConfigError> {
        let join = self.join.clone();
        match join.len() {
            0 => return Err(ConfigError::NoGateway),
            1..=GATEWAYS_MAX => {}
            more => return Err(ConfigError::Gateways(more)),
        }
        if !self.control_listen.ip().is_loopback() {
            return Err(ConfigError::Control(self.control_listen));
        }
        self.relay.check()?;
        let authorization = self.token_file.as_deref().map(authorization).transpose()?;
        let plain = join.iter().find(|url| !is_private(url));
        if let Some(plain) =
            plain.filter(|_| authorization.is_some() && !self.relay.allow_plaintext)
        {
            return Err(ConfigError::PlainToken(plain.clone()));
        }
        Ok((join, authorization))
    }
}

/// Whether `host`, in the form of a URL, is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

fn is_private(url: &Uri) -> bool {
    url.scheme_str() == Some("https") || url.host().is_some_and(is_loopback)
}

fn authorization(path: &Path) -> Result<HeaderValue, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::TokenFile {
        path: path.to_owned(),
        source,
    })?;
    let token = Secret::from(text.trim());
    let is_token = (1..=TOKEN_BYTES_MAX).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = is_token
        .then(|| HeaderValue::try_from(format!("Bearer {}", &*token)).ok())
        .flatten();
    let mut value = value.ok_or_else(|| ConfigError::Token(path.to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn gateway(text: &str) -> Result<Uri, String> {
    let wanted = "expected http://HOST[:PORT] or https://HOST[:PORT]";
    let url: Uri = text.parse().map_err(|_| wanted)?;
    let is_base = url.host().is_some() && url.query().is_none();
    if !matches!(url.scheme_str(), Some("http" | "https")) || !is_base {
        return Err(wanted.into());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        config: Config,
    }

    fn check(flags: &[&str]) -> Result<(Vec<Uri>, Option<HeaderValue>), String> {
        let parsed = Flags::try_parse_from([&["astralnode"], flags].concat());
        parsed
            .map_err(|error| error.to_string())?
            .config
            .check()
            .map_err(|error| error.to_string())
    }

    fn refused(flags: &[&str], by: &str) {
        let error = check(flags).unwrap_err();
        assert!(error.contains(by), "{error}");
    }

    /// A token in a file that is removed when this is dropped.
    struct TokenFile(PathBuf);

    impl TokenFile {
        fn new(text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("astralnode-token-{}", NodeId::random()));
            std::fs::write(&path, text).unwrap();
            Self(path)
        }

        fn path(&self) -> &str {
            self.0.to_str().unwrap()
        }
    }

    impl Drop for TokenFile {
        fn drop(&mut self) {
            drop(std::fs::remove_file(&self.0));
        }
    }

    #[test]
    fn a_gateway_is_needed_and_is_a_plain_base_url() {
        refused(&[], "--join is missing");
        for bad in [
            "astral.example",
            "ftp://astral.example",
            "http://",
            "http://astral.example/?a=b",
        ] {
            refused(&["--join", bad], "--join");
        }
        let (join, authorization) = check(&["--join", "https://astral.example/edge"]).unwrap();
        assert_eq!((join[0].path(), authorization), ("/edge", None));
    }

    #[test]
    fn several_gateways_stand_between_commas() {
        let several = check(&["--join", "https://a.example,https://b.example/edge"])
            .unwrap()
            .0;
        let hosts: Vec<_> = several.iter().filter_map(Uri::host).collect();
        assert_eq!(hosts, ["a.example", "b.example"]);
        refused(&["--join", "https://a.example,b.example"], "b.example");
        refused(
            &["--join", &["http://a.example"; 9].join(",")],
            "--join names 9 gateways; 8 are the most",
        );
        let file = TokenFile::new("secret");
        let mixed = [
            "--join",
            "https://a.example,http://b.example",
            "--token-file",
            file.path(),
        ];
        refused(&mixed, "--join http://b.example/ is not https");
    }

    #[test]
    fn a_settings_file_names_gateways_as_a_list_or_between_commas() {
        for text in [
            r#"join = ["http://a.example", "http://b.example"]"#,
            r#"join = "http://a.example,http://b.example""#,
        ] {
            let file = Some((Path::new("astralnode.toml"), text));
            let config = astral_chassis::parse_from::<Flags>(["astralnode"], file)
                .unwrap()
                .config;
            assert_eq!(config.join.len(), 2, "{text}");
            let flags = ["astralnode", "--join", "http://c.example"];
            let config = astral_chassis::parse_from::<Flags>(flags, file)
                .unwrap()
                .config;
            assert_eq!(config.join.len(), 1, "a flag beats the file");
        }
    }

    #[test]
    fn doors_beyond_loopback_are_refused_unless_that_is_meant() {
        let join = ["--join", "http://astral.example"];
        refused(
            &[&join[..], &["--control-listen", "0.0.0.0:8000"]].concat(),
            "--control-listen 0.0.0.0:8000",
        );
        let wide = [&join[..], &["--media-listen", "0.0.0.0:8081"]].concat();
        refused(&wide, "--allow-plaintext");
        let trusted = [&wide[..], &["--allow-plaintext"]].concat();
        refused(&trusted, "add --advertise HOST:PORT");
        check(&[&trusted[..], &["--advertise", "venue.example:8081"]].concat()).unwrap();
        for bad in ["foo", ":99999", "0.0.0.0:8081"] {
            refused(
                &[&trusted[..], &["--advertise", bad]].concat(),
                "--advertise",
            );
        }
    }

    #[test]
    fn a_token_is_read_from_its_file_and_leaves_the_machine_by_tls_alone() {
        let file = TokenFile::new("secret\n");
        let token = ["--token-file", file.path()];
        let with = |join: &str| check(&[&["--join", join], &token[..]].concat());
        for join in [
            "https://astral.example",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "http://localhost",
        ] {
            let value = with(join).unwrap().1.unwrap();
            assert_eq!(value, "Bearer secret");
            assert!(
                !format!("{value:?}").contains("secret"),
                "it is never shown"
            );
        }
        assert!(
            with("http://astral.example")
                .unwrap_err()
                .contains("unencrypted")
        );
    }

    #[test]
    fn a_token_file_without_one_token_is_named() {
        for bad in ["", "two words", "\u{e9}"] {
            let file = TokenFile::new(bad);
            refused(
                &["--join", "https://a.example", "--token-file", file.path()],
                file.path(),
            );
        }
        refused(
            &["--join", "https://a.example", "--token-file", "/nowhere"],
            "/nowhere cannot be read",
        );
    }
}
