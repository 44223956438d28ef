//! Every Astral service in one process.
//!
//! This is the only crate that sees all services. Besides what they do, it decides the order in
//! which they start and stop.

mod cli;
pub mod demo;
pub mod up;

pub use cli::run;
