//! What every layer needs to run: the accept loop, listeners, locks, task scopes, and log
//! throttling.
//!
//! This crate imports no other Astral crate, and nothing heavier than tokio, so that the relay, the
//! bus and state, and the process can all use it.

mod accept;
mod listen;
mod lock;
mod scope;
mod throttle;

pub use accept::{Connection, accept_connections};
pub use listen::{ListenError, bind};
pub use lock::{lock, read_lock, write_lock};
pub use scope::TaskScope;
pub use throttle::LogThrottle;
