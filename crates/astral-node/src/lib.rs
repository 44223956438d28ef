//! A relay as a member of a network: what `media-forwarder` and `astralnode` share.
//!
//! Both are relays in a process. They differ in how they reach the control plane, over the bus or
//! over REST, and in nothing below. `astral-relay` itself reads no flags and knows no process.

mod flags;
mod membership;
mod start;

pub use flags::{FlagsError, RelayFlags, parse_role};
pub use membership::{keep_membership, leave_on_stop};
pub use start::{OpenListeners, Started};
