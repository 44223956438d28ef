//! Writes HLS playlists (RFC 8216, draft-pantos-hls-rfc8216bis).
//!
//! URIs are relative to `/live/SLUG/`, where both playlists are.

mod media;
mod multivariant;
mod time;

pub use media::{MediaPlaylist, PartRef, PreloadHint, Segment, media_playlist};
pub use multivariant::{Variant, multivariant_playlist};

/// EXT-X-VERSION of both playlists: the newest version that low-latency players support.
const VERSION: u32 = 9;

#[cfg(test)]
mod tests;
