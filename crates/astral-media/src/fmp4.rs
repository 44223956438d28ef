//! Fragmented MP4: initialization sections and parts (ISO/IEC 14496-12).
//!
//! A part is one moof and one mdat with the samples of all tracks. A segment is the parts of its
//! GOP, one after the other. The same frames make the same bytes on every relay.

mod assembler;
mod init;
mod part;

pub use assembler::{AssemblyError, CompletedPart, PartAssembler};
pub use init::{InitError, init_section};
pub use part::{Part, Sample, TrackFragment, part};

/// Units per second in every track: microseconds, as everywhere in the media model.
pub const TIMESCALE: u32 = 1_000_000;
/// Track id of the video.
pub const VIDEO_TRACK_ID: u32 = 1;
/// Track id of the audio.
pub const AUDIO_TRACK_ID: u32 = 2;

#[cfg(test)]
mod tests;
