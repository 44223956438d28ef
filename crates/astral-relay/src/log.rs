//! The newest GOPs of one stream, and how readers follow them.

mod bitrate;
mod buffer;
mod cursor;
mod gop;
mod gops;
mod hls_view;
mod playlist;
mod playlist_cache;
mod shared_log;
#[cfg(test)]
mod tests;
mod waking;
mod window;
mod wire_frame;

pub use cursor::{Cursor, Item};
pub use hls_view::{HlsView, Lookup};
pub use playlist_cache::RenderedPlaylist;
pub use shared_log::Log;
pub use wire_frame::WireFrame;
