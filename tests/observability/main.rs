//! What an operator sees of a network that runs: its metrics, the dashboard and the alerts made of them.

mod away;
mod exposition;
mod live;
mod logs;
mod metrics;
mod nodes;
mod outages;
mod prometheus;
mod queries;
mod rules;
mod secrets;

use std::path::{Path, PathBuf};

/// A file of the repository.
fn of_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests stand one below the top")
        .join(path)
}
