//! A running relay: takes streams in, keeps their newest GOPs, sends them out, pulls them from
//! providers, and fails over by itself when a provider fails.
//!
//! It gets its grants and tickets through one trait, [`control::ControlPlane`]. It knows neither a
//! bus nor a state store, and streams go on without either.
//!
//! Its modules form layers. `log` holds the newest GOPs of a stream. Above it, `core` is the relay
//! with its streams, and says who feeds each of them. Above that, `feed` is everything that
//! appends, and `serve` and `node` are everything that reads and everything that makes the relay a
//! member of a network. The other modules are needed by several of these and stand below all of
//! them. `tests/tidy` checks that no module imports one above it, and that no files import each
//! other in a circle.

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
pub mod node;
mod observe;
mod rtmp;
mod serve;
#[cfg(test)]
mod testing;
mod ticket_check;

pub use self::core::{MembershipStatus, Relay};
pub use advertise::{is_reachable, parse_advertise};
pub use astral_env::Env;
pub use config::{Connect, Reach, RelayConfig};
pub use failover_cause::FailoverCause;
pub use feed::{Failover, STANDBY_RETRY};
pub use node::start;
pub use serve::{ListenerKind, Listeners, listen, serve};
