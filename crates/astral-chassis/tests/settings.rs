//! Where a setting comes from, and what is said about a bad one.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use astral_chassis::parse_from;
use clap::Parser;
use std::net::SocketAddr;
use std::path::Path;

/// As the services do it: several structs named `Config` side by side.
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    process: astral_chassis::Config,
    #[command(flatten)]
    backend: backend::Config,
    #[command(flatten)]
    service: service::Config,
}

mod backend {
    #[derive(Debug, clap::Args)]
    #[group(skip)]
    pub struct Config {
        #[arg(long, env = "ASTRAL_BUS_URL", default_value = "local")]
        pub bus_url: String,
    }
}

mod service {
    #[derive(Debug, clap::Args)]
    #[group(skip)]
    pub struct Config {
        #[arg(long, env = "ASTRAL_CACHE_MIB", default_value_t = 64)]
        pub cache_mib: u32,
        /// `PATH` stands in for a variable of ours: a test may not set one, and this one is always
        /// set.
        #[arg(long, env = "PATH", default_value = "default")]
        pub from_environment: String,
        #[arg(long, required = true)]
        pub join: Option<String>,
        #[arg(long)]
        pub allow_open: bool,
        #[arg(long, value_delimiter = ',')]
        pub peers: Vec<u16>,
    }
}

fn read(flags: &[&str], file: &str) -> Result<Args, String> {
    let args = ["test"].iter().chain(flags);
    parse_from(args, Some((Path::new("astral.toml"), file))).map_err(|error| {
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    })
}

#[test]
fn flags_beat_the_file_and_the_file_beats_defaults() {
    let none = "join = \"host:1\"";
    let file = "join = 'host:1'\ncache-mib = 128";
    for (flags, file, expected) in [
        (&[][..], none, 64),
        (&[], file, 128),
        (&["--cache-mib", "256"], none, 256),
        (&["--cache-mib", "256"], file, 256),
    ] {
        assert_eq!(
            read(flags, file).unwrap().service.cache_mib,
            expected,
            "{flags:?} {file}"
        );
    }
}

#[test]
fn variables_beat_the_file_and_flags_beat_variables() {
    let file = "join = 'host:1'\nfrom_environment = 'file'";
    let variable = std::env::var("PATH").unwrap();
    assert_eq!(read(&[], file).unwrap().service.from_environment, variable);
    let flag = read(&["--from-environment", "flag"], file).unwrap();
    assert_eq!(flag.service.from_environment, "flag");
}

#[test]
fn settings_of_every_kind_are_read_under_either_spelling() {
    let file = "ops_listen = '[::1]:0'\nlog-format = 'json'\nshutdown-grace-seconds = 5\njoin = 'host:1'\n\
                allow_open = true\npeers = [1, 2]\nbus-url = 'other'";
    let args = read(&[], file).unwrap();
    assert_eq!(
        args.process.ops_listen,
        Some("[::1]:0".parse::<SocketAddr>().unwrap())
    );
    assert_eq!(args.process.log_format, astral_chassis::LogFormat::Json);
    assert_eq!(args.process.shutdown_grace_seconds, 5);
    assert_eq!(args.backend.bus_url, "other");
    assert_eq!(args.service.join.as_deref(), Some("host:1"));
    assert!(args.service.allow_open);
    assert_eq!(args.service.peers, [1, 2]);
}

#[test]
fn bad_settings_are_refused_by_file_name_and_value() {
    for (setting, said) in [
        ("colour = 'blue'", "unknown setting colour = \"blue\""),
        (
            "settings = 'other.toml'",
            "unknown setting settings = \"other.toml\"",
        ),
        ("help = true", "unknown setting help = true"),
        (
            "cache-mib = 'much'",
            "invalid value 'much' for '--cache-mib",
        ),
        ("cache_mib = -1", "invalid value '-1' for '--cache-mib"),
        (
            "cache-mib = [[1]]",
            "cache-mib = [[1]] is not a plain value",
        ),
        ("cache-mib = [1, 2]", "--cache-mib"),
        (
            "allow-open = 'perhaps'",
            "invalid value 'perhaps' for '--allow-open",
        ),
        (
            "shutdown-grace-seconds = 3601",
            "invalid value '3601' for '--shutdown-grace-seconds",
        ),
        (
            "log-level = 'loud'",
            "invalid value 'loud' for '--log-level",
        ),
        (
            "log-format = 'xml'",
            "invalid value 'xml' for '--log-format",
        ),
        ("[ops]\nlisten = 1", "unknown setting ops = { listen = 1 }"),
        ("cache-mib = 1\ncache_mib = 2", "is set twice"),
        ("cache-mib", "line 1"),
    ] {
        let message = read(&["--join", "host:1"], setting).unwrap_err();
        assert!(
            message.starts_with("error: settings file astral.toml: "),
            "{message}"
        );
        assert!(message.contains(said), "{setting}: {message}");
    }
}

#[test]
fn bad_flags_are_refused_by_name_and_value() {
    for (flag, said) in [
        ("--colour=blue", "--colour"),
        ("--cache-mib=much", "invalid value 'much' for '--cache-mib"),
    ] {
        let message = read(&[flag], "join = 'host:1'").unwrap_err();
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn a_required_setting_may_stand_in_the_file() {
    assert!(read(&[], "").unwrap_err().contains("--join"));
    assert!(read(&[], "join = 'host:1'").is_ok());
}

#[test]
fn the_file_reaches_flags_of_subcommands() {
    #[derive(Debug, Parser)]
    enum Commands {
        Up {
            #[arg(long, default_value_t = 1)]
            relays: u32,
        },
    }
    let file = Some((Path::new("astral.toml"), "relays = 3"));
    let Commands::Up { relays } = parse_from(["test", "up"], file).unwrap();
    assert_eq!(relays, 3);
    let Commands::Up { relays } =
        parse_from(["test", "up", "--relays=4", "-s", "x"], file).unwrap();
    assert_eq!(relays, 4);
}
