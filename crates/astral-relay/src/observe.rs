//! How the work of a relay is seen: spans that make one trace from a viewer to the origin, metrics,
//! and log lines. It takes ids and plain values, and knows no part of the relay.
//!
//! A span lasts until a request is answered, or until an endless answer begins. There is no span
//! per frame.

mod command;
mod episode;
mod events;
mod exchange;
mod ingest;
mod load;
mod trace;

pub use command::rtmp_command;
pub use episode::{Episode, LinkSpan};
pub use events::{
    failed_over, provider_failed, publisher_refused, publisher_warned, register_counters,
};
pub use exchange::Exchange;
pub use ingest::IngestHealth;
pub use load::{Load, record_load};
