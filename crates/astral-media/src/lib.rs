//! Containers and protocols without sockets: frames, FLV, RTMP, fMP4, HLS playlists, the relay link's records.
//!
//! Everything here turns bytes into values and back. Knows no socket, no clock, no task: every function can be
//! called from a test, a fuzzer or a simulation alike.

pub mod codec;
pub mod flv;
pub mod fmp4;
pub mod frame;
pub mod hls;
pub mod publish;
pub mod record;
pub mod rtmp;
pub mod timeline;
