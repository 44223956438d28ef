//! What every Astral process has: settings, logs, traces, metrics, health, signals, drain.
//!
//! It does not know what the process does. A service gets a [`Context`] and spawns its tasks there.

mod config;
mod context;
mod http;
mod logs;
mod metrics;
mod ops;
mod process;
mod program;
mod readiness;
mod settings;
mod traces;
mod values;

pub use config::{Config, LogFormat};
pub use context::{Context, Dependency};
pub use http::{HttpListener, serve_http};
pub use logs::{log_as_node, log_listening};
pub use process::{Process, StartError};
pub use program::{Program, Threads, run, run_process};
pub use readiness::ReadyLatch;
pub use settings::{parse, parse_from};
pub use values::{parse_address, parse_http_url, parse_number};
