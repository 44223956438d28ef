//! One RTMP connection: its peer, and why it ends early.

mod error;
mod peer;

pub use error::RtmpError;
pub use peer::{Peer, Purpose};
