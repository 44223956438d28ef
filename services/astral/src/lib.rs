//! Every Astral service in one process.
//!
//! The only room that sees all services. What it promises is theirs; it adds the order in which they start and stop.

pub mod demo;
pub mod up;
