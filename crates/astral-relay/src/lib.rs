//! A running relay: takes streams in, keeps their newest GOPs, sends them out, pulls them from providers, and fails
//! over by itself when a provider goes.
//!
//! Gets its grants and tickets through one trait, [`control::ControlPlane`]. Knows no bus and no state store; what it
//! streams goes on without either.

pub mod control;
mod distances;
pub mod egress;
mod gate;
pub mod http;
mod ingest;
mod listen;
pub mod log;
mod observe;
mod origin;
mod pull;
mod relay;
mod stream;
#[cfg(test)]
mod testing;
mod tickets;

pub use listen::{BindError, Door, Listeners, listen, serve};
pub use pull::{Failover, FailoverCause, STANDBY_RETRY};
pub use relay::{
    Asked, Connect, HostedStream, InUse, Reach, Relay, RelayConfig, Standing, is_reachable,
    parse_advertise, unix_ms,
};
