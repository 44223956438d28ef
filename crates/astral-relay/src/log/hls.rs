//! The log as HLS: playlists of what is held, and the bytes behind their URLs.

use super::Log;
use super::buffer::Buffer;
use super::gop::Gop;
use astral_media::fmp4::{CompletedPart, init_section};
use astral_media::hls::{MediaPlaylist, PartRef, PreloadHint, Segment};
use astral_proto::EpochId;
use bytes::Bytes;
use std::time::Duration;

/// PART-TARGET is the first of these that no part is over, so that it stays the same while parts vary a little; longer parts
/// raise it further. Parts of 199 ms are 85 % of the last (rfc8216bis, 4.4.4.9).
const PART_TARGETS_MICROS: [u64; 3] = [200_000, 210_000, 234_000];
/// PART-TARGET for longer parts is told in steps of this, microseconds.
const PART_TARGET_STEP_MICROS: u64 = 10_000;
/// A hole in the numbers wider than this starts the playlist anew behind it.
const HOLE_MAX: u64 = 16;

/// What is behind a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// These bytes.
    Here(Vec<Bytes>),
    /// Nothing yet, but it is what comes next.
    Ahead,
    /// Nothing: long gone, never there, or not whole.
    Missing,
}

impl Log {
    /// The media playlist; none before the target duration is fixed and something can be listed.
    pub fn playlist(&self) -> Option<MediaPlaylist> {
        self.read_lock().playlist()
    }

    /// Whether every GOP so far can be decoded without another, as far as is known: one GOP has ended by itself.
    pub fn is_independent(&self) -> bool {
        let held = self.read_lock();
        let has_ended = held.gops.iter().any(|gop| gop.end.is_some());
        has_ended && held.gops.iter().all(|gop| gop.start.independent)
    }

    /// The largest bit rate of a whole segment held, bits a second; 0 before there is one (rfc8216bis, 1.2).
    pub fn peak_bits_per_second(&self) -> u64 {
        let held = self.read_lock();
        let whole = held.gops.iter().filter(|gop| gop.end.is_some());
        let rates = whole.filter_map(|gop| {
            let bits: usize = gop.parts.iter().map(|part| part.bytes.length * 8).sum();
            (bits as u64 * 1_000_000).checked_div(gop.duration_us())
        });
        rates.max().unwrap_or(0)
    }

    /// The number of the fragment that follows those held, if what is held ends right before GOP `first_gop`.
    pub fn fragment_after(&self, first_gop: u64) -> Option<u32> {
        let held = self.read_lock();
        let newest = held
            .gops
            .back()
            .filter(|gop| gop.start.gop + 1 == first_gop && gop.is_whole())?;
        Some(
            newest
                .start
                .first_fragment
                .wrapping_add(newest.parts.len() as u32),
        )
    }

    /// The initialisation section `init` of `epoch`.
    pub fn init_section(&self, epoch: EpochId, init: u32) -> Lookup {
        let held = self.read_lock();
        let held = held.gops.iter().map(|gop| &gop.start.parameters);
        let mut matching =
            held.filter(|parameters| (parameters.epoch_id(), parameters.init) == (epoch, init));
        let section = matching
            .next()
            .and_then(|parameters| init_section(parameters).ok());
        section.map_or(Lookup::Missing, |section| Lookup::Here(vec![section]))
    }

    /// The segment of a GOP.
    pub fn segment(&self, epoch: EpochId, gop: u64) -> Lookup {
        self.read_lock().lookup(epoch, gop, |held| {
            let all = || {
                held.parts
                    .iter()
                    .flat_map(|part| part.bytes.pieces.iter().cloned())
            };
            held.is_whole().then(|| all().collect())
        })
    }

    /// A part of a GOP.
    pub fn part(&self, epoch: EpochId, gop: u64, part: u32) -> Lookup {
        self.read_lock().lookup(epoch, gop, |held| {
            held.parts
                .get(part as usize)
                .map(|part| part.bytes.pieces.clone())
        })
    }

    /// Whether a playlist now would show part `part` of GOP `gop`, or the whole GOP if `part` is none.
    pub fn shows(&self, gop: u64, part: Option<u32>) -> bool {
        let held = self.read_lock();
        let Some(newest) = held.gops.back() else {
            return false;
        };
        let number = newest.start.gop;
        let in_newest =
            newest.end.is_some() || part.is_some_and(|part| newest.parts.len() > part as usize);
        held.ended || number > gop || (number == gop && in_newest)
    }

