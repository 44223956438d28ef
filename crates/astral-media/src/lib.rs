//! Media formats and protocols without sockets: frames, FLV, RTMP, fMP4, HLS playlists, and the
//! records of the relay link.
//!
//! The code converts bytes to values and back. It uses no socket, clock or task, so tests and
//! fuzzers can call every function directly.

pub mod codec;
pub mod flv;
pub mod fmp4;
pub mod frame;
pub mod hls;
pub mod publish;
pub mod record;
pub mod rtmp;
pub mod timeline;
