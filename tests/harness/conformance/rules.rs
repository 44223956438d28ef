//! Rules of one media playlist, and of two versions of it.

use super::playlist::{MediaPlaylist, Segment};
use super::{Faults, Rule};
use std::collections::BTreeSet;

/// Durations are printed with five decimals, so each may be off by this much, microseconds.
const PRINTED: u64 = 10;
/// EXT-X-PROGRAM-DATE-TIME is printed in milliseconds, so a date may be off by this much,
/// microseconds.
const DATE_TIME_PRINTED: u64 = 1_000;
/// Shortest part in percent of PART-TARGET.
const PART_FLOOR_PERCENT: u64 = 85;
/// Microseconds in a second.
const SECOND: u64 = 1_000_000;

/// Checks one playlist.
pub fn check(playlist: &MediaPlaylist, faults: &mut Faults) {
    check_head(playlist, faults);
    check_tail(playlist, faults);
    check_dates(playlist, faults);
    let mut before: Option<&Segment> = None;
    for segment in &playlist.segments {
        check_segment(playlist, segment, faults);
        if let Some(before) = before {
            check_step(before, segment, faults);
        }
        before = Some(segment);
    }
    check_part_reach(playlist, faults);
}

fn check_head(playlist: &MediaPlaylist, faults: &mut Faults) {
    faults.require(playlist.target_duration > 0, Rule::TargetDuration, || {
        "it is 0".into()
    });
    let has_parts = playlist
        .segments
        .iter()
        .any(|segment| !segment.parts.is_empty());
    if has_parts || playlist.preload_hint.is_some() {
        let target = playlist.part_target;
        let hold_back = playlist.part_hold_back;
        let is_told = target
            .zip(hold_back)
            .is_some_and(|(target, hold_back)| hold_back >= 2 * target);
        faults.require(is_told, Rule::HoldBack, || {
            format!("PART-TARGET {target:?}, PART-HOLD-BACK {hold_back:?}")
        });
    }
    let uris = playlist.segments.iter().flat_map(|segment| {
        segment
            .uri
            .iter()
            .chain(segment.parts.iter().map(|part| &part.uri))
    });
    let mut seen = BTreeSet::new();
    for uri in uris {
        faults.require(seen.insert(uri), Rule::Unique, || {
            format!("{uri} is listed twice")
        });
    }
    if let Some(hint) = &playlist.preload_hint {
        faults.require(!seen.contains(hint), Rule::PreloadHint, || {
            format!("{hint} is listed already")
        });
    }
}

fn check_tail(playlist: &MediaPlaylist, faults: &mut Faults) {
    let hints_at_end = playlist.ended && playlist.preload_hint.is_some();
    faults.require(!hints_at_end, Rule::PreloadHint, || {
        "a hint in a playlist that has ended".into()
    });
    let open = playlist
        .segments
        .iter()
        .rev()
        .skip(1)
        .find(|segment| segment.uri.is_none());
    faults.require(open.is_none(), Rule::PartOrder, || {
        format!("{open:?} is open and not the last")
    });
}

fn check_segment(playlist: &MediaPlaylist, segment: &Segment, faults: &mut Faults) {
    let named = || {
        segment
            .uri
            .clone()
            .unwrap_or_else(|| "the open segment".into())
    };
    let rounded = (segment.duration + SECOND / 2) / SECOND;
    faults.require(
        rounded <= playlist.target_duration,
        Rule::TargetDuration,
        || {
            format!(
                "{}: {} us under a target of {} s",
                named(),
                segment.duration,
                playlist.target_duration
            )
        },
    );
    faults.require(segment.map.is_some(), Rule::Map, named);
    let has_gap_parts = segment.gap && !segment.parts.is_empty();
    faults.require(!has_gap_parts, Rule::Discontinuity, || {
        format!("{} is a gap with parts", named())
    });
    for part in &segment.parts {
        let target = playlist.part_target.unwrap_or(0);
        faults.require(part.duration <= target, Rule::PartTarget, || {
            format!(
                "{}: {} us under a target of {target} us",
                part.uri, part.duration
            )
        });
    }
    if segment.uri.is_some() && !segment.parts.is_empty() {
        let sum: u64 = segment.parts.iter().map(|part| part.duration).sum();
        let slack = PRINTED * (segment.parts.len() as u64 + 1);
        faults.require(
            sum.abs_diff(segment.duration) <= slack,
            Rule::PartSum,
            || {
                format!(
                    "{}: EXTINF {} us, its parts {sum} us",
                    named(),
                    segment.duration
                )
            },
        );
    }
    check_part_floor(playlist, segment, faults);
    check_part_numbers(segment, faults);
}

/// Checks the names of parts: `GOP.PART.m4s`.
fn check_part_numbers(segment: &Segment, faults: &mut Faults) {
    for (index, part) in segment.parts.iter().enumerate() {
        let number = part
            .uri
            .rsplit('.')
            .nth(1)
            .and_then(|number| number.parse::<usize>().ok());
        faults.require(number == Some(index), Rule::PartOrder, || {
            format!("{} is the part at {index}", part.uri)
        });
        let is_of = segment.uri.as_ref().is_none_or(|uri| {
            uri.strip_suffix(".m4s")
                .is_some_and(|stem| part.uri.starts_with(&format!("{stem}.")))
        });
        faults.require(is_of, Rule::PartOrder, || {
            format!("{} within {:?}", part.uri, segment.uri)
        });
    }
}