    /// Whether GOP `gop` is further ahead than a player may ask for (rfc8216bis, 6.2.5.2).
    pub fn is_far_ahead(&self, gop: u64) -> bool {
        self.read_lock()
            .gops
            .back()
            .is_some_and(|newest| gop > newest.start.gop + 2)
    }
}

impl Buffer {
    pub(super) fn playlist(&self) -> Option<MediaPlaylist> {
        let target_duration_seconds = self.target_duration_seconds()?;
        let from = self.first_listed()?;
        let mut segments: Vec<Segment> = Vec::new();
        let mut independent_segments = true;
        let mut discontinuity = self.gops[from].start.discontinuity;
        let discontinuity_sequence = discontinuity;
        for gop in self.gops.iter().skip(from) {
            if let Some(last) = segments.last_mut() {
                if !last.complete {
                    last.duration_us = missing_us(gop, last, 1, target_duration_seconds);
                }
                let hole = hole_before(gop, last, target_duration_seconds);
                segments.extend(hole);
            }
            let is_last = gop.start.gop == self.gops.back()?.start.gop;
            // How long a GOP is of which a piece is missing is only known at its end, or when the next begins.
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
            part_target_us: self.part_target_us(),
            media_sequence: segments.first()?.gop,
            discontinuity_sequence,
            independent_segments,
            preload_hint: self.preload_hint(),
            segments,
            ended: self.ended,
        })
    }

    /// The first GOP to list: everything from there on is whole, open, or named as a gap.
    fn first_listed(&self) -> Option<usize> {
        let is_after_hole =
            |at: &usize| self.gops[*at].start.gop - self.gops[at - 1].start.gop > HOLE_MAX;
        let after_hole = (1..self.gops.len()).rev().find(is_after_hole).unwrap_or(0);
        let listed = |gop: &Gop| {
            gop.start.gop >= self.listed_from && gop.first_number == 0 && !gop.parts.is_empty()
        };
        self.gops
            .iter()
            .enumerate()
            .skip(after_hole)
            .find(|(_, gop)| listed(gop))
            .map(|(at, _)| at)
    }

    fn part_target_us(&self) -> u64 {
        let parts = self.gops.iter().flat_map(|gop| gop.parts.iter());
        let longest = parts.map(|part| part.duration).max().unwrap_or(0);
        let usual = PART_TARGETS_MICROS
            .into_iter()
            .find(|target| longest <= *target);
        usual.unwrap_or(longest.div_ceil(PART_TARGET_STEP_MICROS) * PART_TARGET_STEP_MICROS)
    }

    fn preload_hint(&self) -> Option<PreloadHint> {
        let newest = self.gops.back().filter(|_| !self.ended)?;
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

    fn lookup(
        &self,
        epoch: EpochId,
        number: u64,
        bytes: impl Fn(&Gop) -> Option<Vec<Bytes>>,
    ) -> Lookup {
        let Some(newest) = self.gops.back() else {
            return Lookup::Missing;
        };
        let of_newest = newest.start.parameters.epoch_id();
        let may_come = epoch.incarnation == of_newest.incarnation && epoch.epoch >= of_newest.epoch;
        if number == newest.start.gop + 1 && may_come && !self.ended {
            return Lookup::Ahead;
        }
        let held = self.gops.iter().find(|gop| gop.start.gop == number);
        let Some(gop) = held.filter(|gop| gop.start.parameters.epoch_id() == epoch) else {
            return Lookup::Missing;
        };
        let is_open = gop.end.is_none() && gop.start.gop == newest.start.gop && !self.ended;
        match bytes(gop) {
            Some(bytes) => Lookup::Here(bytes),
            None if is_open => Lookup::Ahead,
            None => Lookup::Missing,
        }
    }
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

/// The gaps that stand for the GOPs between `last` and `next`, which are not held. How long each was is not known, only how
/// long all of them were.
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

/// How long the `count` GOPs from that of `first` to `next` last, as dates have it, and at most their target durations.
fn missing_us(next: &Gop, first: &Segment, count: u64, target_duration_seconds: u32) -> u64 {
    let most_us = u64::from(target_duration_seconds) * 1_000_000 * count;
    let missing = next.start.program_date_time.since(first.program_date_time);
    u64::try_from(missing.as_micros())
        .unwrap_or(u64::MAX)
        .min(most_us)
}
