//! The two outside systems that Astral's services need: a message [`Bus`] and shared [`State`].
//!
//! Each is one struct, cheap to clone, whichever system stands behind it; every promise made here is a test in
//! `tests/contract.rs`. Knows no service, no HTTP, no media.

mod bus;
mod clock;
mod fault;
mod injection;
mod observe;
mod state;
mod watch;

use astral_env::Env;
use astral_proto::{Problem, Secret};
use bus::Servers;
pub use bus::{Asked, Bus, BusFaults, NotAsked, Subscription};
pub use clock::{Truce, unix_millis};
pub use injection::{FaultInjector, Observation, Process, StateOutcome};
pub use state::{Change, State, StateFaults, Version};
pub use watch::Presence;

/// Bus and state of one service, opened together.
#[derive(Clone)]
pub struct Backend {
    /// The message bus.
    pub bus: Bus,
    /// The shared state.
    pub state: State,
    /// The clock and the random source of the services that use this backend.
    pub env: Env,
}

/// Where bus and state are found.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Message bus: `local`, within this process; or NATS, as `nats://[USER:PASSWORD@]HOST:PORT[,…]` or `tls://…`
    #[arg(long, env = "ASTRAL_BUS_URL", hide_env_values = true, value_name = "URL", default_value = LOCAL,
          value_parser = bus_url)]
    pub bus_url: Secret,
    /// Shared state: `local`, within this process; or Redis, as `redis://[USER:PASSWORD@]HOST:PORT[/DB]`, `rediss://…`,
    /// `redis+sentinel://[USER:PASSWORD@]HOST:PORT[,…]/MASTER[/DB]` or `redis+cluster://[USER:PASSWORD@]HOST:PORT[,…]`
    #[arg(long, env = "ASTRAL_STATE_URL", hide_env_values = true, value_name = "URL", default_value = LOCAL,
          value_parser = state_url)]
    pub state_url: Secret,
}

/// The backend cannot be opened. Passwords are not told.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No such kind of bus or state is taken.
    #[error("{flag} takes {takes}, not {scheme:?}")]
    UnknownKind {
        /// The flag that named it.
        flag: &'static str,
        /// What the flag takes.
        takes: &'static str,
        /// What it was given, up to the colon.
        scheme: String,
    },
    /// The URL is malformed.
    #[error("{flag} is malformed: {why}")]
    Malformed {
        /// The flag that named it.
        flag: &'static str,
        /// By which rule.
        why: String,
    },
    /// The bus cannot be set up.
    #[error("--bus-url: {0}")]
    Bus(Problem),
}

/// The URL of the bus and the state within this process.
const LOCAL: &str = "local";
const BUS: &str = "--bus-url";
const STATE: &str = "--state-url";

impl Backend {
    /// A fresh bus and an empty state within this process; its clones share both.
    pub fn local() -> Self {
        Self::local_with(Env::system())
    }

    /// As [`Backend::local`], with this clock and random source.
    pub fn local_with(env: Env) -> Self {
        Self {
            bus: Bus::local(),
            state: State::local(env.split("state")),
            env,
        }
    }

    /// A fresh bus and an empty state within this process, which fail as `injector` decides. Runs on a tokio runtime.
    pub fn with_faults(injector: &FaultInjector, env: Env) -> Self {
        Self {
            bus: Bus::with_faults(injector),
            state: State::with_faults(injector, env.split("state")),
            env,
        }
    }

    /// The same bus and state as another process has them: other replicas of what it serves, with their own view of
    /// others, which faults meet by themselves.
    ///
    /// # Errors
    /// `internal` if the client of the bus cannot be set up.
    pub async fn as_another_process(&self) -> Result<Self, Problem> {
        let bus = self.bus.as_another_process().await?;
        let env = self.env.split("process");
        let state = self.state.of_process(bus.process(), env.split("state"));
        Ok(Self { bus, state, env })
    }

    /// Which process this is, among those that share a bus within this program.
    pub fn process(&self) -> Process {
        self.bus.process()
    }

    /// Opens what `config` names. Every call with `local` opens a fresh one. NATS and Redis need not be there yet:
    /// waits a second at most, and goes on without.
    ///
    /// # Errors
    /// [`ConnectError`] if a URL is malformed or of no kind that this version takes.
    pub async fn connect(config: &Config) -> Result<Self, ConnectError> {
        observe::begin();
        let env = Env::system();
        let state = open_state(&config.state_url, env.split("state"))?;
        let bus = match servers(&config.bus_url)? {
            None => Bus::local(),
            Some(servers) => Bus::nats(servers).await.map_err(ConnectError::Bus)?,
        };
        Ok(Self { bus, state, env })
    }
}

