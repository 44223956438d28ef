//! Fragmented MP4: initialisation sections and parts.
