//! A running relay: takes streams in, keeps their newest GOPs, sends them out, pulls them from providers, and fails
//! over by itself when a provider goes.
//!
//! Gets its grants and tickets through one trait, [`control::ControlPlane`]. Knows no bus and no state store; what it
//! streams goes on without either.

mod advertise;
mod clock;
mod config;
pub mod control;
mod core;
mod distances;
mod failover_cause;
mod feed;
mod gate;
pub mod http;
mod log;
mod node;
mod observe;
mod rtmp;
mod serve;
mod sync;
#[cfg(test)]
mod testing;
mod ticket_check;

pub use self::core::Relay;
pub use advertise::{is_reachable, parse_advertise};
pub use clock::unix_ms;
pub use config::{Connect, Reach, RelayConfig};
pub use failover_cause::FailoverCause;
pub use feed::pull::{Failover, STANDBY_RETRY};
pub use node::{Asked, HostedStream, InUse, Standing};
pub use serve::{Door, Listeners, listen, serve};
