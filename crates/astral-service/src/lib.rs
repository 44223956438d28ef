//! What the services that use the bus share: their main, their dependencies, and how they answer
//! requests.
//!
//! It joins the process (`astral-chassis`) and the bus and state (`astral-backend`). A relay
//! outside the cluster uses the chassis alone, so that it does not link NATS and Redis.

mod answer;
mod run;

pub use answer::RequestServer;
pub use run::{Dependency, Service, run};
