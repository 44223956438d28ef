//! A relay as a member of its network: registration, heartbeats, requests of the control plane, its host, and leaving.

mod drain;
mod host;
mod membership;
mod requests;
mod statement;

pub use drain::{InUse, Leaving};
pub use host::HostedStream;
pub use membership::Standing;
pub use requests::Asked;
