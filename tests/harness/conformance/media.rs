//! Rules of sections, segments and parts, and of what playlists say about them.

use super::fragment::{Fragment, Init, Sample};
use super::playlist::Segment;
use super::{Faults, Rule};
use std::collections::BTreeMap;

/// Largest error of a duration because of printing, microseconds.
const PRINTED: u64 = 20;
/// From this distance on, Shaka moves what follows, microseconds.
const MISPLACED: u64 = 1_000;
/// The last sample of a GOP has a duration in whole units, so the next one may be off by this much.
const ROUNDED: u64 = 2;
/// NAL unit type of a coded slice of an IDR picture (ITU-T H.264, table 7-1).
const IDR: u8 = 5;

/// A segment with its bytes.
#[derive(Clone, Debug, Default)]
pub struct Coded {
    /// Its URI.
    pub uri: String,
    /// EXTINF, microseconds.
    pub duration: u64,
    /// Whether there is a discontinuity before it.
    pub discontinuity: bool,
    /// The URI of its initialization section.
    pub map: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its fragments.
    pub fragments: Vec<Fragment>,
    /// DURATION of its parts, microseconds; empty if they were not listed.
    pub parts: Vec<u64>,
}

/// Checks that the tracks of `init` are different and complete.
pub fn check_init(uri: &str, init: &Init, faults: &mut Faults) {
    for track in &init.tracks {
        faults.require(track.timescale > 0, Rule::InitSection, || {
            format!("{uri}: track {} has no timescale", track.id)
        });
        let same = init
            .tracks
            .iter()
            .filter(|other| other.id == track.id || other.handler == track.handler)
            .count();
        faults.require(same == 1, Rule::InitSection, || {
            format!("{uri}: track {} comes {same} times", track.id)
        });
        let is_named = track.codec.is_some();
        faults.require(is_named, Rule::Codecs, || {
            format!("{uri}: track {} is of no known codec", track.id)
        });
    }
}

/// Checks a segment against its entry in the playlist, and its parts against both. `parts` has the
/// bytes of the listed parts in order.
pub fn check_segment(
    listed: &Segment,
    coded: &Coded,
    parts: &[Vec<u8>],
    independent: bool,
    init: &Init,
    faults: &mut Faults,
) {
    let uri = &coded.uri;
    check_duration(uri, listed.duration, &coded.fragments, init, faults);
    check_samples(uri, &coded.fragments, &coded.bytes, init, faults);
    let starts = starts_with_sync(&coded.fragments, init);
    faults.require(starts || !independent, Rule::Independent, || {
        format!("{uri} does not start with a sync sample under EXT-X-INDEPENDENT-SEGMENTS")
    });
    if !listed.parts.is_empty() {
        let same = parts.concat() == coded.bytes;
        faults.require(same, Rule::SameBytes, || {
            format!("{uri} is not its {} parts one after the other", parts.len())
        });
    }
    for (part, bytes) in listed.parts.iter().zip(parts) {
        let fragments = super::fragments(&part.uri, bytes, faults);
        check_duration(&part.uri, part.duration, &fragments, init, faults);
        let starts = starts_with_sync(&fragments, init);
        faults.require(starts || !part.independent, Rule::Independent, || {
            format!(
                "{} is INDEPENDENT and does not start with a sync sample",
                part.uri
            )
        });
    }
}

/// A duration may differ from its samples by one sample, which reaches into the next segment or
/// part. [`check_timeline`] checks that these differences do not add up.
fn check_duration(uri: &str, told: u64, fragments: &[Fragment], init: &Init, faults: &mut Faults) {
    let lasts = durations(fragments, init);
    let slack = longest_sample(fragments, init) + PRINTED * (fragments.len() as u64 + 1);
    // A picture with a long duration is in the part in which its duration becomes known. The part
    // then lasts as long as its audio.
    let is_near = lasts.iter().any(|lasts| lasts.abs_diff(told) <= slack);
    faults.require(is_near, Rule::Duration, || {
        format!("{uri}: {told} us are told, its samples last {lasts:?} us")
    });
}

/// Returns the total duration of the samples of each track, microseconds.
fn durations(fragments: &[Fragment], init: &Init) -> Vec<u64> {
    let of_track = |id: u32| {
        let samples = fragments
            .iter()
            .flat_map(|fragment| &fragment.tracks)
            .filter(|(track, ..)| *track == id);
        let units: u64 = samples
            .flat_map(|(_, _, samples)| samples)
            .map(|sample| u64::from(sample.duration))
            .sum();
        units * 1_000_000 / timescale(init, id)
    };
    init.tracks.iter().map(|track| of_track(track.id)).collect()
}

/// Returns the duration of the longest sample, microseconds.
fn longest_sample(fragments: &[Fragment], init: &Init) -> u64 {
    let tracks = fragments.iter().flat_map(|fragment| &fragment.tracks);
    let samples = tracks.flat_map(|(id, _, samples)| {
        samples
            .iter()
            .map(|sample| (*id, u64::from(sample.duration)))
    });
    samples
        .map(|(id, duration)| duration * 1_000_000 / timescale(init, id))
        .max()
        .unwrap_or(0)
}

fn timescale(init: &Init, id: u32) -> u64 {
    let track = init.tracks.iter().find(|track| track.id == id);
    track.map_or(1, |track| u64::from(track.timescale).max(1))
}

