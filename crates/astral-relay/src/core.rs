//! The relay itself and its streams: who feeds each of them, and who reads it.

mod hls_players;
mod notices;
mod pull_tickets;
mod readers;
mod relay;
mod seat;
mod sent;
mod stream;

pub use readers::{ReaderGuard, ReaderKind};
pub use relay::{Relay, STREAM_WAIT};
pub use seat::{Seat, SeatKind};
pub use stream::{IDLE, Origin, Stream, Supply, origin_state};
