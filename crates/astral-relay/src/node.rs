//! A relay as a member of its network: its start, registration and heartbeats, the requests of the
//! control plane, the wishes of its host, and leaving.

mod drain;
mod host;
mod membership;
mod requests;
mod statement;
mod upkeep;

pub use drain::{Connections, connections, drain_by};
pub use host::{
    HostedStream, hosted_node, hosted_stream, hosted_streams, keep, keep_out, keep_until_flowing,
    let_go, take_back_in,
};
pub use membership::keep_membership;
pub use requests::{RelayRequest, answer};
pub use statement::statement;
pub use upkeep::start;
