//! Checks HLS playlists against draft-pantos-hls-rfc8216bis and fragments against ISO/IEC 14496-12.
//!
//! The checker shares no code with what writes playlists and fragments, so it cannot repeat an
//! error made there. Every rule has a test that breaks it.

mod fragment;
mod media;
mod multivariant;
mod playlist;
mod rules;
#[cfg(test)]
mod tests;
mod watch;

pub use fragment::{Fragment, Init, Sample, Track, fragments, init};
pub use media::{Coded, check_init, check_segment, check_timeline};
pub use multivariant::check_multivariant;
pub use playlist::{MediaPlaylist, Part, Segment, parse};
pub use rules::{check, check_reload};
use std::fmt;
pub use watch::{Seen, watch, watch_while};

/// A violation of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The rule.
    pub rule: Rule,
    /// The place and the values.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{:?} ({}): {}",
            self.rule,
            self.rule.source(),
            self.what
        )
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $source:literal,)*) => {
        /// What a server of HLS must do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule {
            $($(#[$doc])* $name,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Rule] = &[$(Rule::$name,)*];

            /// Where the rule comes from: a section of rfc8216bis, another standard, or `ours`.
            pub fn source(self) -> &'static str {
                match self {
                    $(Rule::$name => $source,)*
                }
            }
        }
    };
}

rules! {
    /// The first line is `#EXTM3U`.
    Header = "4.4.1.1",
    /// Every line, number and attribute list is well formed, and nothing that is required is
    /// missing.
    Syntax = "4.1",
    /// No EXTINF, rounded to the nearest second, is above EXT-X-TARGETDURATION.
    TargetDuration = "4.4.3.1",
    /// A playlist with parts has a PART-TARGET and a PART-HOLD-BACK of at least twice that.
    HoldBack = "4.4.3.8",
    /// No part is longer than PART-TARGET.
    PartTarget = "4.4.4.9",
    /// No part is shorter than 85 % of PART-TARGET, unless it is independent or the last of its
    /// segment.
    PartFloor = "4.4.4.9",
    /// The parts of a segment last as long as the segment.
    PartSum = "3.2",
    /// Parts are numbered and listed without a hole, and only the last segment may be open.
    PartOrder = "ours",
    /// Parts are listed only up to three target durations from the end.
    OldParts = "6.2.2",
    /// Every segment has an initialization section.
    Map = "4.4.4.5",
    /// EXT-X-PROGRAM-DATE-TIME advances by EXTINF, except at a discontinuity.
    DateTime = "4.4.4.6",
    /// A gap has no parts, and a new initialization section comes with a discontinuity.
    Discontinuity = "4.4.4.3",
    /// A preload hint names what is not listed yet, and an ended playlist has none.
    PreloadHint = "4.4.5.3",
    /// No URI is listed twice.
    Unique = "ours",
    /// EXT-X-MEDIA-SEQUENCE never decreases.
    MediaSequence = "6.2.2",
    /// What has been listed does not change. Segments leave at the front and are added at the back.
    Unchanged = "6.2.1",
    /// EXT-X-DISCONTINUITY-SEQUENCE counts the discontinuities that have left the playlist.
    DiscontinuitySequence = "6.2.2",
    /// No segment leaves a playlist that would then be shorter than three target durations.
    Window = "6.2.2",
    /// A segment that has left the playlist is still available for a while.
    Available = "6.2.2",
    /// The answer to a blocking request contains what was asked for.
    Blocking = "6.2.5.2",
    /// An initialization section has no samples and describes every track.
    InitSection = "3.1.2",
    /// A fragment is complete: moof and mdat, one tfdt for each track, sizes that add up.
    Fragment = "3.1.2",
    /// The decoding time of a track continues where the fragment before it ended.
    DecodeTime = "ISO/IEC 14496-12, tfdt",
    /// Fragment sequence numbers rise by one. They may skip numbers at a discontinuity.
    SequenceNumber = "ISO/IEC 14496-12, mfhd",
    /// A sample is marked as a sync sample if and only if it is one.
    SyncSample = "ISO/IEC 14496-12, trun",
    /// EXTINF and DURATION are what the samples last.
    Duration = "4.4.4.1",
    /// The first tfdt of each segment and part is where the durations in the playlist place it.
    /// Shaka (5.2) moves its timestamp offset otherwise, and then Chrome drops pictures.
    Placement = "ours",
    /// Only what starts with a sync sample is called INDEPENDENT.
    Independent = "4.4.2.1",
    /// The parts of a segment, joined, are the bytes of the segment.
    SameBytes = "3.2",
    /// CODECS, RESOLUTION and FRAME-RATE are those of the media.
    Codecs = "4.4.6.2",
    /// BANDWIDTH is at least the peak bit rate of the segments.
    Bandwidth = "4.4.6.2",
}

/// The faults found so far.
#[derive(Clone, Debug, Default)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// Adds a fault unless `holds`.
    pub fn require(&mut self, holds: bool, rule: Rule, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Fault { rule, what: what() });
        }
    }

    /// Whether a fault of `rule` was found.
    pub fn has(&self, rule: Rule) -> bool {
        self.0.iter().any(|fault| fault.rule == rule)
    }

    /// All faults except those of `rule`.
    pub fn except(mut self, rule: Rule) -> Self {
        self.0.retain(|fault| fault.rule != rule);
        self
    }

    /// Fails the test if there are faults, and prints them.
    ///
    /// # Panics
    /// If there are faults.
    pub fn assert_none(&self, what: &str) {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        assert!(
            lines.is_empty(),
            "{what}: {} faults\n{}",
            lines.len(),
            lines.join("\n")
        );
    }
}