fn check_step(before: &Segment, segment: &Segment, faults: &mut Faults) {
    let named = || {
        segment
            .uri
            .clone()
            .unwrap_or_else(|| "the open segment".into())
    };
    let changes = before.map != segment.map;
    faults.require(
        !changes || segment.discontinuity,
        Rule::Discontinuity,
        || {
            format!(
                "{}: from {:?} to {:?} without a discontinuity",
                named(),
                before.map,
                segment.map
            )
        },
    );
}

/// Checks that each date is the first one after the last discontinuity plus the sum of EXTINF since
/// then.
fn check_dates(playlist: &MediaPlaylist, faults: &mut Faults) {
    let mut due: Option<i64> = None;
    for (count, segment) in playlist.segments.iter().enumerate() {
        let date = segment.date_time;
        faults.require(date.is_some(), Rule::DateTime, || {
            format!("{:?} has no date", segment.uri)
        });
        if segment.discontinuity || due.is_none() {
            due = date;
        }
        if let Some((date, due)) = date.zip(due) {
            let slack = DATE_TIME_PRINTED + PRINTED * count as u64;
            faults.require(date.abs_diff(due) <= slack, Rule::DateTime, || {
                format!(
                    "{:?}: {} us from what EXTINF comes to",
                    segment.uri,
                    date - due
                )
            });
        }
        due = due.map(|due| due + segment.duration as i64);
    }
}

/// Checks that all parts but the last of a segment are long enough.
fn check_part_floor(playlist: &MediaPlaylist, segment: &Segment, faults: &mut Faults) {
    let least = playlist.part_target.unwrap_or(0) * PART_FLOOR_PERCENT / 100;
    for part in segment
        .parts
        .iter()
        .rev()
        .skip(1)
        .filter(|part| !part.independent)
    {
        faults.require(part.duration + PRINTED >= least, Rule::PartFloor, || {
            format!(
                "{}: {} us, at least {least} us are due",
                part.uri, part.duration
            )
        });
    }
}

/// Checks that parts are not listed further than three target durations from the end.
fn check_part_reach(playlist: &MediaPlaylist, faults: &mut Faults) {
    let reach = 3 * playlist.target_duration * SECOND;
    let mut after = 0;
    for segment in playlist.segments.iter().rev() {
        let is_far = after > reach && !segment.parts.is_empty();
        faults.require(!is_far, Rule::OldParts, || {
            format!("{:?} has parts, {after} us from the end", segment.uri)
        });
        let parts: u64 = segment.parts.iter().map(|part| part.duration).sum();
        after += segment.duration.max(parts);
    }
}

/// Checks that the playlist `new` may follow `old`.
pub fn check_reload(old: &MediaPlaylist, new: &MediaPlaylist, faults: &mut Faults) {
    faults.require(
        new.media_sequence >= old.media_sequence,
        Rule::MediaSequence,
        || format!("from {} to {}", old.media_sequence, new.media_sequence),
    );
    let from = old.target_duration;
    let to = new.target_duration;
    faults.require(from == to, Rule::Unchanged, || {
        format!("EXT-X-TARGETDURATION from {from} to {to}")
    });
    if new.media_sequence < old.media_sequence {
        return;
    }
    let gone = (new.media_sequence - old.media_sequence) as usize;
    check_removed(old, new, gone, faults);
    for (index, before) in old.segments.iter().enumerate().skip(gone) {
        match new.segments.get(index - gone) {
            Some(after) => check_same(before, after, index == gone, faults),
            None => faults.require(false, Rule::Unchanged, || {
                format!("{:?} has gone from the end", before.uri)
            }),
        }
    }
    let grows = new.segments.len() + gone > old.segments.len();
    faults.require(!(old.ended && grows), Rule::Unchanged, || {
        "something follows EXT-X-ENDLIST".into()
    });
}

fn check_removed(old: &MediaPlaylist, new: &MediaPlaylist, gone: usize, faults: &mut Faults) {
    // The discontinuity before the first segment of a playlist is counted but not listed.
    let now_first = old
        .segments
        .iter()
        .skip(1)
        .take(gone)
        .filter(|segment| segment.discontinuity)
        .count() as u64;
    let expected = old.discontinuity_sequence + now_first;
    if gone < old.segments.len() {
        faults.require(
            new.discontinuity_sequence == expected,
            Rule::DiscontinuitySequence,
            || format!("{} where {expected} is due", new.discontinuity_sequence),
        );
    }
    let least = 3 * new.target_duration * SECOND;
    faults.require(gone == 0 || new.duration() >= least, Rule::Window, || {
        format!(
            "{gone} segments left a playlist that lasts {} us now",
            new.duration()
        )
    });
}

fn check_same(before: &Segment, after: &Segment, is_first: bool, faults: &mut Faults) {
    let same_head = before.date_time == after.date_time
        && before.map == after.map
        && (is_first || before.discontinuity == after.discontinuity);
    let same_end = before.uri.is_none()
        || (before.uri == after.uri
            && before.duration == after.duration
            && before.gap == after.gap);
    let may_drop_parts = after.uri.is_some() && after.parts.is_empty();
    let same_parts = may_drop_parts || after.parts.starts_with(&before.parts);
    faults.require(same_head && same_end && same_parts, Rule::Unchanged, || {
        format!("{before:?} became {after:?}")
    });
}