/// Returns whether the first picture is a sync sample. Audio always starts with one.
pub(super) fn starts_with_sync(fragments: &[Fragment], init: &Init) -> bool {
    let Some(video) = init.video() else {
        return true;
    };
    // While pictures are far apart, the first one may come after fragments of audio.
    let mut pictures = fragments
        .iter()
        .flat_map(|fragment| &fragment.tracks)
        .filter(|(id, ..)| *id == video.id)
        .flat_map(|(_, _, samples)| samples);
    pictures.next().is_some_and(|sample| sample.sync)
}

fn check_samples(
    uri: &str,
    fragments: &[Fragment],
    bytes: &[u8],
    init: &Init,
    faults: &mut Faults,
) {
    for (id, _, samples) in fragments.iter().flat_map(|fragment| &fragment.tracks) {
        let is_known = init.tracks.iter().any(|track| track.id == *id);
        faults.require(is_known, Rule::Fragment, || {
            format!("{uri}: track {id} is not in its section")
        });
        let is_empty = samples.iter().any(|sample| sample.duration == 0);
        faults.require(!is_empty, Rule::Duration, || {
            format!("{uri}: a sample of track {id} has no duration")
        });
        if init.video().is_some_and(|video| video.id == *id) {
            let wrong = samples
                .iter()
                .position(|sample| sample.sync != is_idr(sample, bytes));
            faults.require(wrong.is_none(), Rule::SyncSample, || {
                format!("{uri}: picture {wrong:?} is marked wrong")
            });
        }
    }
}

/// Returns whether an H.264 picture is an IDR picture. NAL unit lengths must have four bytes.
fn is_idr(sample: &Sample, bytes: &[u8]) -> bool {
    let mut rest = bytes.get(sample.bytes.clone()).unwrap_or_default();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        if after.first().is_some_and(|head| head & 0x1f == IDR) {
            return true;
        }
        rest = after
            .get(u32::from_be_bytes(*length) as usize..)
            .unwrap_or_default();
    }
    false
}

/// Checks that segments in a row form one timeline: times continue, and fragment numbers rise by
/// one. At a discontinuity, fragment numbers only have to rise.
pub fn check_timeline(segments: &[Coded], init: &Init, faults: &mut Faults) {
    for run in segments.chunk_by(|_, next| !next.discontinuity) {
        check_drift(run, init, faults);
        check_placement(run, faults);
    }
    let mut due: BTreeMap<u32, u64> = BTreeMap::new();
    let mut number = None;
    for segment in segments {
        if segment.discontinuity {
            due.clear();
        }
        for (index, fragment) in segment.fragments.iter().enumerate() {
            let now = fragment.sequence_number;
            let may_skip = index == 0 && segment.discontinuity;
            let follows = number.is_none_or(|before: u32| {
                now == before.wrapping_add(1) || (may_skip && now > before)
            });
            faults.require(follows, Rule::SequenceNumber, || {
                format!("{}: {now} after {number:?}", segment.uri)
            });
            number = Some(now);
            for (id, time, samples) in &fragment.tracks {
                let expected = due.get(id).copied().unwrap_or(*time);
                faults.require(time.abs_diff(expected) <= ROUNDED, Rule::DecodeTime, || {
                    format!(
                        "{}: track {id} at {time} where {expected} is due",
                        segment.uri
                    )
                });
                due.insert(
                    *id,
                    time + samples
                        .iter()
                        .map(|sample| u64::from(sample.duration))
                        .sum::<u64>(),
                );
            }
        }
    }
}

/// Checks that the sum of EXTINF over segments in a row is the duration of their samples, except
/// for one sample.
fn check_drift(run: &[Coded], init: &Init, faults: &mut Faults) {
    let told: u64 = run.iter().map(|segment| segment.duration).sum();
    let fragments: Vec<_> = run
        .iter()
        .flat_map(|segment| segment.fragments.iter().cloned())
        .collect();
    let lasts = durations(&fragments, init);
    let slack = longest_sample(&fragments, init) + PRINTED * run.len() as u64;
    let is_near = lasts.iter().any(|lasts| lasts.abs_diff(told) <= slack);
    faults.require(is_near, Rule::Duration, || {
        let from = run.first().map(|segment| segment.uri.as_str());
        format!(
            "from {from:?} on {} segments last {lasts:?} us, and {told} us are told",
            run.len()
        )
    });
}

/// Checks that each segment and part begins where the durations before it add up to.
fn check_placement(run: &[Coded], faults: &mut Faults) {
    let mut due = None;
    for segment in run {
        let are_parts_listed = segment.parts.len() == segment.fragments.len();
        let checked = if are_parts_listed { usize::MAX } else { 1 };
        let mut part_due = due;
        for (index, fragment) in segment.fragments.iter().enumerate().take(checked) {
            let Some(begins_at) = fragment.tracks.first().map(|(_, time, _)| *time) else {
                continue;
            };
            let expected = *part_due.get_or_insert(begins_at);
            due.get_or_insert(begins_at);
            faults.require(
                begins_at.abs_diff(expected) < MISPLACED,
                Rule::Placement,
                || {
                    format!(
                        "part {index} of {}: begins at {begins_at} us, {expected} us is due",
                        segment.uri
                    )
                },
            );
            part_due = segment.parts.get(index).map(|part| expected + part);
        }
        due = due.map(|due| due + segment.duration);
    }
}
