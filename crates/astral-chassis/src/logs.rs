//! Log lines on standard error.

mod foreign;
mod json;

use crate::config::{Config, LogFormat};
use foreign::Foreign;
use json::JsonLines;
use std::fmt::Display;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Instant;
use tracing_subscriber::filter::{EnvFilter, FilterExt, LevelFilter, dynamic_filter_fn};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::{Layer, Registry};

/// Logs that the listener `door` accepts connections at `address`. Every process has one such line
/// for each listener.
pub fn log_listening(door: &str, address: SocketAddr) {
    tracing::info!(door, %address, "listening");
}

/// The node that runs in this process.
static NODE: OnceLock<String> = OnceLock::new();

/// Adds `node` to every later JSON line as `node.id`. For processes that run one node; the first
/// call counts.
pub fn log_as_node(node: impl Display) {
    NODE.get_or_init(|| node.to_string());
}

/// The layer that writes log lines to standard error.
pub(crate) fn layer(config: &Config) -> Box<dyn Layer<Registry> + Send + Sync> {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let foreign = Foreign::default();
    let foreign =
        dynamic_filter_fn(move |metadata, _| foreign.lets_through(metadata, Instant::now()));
    let filter = EnvFilter::new(&config.log_level).and(foreign);
    match config.log_format {
        LogFormat::Human => lines.with_filter(filter).boxed(),
        LogFormat::Json => {
            let lines = lines.fmt_fields(JsonFields::new()).event_format(JsonLines);
            lines.with_filter(filter).boxed()
        }
    }
}

/// Reads a filter. A single word must be a level, because a misspelt one would disable all lines.
pub(crate) fn parse_filter(text: &str) -> Result<String, String> {
    for directive in text
        .split(',')
        .filter(|directive| !directive.contains(['=', '[']))
    {
        // The empty word would be read as `error`.
        if directive.is_empty() || directive.parse::<LevelFilter>().is_err() {
            let known = "off, error, warn, info, debug, trace or target=level";
            return Err(format!("{directive:?} is not {known}"));
        }
    }
    EnvFilter::try_new(text).map_err(|error| error.to_string())?;
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::parse_filter;

    #[test]
    fn filters_are_levels_and_levels_of_targets() {
        for good in [
            "info",
            "off",
            "info,astral_relay=debug",
            "astral_relay=trace",
        ] {
            assert_eq!(parse_filter(good).as_deref(), Ok(good));
        }
        for bad in [
            "verbose",
            "",
            "info,",
            "info,astral_relay",
            "astral_relay=loud",
        ] {
            assert!(parse_filter(bad).is_err(), "{bad}");
        }
    }
}
