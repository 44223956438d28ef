//! The newest GOPs of one stream, and how readers follow them. One writer appends; any number of readers follow, each
//! with a cursor of its own.

mod bitrate;
mod buffer;
mod gop;
mod hls;
mod playlist_cache;
mod shared_log;
#[cfg(test)]
mod tests;
mod window;

pub use gop::Wired;
pub use hls::Lookup;
pub use playlist_cache::Rendered;
pub use shared_log::{Cursor, Item, Log, LogError};
