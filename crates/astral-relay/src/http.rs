//! HTTP/1.1 (RFC 9112) as a media listener needs it: small bounded heads in, shared bytes out.
//!
//! GET, HEAD and OPTIONS without bodies. It is our own because a response here is a list of shared
//! slices that one system call writes, and because a connection can be handed to a fan-out that
//! never ends.

mod error;
mod gzip;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod write;

pub use error::{HttpError, WRITE_WAIT};
pub use gzip::gzip;
pub use request::{Request, parse_head, read_request};
pub use response::{IMMUTABLE, NO_CACHE, Response, endless_head, respond};
pub use write::{Slices, write_all};
