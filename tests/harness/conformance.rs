//! Our own checker for HLS: playlists by the sections of draft-pantos-hls-rfc8216bis, fragments by ISO/IEC 14496-12.
//!
//! It shares no code with what writes playlists and fragments, so that an error there is not repeated here. Every rule
//! has a test that breaks it.

mod fragment;
mod media;
mod playlist;
mod rules;
#[cfg(test)]
mod tests;
mod watch;

pub use fragment::{Fragment, Init, Sample, Track, fragments, init};
pub use media::{Coded, check_init, check_multivariant, check_segment, check_timeline};
pub use playlist::{MediaPlaylist, Part, Segment, parse};
pub use rules::{check, check_reload};
use std::fmt;
pub use watch::{Seen, watch, watch_while};

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which rule.
    pub rule: Rule,
    /// Where, and with which values.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{:?} ({}): {}",
            self.rule,
            self.rule.section(),
            self.what
        )
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $section:literal,)*) => {
        /// What a server of HLS must do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule {
            $($(#[$doc])* $name,)*
        }

        impl Rule {
            /// Every rule there is.
            pub const ALL: &'static [Rule] = &[$(Rule::$name,)*];

            /// The section that says so: of rfc8216bis, or of the standard that is named.
            pub fn section(self) -> &'static str {
                match self {
                    $(Rule::$name => $section,)*
                }
            }
        }
    };
}

rules! {
    /// The first line is `#EXTM3U`.
    Header = "4.4.1.1",
    /// Every line, number and attribute list is well formed, and what is required is there.
    Syntax = "4.1",
    /// No EXTINF, rounded to the nearest second, is above EXT-X-TARGETDURATION.
    TargetDuration = "4.4.3.1",
    /// A playlist with parts tells PART-TARGET and a PART-HOLD-BACK of at least twice that.
    HoldBack = "4.4.3.8",
    /// No part is longer than PART-TARGET.
    PartTarget = "4.4.4.9",
    /// No part is shorter than 85 % of PART-TARGET, but one that is independent or the last of its segment.
    PartFloor = "4.4.4.9",
    /// The parts of a segment last as long as the segment.
    PartSum = "4.4.4.9",
    /// Parts are numbered and listed without a hole, and none after the segment's end.
    PartOrder = "4.4.4.9",
    /// Parts are not listed further than three target durations from the end.
    OldParts = "4.4.4.9",
    /// Every segment has an initialization section.
    Map = "4.4.4.5",
    /// EXT-X-PROGRAM-DATE-TIME advances by EXTINF, except over a discontinuity.
    DateTime = "4.4.4.6",
    /// A gap has no parts, and a discontinuity is marked where the initialization section changes.
    Discontinuity = "4.4.4.3",
    /// A preload hint names what is not listed yet, and none stands in a playlist that has ended.
    PreloadHint = "4.4.5.3",
    /// No URI is listed twice.
    Unique = "6.2.1",
    /// EXT-X-MEDIA-SEQUENCE never falls.
    MediaSequence = "4.4.3.2",
    /// What has been listed stays as it is; segments only go at the front and come at the back.
    Unchanged = "6.2.1",
    /// EXT-X-DISCONTINUITY-SEQUENCE rises by each discontinuity that leaves the playlist.
    DiscontinuitySequence = "6.2.2",
    /// No segment leaves a playlist that is shorter than three target durations without it.
    Window = "6.2.2",
    /// A segment that has left the playlist stays available for its own duration and that of the playlist.
    Available = "6.2.2",
    /// A blocking request is answered with what it asks for.
    Blocking = "6.2.5.2",
    /// An initialization section has no samples, and describes every track.
    InitSection = "3.1.2",
    /// A fragment is whole: moof and mdat, one tfdt for each track, sizes that add up.
    Fragment = "3.1.2",
    /// The decoding time of a track goes on where the fragment before it ended.
    DecodeTime = "ISO/IEC 14496-12, 8.8.12",
    /// Fragment sequence numbers rise, one by one but for a discontinuity.
    SequenceNumber = "ISO/IEC 14496-12, 8.8.5",
    /// A sample is marked as a sync sample if and only if it is one.
    SyncSample = "ISO/IEC 14496-12, 8.8.3",
    /// EXTINF and DURATION are what the samples last.
    Duration = "4.4.4.1",
    /// INDEPENDENT and EXT-X-INDEPENDENT-SEGMENTS are said only of what starts with a sync sample.
    Independent = "4.4.2.1",
    /// The parts of a segment, one after the other, are the bytes of the segment.
    SameBytes = "6.2.1",
    /// CODECS, RESOLUTION and FRAME-RATE are those of the media.
    Codecs = "4.4.6.2",
    /// BANDWIDTH is at least the peak bit rate of the segments.
    Bandwidth = "4.4.6.2",
}

/// The faults found so far.
#[derive(Clone, Debug, Default)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// Notes a fault unless `holds`.
    pub fn require(&mut self, holds: bool, rule: Rule, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Fault { rule, what: what() });
        }
    }

    /// Whether `rule` was found broken.
    pub fn has(&self, rule: Rule) -> bool {
        self.0.iter().any(|fault| fault.rule == rule)
    }

    /// The faults without those of `rule`.
    pub fn except(mut self, rule: Rule) -> Self {
        self.0.retain(|fault| fault.rule != rule);
        self
    }

    /// Panics with every fault, if there are any.
    ///
    /// # Panics
    /// If there are.
    pub fn assert_none(&self, what: &str) {
        let told: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        assert!(
            told.is_empty(),
            "{what}: {} faults\n{}",
            told.len(),
            told.join("\n")
        );
    }
}
