//! Everything that reads a stream: the listeners, viewers over HLS, HTTP-FLV and RTMP, and links to other relays.

mod hls;
mod link;
mod listen;
mod media;
mod rtmp;
mod viewer;

pub use listen::{Door, Listeners, listen, serve};