fn bus_url(text: &str) -> Result<Secret, ConnectError> {
    servers(text).map(|_| text.into())
}

fn state_url(text: &str) -> Result<Secret, ConnectError> {
    open_state(text, Env::system()).map(|_| text.into())
}

/// The servers that `url` names, none if it is this process.
fn servers(url: &str) -> Result<Option<Servers>, ConnectError> {
    match scheme(url) {
        LOCAL if url == LOCAL => Ok(None),
        "nats" | "tls" => Servers::parse(url)
            .map(Some)
            .map_err(|error| malformed(BUS, &error)),
        _ => Err(unknown(BUS, "local, nats://… and tls://…", url)),
    }
}

fn open_state(url: &str, env: Env) -> Result<State, ConnectError> {
    match scheme(url) {
        LOCAL if url == LOCAL => Ok(State::local(env)),
        "redis" | "rediss" | "redis+sentinel" | "redis+cluster" => {
            State::redis(url, env).map_err(|error| malformed(STATE, &error))
        }
        _ => Err(unknown(
            STATE,
            "local, redis://…, rediss://…, redis+sentinel://… and redis+cluster://…",
            url,
        )),
    }
}

fn scheme(url: &str) -> &str {
    url.split_once(':').map_or(url, |(scheme, _)| scheme)
}

fn unknown(flag: &'static str, takes: &'static str, url: &str) -> ConnectError {
    ConnectError::UnknownKind {
        flag,
        takes,
        scheme: scheme(url).into(),
    }
}

fn malformed(flag: &'static str, error: &dyn std::error::Error) -> ConnectError {
    ConnectError::Malformed {
        flag,
        why: error.to_string(),
    }
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
        assert_eq!((&*config.bus_url, &*config.state_url), (LOCAL, LOCAL));
    }

    #[test]
    fn a_url_of_another_kind_is_refused_by_its_flag_and_value() {
        for flag in ["--bus-url", "--state-url"] {
            let refused = Args::try_parse_from(["test", flag, "gopher://host"])
                .err()
                .unwrap();
            assert_eq!(refused.exit_code(), 2);
            let message = refused.to_string();
            assert!(
                message.contains(flag) && message.contains("gopher://host"),
                "{message}"
            );
            assert!(message.contains("takes local, "), "{message}");
        }
    }

    #[test]
    fn malformed_urls_are_refused_by_the_rule_they_break() {
        for (flag, url) in [
            (BUS, "nats://host:port"),
            (BUS, "nats://host,tls://host"),
            (STATE, "redis://host:port"),
            (STATE, "redis://host/nine"),
        ] {
            let refused = Args::try_parse_from(["test", flag, url])
                .err()
                .unwrap()
                .to_string();
            assert!(
                refused.contains(&format!("{flag} is malformed: ")),
                "{refused}"
            );
        }
    }

    #[test]
    fn sentinels_and_clusters_are_named_with_what_they_need() {
        for good in [
            "redis+sentinel://one:26379/main",
            "redis+sentinel://me:secret@one:26379,two:26379/main/3",
            "redis+cluster://one:7000",
            "redis+cluster://me:secret@one:7000,two:7001",
        ] {
            assert_eq!(state_url(good).as_deref(), Ok(good));
        }
        for bad in [
            "redis+sentinel://one:26379",
            "redis+sentinel://one:26379,/main",
            "redis+sentinel://me:secret@one:26379/main/three",
            "redis+cluster://me:secret@one:7000/1",
            "redis+cluster://",
        ] {
            let refused = state_url(bad).unwrap_err().to_string();
            assert!(
                refused.starts_with("--state-url is malformed: "),
                "{bad}: {refused}"
            );
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[tokio::test]
    async fn connecting_checks_urls_that_came_another_way() {
        let config = Config {
            bus_url: LOCAL.into(),
            state_url: "memcached://host".into(),
        };
        let refused = Backend::connect(&config).await.err().unwrap();
        assert!(
            matches!(refused, ConnectError::UnknownKind { flag: STATE, .. }),
            "{refused}"
        );
    }
}
