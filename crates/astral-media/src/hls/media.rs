//! `media.m3u8`: the LL-HLS media playlist.

use super::VERSION;
use super::time::Rfc3339;
use astral_proto::{EpochId, UnixMillis};
use std::fmt::{self, Write};

/// Parts are listed up to this many target durations from the end (rfc8216bis, 6.2.2).
const PARTS_TARGET_DURATIONS: u64 = 3;
/// PART-HOLD-BACK as a multiple of PART-TARGET. It must be at least 2 and should be 3 (rfc8216bis,
/// 4.4.3.8).
const PART_HOLD_BACK: u64 = 3;
/// Microseconds in the last printed digit of a duration.
const DIGIT_US: u64 = 10;

/// A media playlist: what a relay holds of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaPlaylist {
    /// EXT-X-TARGETDURATION. No segment may have a longer duration, rounded to seconds.
    pub target_duration_seconds: u32,
    /// PART-TARGET, microseconds. No part may be longer.
    pub part_target_us: u64,
    /// EXT-X-MEDIA-SEQUENCE: number of the first GOP.
    pub media_sequence: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE: discontinuities before the first segment.
    pub discontinuity_sequence: u64,
    /// EXT-X-INDEPENDENT-SEGMENTS: whether every segment can be decoded without the others.
    pub independent_segments: bool,
    /// The segments, oldest first.
    pub segments: Vec<Segment>,
    /// The next part, if it is known.
    pub preload_hint: Option<PreloadHint>,
    /// Whether the stream has ended.
    pub ended: bool,
}

/// One segment: a GOP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number.
    pub gop: u64,
    /// Its epoch.
    pub epoch: EpochId,
    /// Number of its initialization section within the epoch.
    pub init: u32,
    /// Whether there is a discontinuity before it. It is not printed for the first segment;
    /// `discontinuity_sequence` counts it.
    pub discontinuity_before: bool,
    /// EXT-X-PROGRAM-DATE-TIME.
    pub program_date_time: UnixMillis,
    /// Sum of the durations of its parts, microseconds.
    pub duration_us: u64,
    /// Whether the relay does not hold it. It has no parts then.
    pub gap: bool,
    /// Its parts so far. They are not printed if they are far from the end of the playlist.
    pub parts: Vec<PartRef>,
    /// Whether all its parts exist. Only the newest segment may be incomplete.
    pub complete: bool,
}

/// A part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartRef {
    /// Its number in the GOP.
    pub part: u32,
    /// Duration, microseconds.
    pub duration_us: u64,
    /// Whether a player can start here.
    pub independent: bool,
}

/// A part that players may request before it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreloadHint {
    /// Its epoch.
    pub epoch: EpochId,
    /// Its GOP.
    pub gop: u64,
    /// Its number.
    pub part: u32,
}

/// Returns the playlist as text.
pub fn media_playlist(playlist: &MediaPlaylist) -> String {
    let mut text = String::new();
    write(&mut text, playlist).expect("writing to a string cannot fail");
    text
}

fn write(out: &mut String, playlist: &MediaPlaylist) -> fmt::Result {
    write_head(out, playlist)?;
    let with_parts = first_with_parts(playlist);
    let mut before = None;
    for (index, segment) in playlist.segments.iter().enumerate() {
        write_segment_head(out, segment, before)?;
        if index >= with_parts && !segment.gap {
            segment
                .parts
                .iter()
                .try_for_each(|part| write_part(out, segment, part))?;
        }
        if segment.complete || segment.gap {
            writeln!(out, "#EXTINF:{},", Seconds(segment.duration_us))?;
            writeln!(out, "{}/{}.m4s", segment.epoch, segment.gop)?;
        }
        before = Some(segment);
    }
    write_tail(out, playlist)
}

fn write_head(out: &mut String, playlist: &MediaPlaylist) -> fmt::Result {
    // Round up: no part may be printed longer than the target.
    let part_target_us = playlist
        .part_target_us
        .div_ceil(DIGIT_US)
        .saturating_mul(DIGIT_US);
    let hold_back = Seconds(part_target_us.saturating_mul(PART_HOLD_BACK));
    writeln!(out, "#EXTM3U\n#EXT-X-VERSION:{VERSION}")?;
    if playlist.independent_segments {
        writeln!(out, "#EXT-X-INDEPENDENT-SEGMENTS")?;
    }
    writeln!(
        out,
        "#EXT-X-TARGETDURATION:{}",
        playlist.target_duration_seconds
    )?;
    writeln!(
        out,
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={hold_back}"
    )?;
    writeln!(
        out,
        "#EXT-X-PART-INF:PART-TARGET={}",
        Seconds(part_target_us)
    )?;
    writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{}", playlist.media_sequence)?;
    writeln!(
        out,
        "#EXT-X-DISCONTINUITY-SEQUENCE:{}",
        playlist.discontinuity_sequence
    )
}

fn write_segment_head(
    out: &mut String,
    segment: &Segment,
    before: Option<&Segment>,
) -> fmt::Result {
    if segment.discontinuity_before && before.is_some() {
        writeln!(out, "#EXT-X-DISCONTINUITY")?;
    }
    if before.is_none_or(|before| (before.epoch, before.init) != (segment.epoch, segment.init)) {
        writeln!(
            out,
            "#EXT-X-MAP:URI=\"{}/init-{}.mp4\"",
            segment.epoch, segment.init
        )?;
    }
    writeln!(
        out,
        "#EXT-X-PROGRAM-DATE-TIME:{}",
        Rfc3339(segment.program_date_time)
    )?;
    if segment.gap {
        writeln!(out, "#EXT-X-GAP")
    } else {
        Ok(())
    }
}

fn write_part(out: &mut String, segment: &Segment, part: &PartRef) -> fmt::Result {
    let duration = Seconds(part.duration_us);
    let uri = part_uri(segment.epoch, segment.gop, part.part);
    let independent = if part.independent {
        ",INDEPENDENT=YES"
    } else {
        ""
    };
    writeln!(
        out,
        "#EXT-X-PART:DURATION={duration},URI=\"{uri}\"{independent}"
    )
}

fn write_tail(out: &mut String, playlist: &MediaPlaylist) -> fmt::Result {
    if playlist.ended {
        return writeln!(out, "#EXT-X-ENDLIST");
    }
    let Some(PreloadHint { epoch, gop, part }) = playlist.preload_hint else {
        return Ok(());
    };
    writeln!(
        out,
        "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{}\"",
        part_uri(epoch, gop, part)
    )
}

fn part_uri(epoch: EpochId, gop: u64, part: u32) -> String {
    format!("{epoch}/{gop}.{part}.m4s")
}

/// Returns the index of the first segment whose parts are listed.
fn first_with_parts(playlist: &MediaPlaylist) -> usize {
    let reach_us = u64::from(playlist.target_duration_seconds) * 1_000_000 * PARTS_TARGET_DURATIONS;
    let mut after_us: u64 = 0;
    let near = playlist.segments.iter().rev().take_while(|segment| {
        let near = after_us < reach_us;
        let parts_us = segment.parts.iter().map(|part| part.duration_us);
        after_us = after_us.saturating_add(
            parts_us
                .fold(0, u64::saturating_add)
                .max(segment.duration_us),
        );
        near
    });
    playlist.segments.len() - near.count()
}

/// Microseconds that print as seconds with five decimals.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0 / DIGIT_US + u64::from(self.0 % DIGIT_US >= DIGIT_US / 2);
        write!(out, "{}.{:05}", digits / 100_000, digits % 100_000)
    }
}
