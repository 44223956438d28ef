//! The media playlist of what a log holds.

use super::buffer::Buffer;
use super::gop::Gop;
use super::gops::Gops;
use astral_media::fmp4::CompletedPart;
use astral_media::hls::{MediaPlaylist, PartRef, PreloadHint, Segment};
use std::time::Duration;

/// PART-TARGET is the first of these that no part exceeds, so that it stays the same while parts
/// vary a little. The last one is chosen so that parts of 199 ms are 85 % of it (rfc8216bis,
/// 4.4.4.9).
const PART_TARGETS_MICROS: [u64; 3] = [200_000, 210_000, 234_000];
/// PART-TARGET for longer parts is a multiple of this, microseconds.
const PART_TARGET_STEP_MICROS: u64 = 10_000;
/// If more GOPs than this are missing in a row, the playlist starts after them.
const HOLE_MAX: u64 = 16;

/// The media playlist of `buffer`; None before the target duration is fixed and a GOP can be
/// listed.
pub fn playlist(buffer: &Buffer) -> Option<MediaPlaylist> {
    let target_duration_seconds = buffer.gops.target_duration_seconds()?;
    let from = first_listed(buffer)?;
    let mut segments: Vec<Segment> = Vec::new();
    let mut independent_segments = true;
    let mut discontinuity = buffer.gops.get(from)?.start.discontinuity;
    let discontinuity_sequence = discontinuity;
    for gop in buffer.gops.iter().skip(from) {
        if let Some(last) = segments.last_mut() {
            if !last.complete {
                last.duration_us = missing_us(gop, last, 1, target_duration_seconds);
            }
            let hole = hole_before(gop, last, target_duration_seconds);
            segments.extend(hole);
        }
        let is_last = gop.start.gop == buffer.gops.newest()?.start.gop;
        // The duration of a GOP with a missing piece is known only at its end, or when the next one
        // starts.
        let is_unknown = gop.parts.is_empty() || gop.is_broken();
        if is_last && gop.end.is_none() && is_unknown {
            break;
        }
        let gap = gop.is_broken() || (gop.end.is_none() && !is_last);
        let discontinuity_before = gop.start.discontinuity != discontinuity;
        independent_segments &= gap || gop.start.independent;
        segments.push(Segment {
            gap,
            discontinuity_before,
            ..segment(gop)
        });
        discontinuity = gop.start.discontinuity;
    }
    Some(MediaPlaylist {
        target_duration_seconds,
        part_target_us: part_target_us(&buffer.gops),
        media_sequence: segments.first()?.gop,
        discontinuity_sequence,
        independent_segments,
        preload_hint: preload_hint(buffer),
        segments,
        ended: buffer.ended,
    })
}

/// The index of the first GOP to list. Everything from there on is whole, open, or named as a gap.
fn first_listed(buffer: &Buffer) -> Option<usize> {
    let gops = &buffer.gops;
    let mut neighbours = gops.iter().zip(gops.iter().skip(1)).enumerate();
    let hole =
        neighbours.rfind(|(_, (before, after))| after.start.gop - before.start.gop > HOLE_MAX);
    let after_hole = hole.map_or(0, |(at, _)| at + 1);
    let is_listed = |gop: &Gop| {
        let is_in_window = gop.start.gop >= buffer.window.listed_from();
        is_in_window && gop.first_number == 0 && !gop.parts.is_empty()
    };
    let mut candidates = gops.iter().enumerate().skip(after_hole);
    candidates.find(|(_, gop)| is_listed(gop)).map(|(at, _)| at)
}

fn part_target_us(gops: &Gops) -> u64 {
    let parts = gops.iter().flat_map(|gop| gop.parts.iter());
    let longest = parts.map(|part| part.duration).max().unwrap_or(0);
    let usual = PART_TARGETS_MICROS
        .into_iter()
        .find(|target| longest <= *target);
    usual.unwrap_or(longest.div_ceil(PART_TARGET_STEP_MICROS) * PART_TARGET_STEP_MICROS)
}

fn preload_hint(buffer: &Buffer) -> Option<PreloadHint> {
    let newest = buffer.gops.newest().filter(|_| !buffer.ended)?;
    let epoch = newest.start.parameters.epoch_id();
    let gop = newest.start.gop;
    Some(match newest.end {
        Some(_) => PreloadHint {
            epoch,
            gop: gop + 1,
            part: 0,
        },
        None => PreloadHint {
            epoch,
            gop,
            part: newest.parts.len() as u32,
        },
    })
}

fn segment(gop: &Gop) -> Segment {
    let parts: Vec<_> = gop.parts.iter().map(part_ref).collect();
    Segment {
        gop: gop.start.gop,
        epoch: gop.start.parameters.epoch_id(),
        init: gop.start.parameters.init,
        discontinuity_before: false,
        program_date_time: gop.start.program_date_time,
        duration_us: gop.duration_us(),
        gap: false,
        complete: gop.end.is_some(),
        parts,
    }
}

fn part_ref(part: &CompletedPart) -> PartRef {
    PartRef {
        part: part.part,
        duration_us: part.duration,
        independent: part.independent,
    }
}

/// Gaps in place of the GOPs between `last` and `next`, which are not held. Only their total
/// duration is known, so each gets an equal share.
fn hole_before(next: &Gop, last: &Segment, target_duration_seconds: u32) -> Vec<Segment> {
    let count = next.start.gop.saturating_sub(last.gop + 1);
    let from = last.program_date_time + Duration::from_micros(last.duration_us);
    let after = Segment {
        program_date_time: from,
        ..last.clone()
    };
    let missing_us = missing_us(next, &after, count, target_duration_seconds);
    let gap = |number: u64| Segment {
        gop: last.gop + 1 + number,
        discontinuity_before: false,
        program_date_time: from + Duration::from_micros(missing_us * number / count),
        duration_us: missing_us / count,
        gap: true,
        parts: Vec::new(),
        complete: true,
        ..last.clone()
    };
    (0..count).map(gap).collect()
}

/// How long the `count` GOPs from `first` to `next` last by their dates, microseconds; at most
/// their target durations.
fn missing_us(next: &Gop, first: &Segment, count: u64, target_duration_seconds: u32) -> u64 {
    let most_us = u64::from(target_duration_seconds) * 1_000_000 * count;
    let missing = next.start.program_date_time.since(first.program_date_time);
    u64::try_from(missing.as_micros())
        .unwrap_or(u64::MAX)
        .min(most_us)
}
