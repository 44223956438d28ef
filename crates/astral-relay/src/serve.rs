//! Everything that reads a stream: the listeners, viewers over HLS, HTTP-FLV and RTMP, and links to
//! other relays.

mod hls;
mod link;
mod listen;
mod media;
mod refusal;
mod rtmp;
mod viewer;

pub use listen::{ListenerKind, Listeners, listen, serve};
