//! The contract every part of Astral agrees on: ids, models, bus messages, error codes, limits.
//!
//! Pure data. Knows no socket, no clock, no backend: what needs the time takes it as an argument.

pub mod error;
pub mod ids;
pub mod incarnation;
pub mod limits;
pub mod message;
pub mod model;
pub mod rest;
mod secret;
pub mod target;
pub mod ticket;
mod units;

pub use error::{Code, Problem};
pub use ids::{FrameId, NodeId, Slug, TicketId};
pub use incarnation::{EpochId, Incarnation};
pub use secret::Secret;
pub use units::{Kbps, Micros, UnixMillis};
