//! Everything that appends to a stream: a publisher's frames at its origin, or a provider's frames at every other relay.

pub mod ingest;
pub mod origin;
pub mod pull;
