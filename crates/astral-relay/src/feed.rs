//! Everything that appends to a stream: a publisher's frames at its origin, or a provider's frames
//! at every other relay.

mod demand;
mod ingest;
mod origin;
mod pull;

pub use demand::{STREAM_WAIT, ensure_pulled, give_way, wait_until_flowing};
pub use ingest::publish;
pub use origin::end_expired_publishes;
pub use pull::{Failover, STANDBY_RETRY};
