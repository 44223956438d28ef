//! One RTMP connection: its peer, what the peer wants, and why the connection ends early.

mod error;
mod peer;
mod purpose;

pub use error::RtmpError;
pub use peer::Peer;
pub use purpose::Purpose;
