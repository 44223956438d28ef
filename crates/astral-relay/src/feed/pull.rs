//! Pulling a stream from a provider.

mod arrived;
mod connection;
mod failover;
mod handover;
mod link;
mod link_end;
mod puller;
mod ready_link;

pub use failover::{Failover, STANDBY_RETRY};
pub use puller::spawn;
