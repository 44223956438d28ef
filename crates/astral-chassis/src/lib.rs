//! What every Astral process has: settings, logs, traces, metrics, health, signals, drain.
//!
//! Knows nothing of what it runs: a service gets a [`Context`] and spawns its tasks there.

mod config;
mod context;
mod http;
mod listen;
mod logs;
mod metrics;
mod ops;
mod process;
mod readiness;
mod settings;
mod traces;

pub use config::{Config, LogFormat};
pub use context::{Context, Outside};
pub use http::serve_http;
pub use listen::ListenError;
pub use logs::{log_as_node, log_listening};
pub use process::{Process, StartError, exit_code};
pub use readiness::ReadyLatch;
pub use settings::{parse, parse_from};
