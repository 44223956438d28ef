//! The two outside systems that Astral's services need: a message [`Bus`] and shared [`State`].
//!
//! Each is one struct, cheap to clone, whichever system stands behind it; every promise made here is a test in
//! `tests/contract.rs`. Knows no service, no HTTP, no media.

mod bus;
mod clock;
mod state;

pub use bus::{Bus, Faults, Serving, Subscription};
pub use clock::{Truce, unix_millis};
pub use state::{Change, State};

/// Bus and state of one service, opened together.
#[derive(Clone)]
pub struct Backend {
    /// The message bus.
    pub bus: Bus,
    /// The shared state.
    pub state: State,
}

/// Where bus and state are found.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Message bus: `local`, within this process
    #[arg(long, env = "ASTRAL_BUS_URL", value_name = "URL", default_value = LOCAL, value_parser = bus_url)]
    pub bus_url: String,
    /// Shared state: `local`, within this process
    #[arg(long, env = "ASTRAL_STATE_URL", value_name = "URL", default_value = LOCAL, value_parser = state_url)]
    pub state_url: String,
}

/// The backend cannot be opened.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No such kind of bus or state is known.
    #[error("{flag} {url:?} is not taken in this version, which takes: {LOCAL}")]
    UnknownUrl {
        /// The flag that named it.
        flag: &'static str,
        /// What it said.
        url: String,
    },
}

/// The URL of the bus and the state within this process.
const LOCAL: &str = "local";

impl Backend {
    /// A fresh bus and an empty state within this process; its clones share both.
    pub fn local() -> Self {
        Self { bus: Bus::local(), state: State::local() }
    }

    /// Opens what `config` names. Every call with `local` opens a fresh one.
    ///
    /// # Errors
    /// [`ConnectError::UnknownUrl`] if a URL is of no kind that this version takes.
    pub async fn connect(config: &Config) -> Result<Self, ConnectError> {
        bus_url(&config.bus_url)?;
        state_url(&config.state_url)?;
        Ok(Self::local())
    }
}

fn bus_url(text: &str) -> Result<String, ConnectError> {
    known_url("--bus-url", text)
}

fn state_url(text: &str) -> Result<String, ConnectError> {
    known_url("--state-url", text)
}

fn known_url(flag: &'static str, url: &str) -> Result<String, ConnectError> {
    if url == LOCAL { Ok(url.into()) } else { Err(ConnectError::UnknownUrl { flag, url: url.into() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(clap::Parser)]
    struct Args {
        #[command(flatten)]
        backend: Config,
    }

    #[test]
    fn both_are_local_unless_told_otherwise() {
        let config = Args::parse_from(["test"]).backend;
        assert_eq!((config.bus_url.as_str(), config.state_url.as_str()), (LOCAL, LOCAL));
    }

    #[test]
    fn a_url_of_another_kind_is_refused_by_its_flag_and_value() {
        for flag in ["--bus-url", "--state-url"] {
            let refused = Args::try_parse_from(["test", flag, "gopher://host"]).err().unwrap();
            assert_eq!(refused.exit_code(), 2);
            let message = refused.to_string();
            assert!(message.contains(flag) && message.contains("gopher://host"), "{message}");
            assert!(message.contains("takes: local"), "{message}");
        }
    }

    #[tokio::test]
    async fn connecting_checks_urls_that_came_another_way() {
        let config = Config { bus_url: LOCAL.into(), state_url: "redis://host".into() };
        let refused = Backend::connect(&config).await.err().unwrap();
        assert_eq!(refused, ConnectError::UnknownUrl { flag: "--state-url", url: "redis://host".into() });
    }
}
