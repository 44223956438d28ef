//! Which GOPs a playlist lists, and for how long GOPs stay after they have left it.
//!
//! A segment that leaves the playlist must stay available for its own duration plus the duration of
//! the longest playlist that listed it (rfc8216bis, 6.2.2), so that a player with an old playlist
//! can still fetch it. So the log holds about twice what the playlist lists. Time is the duration
//! of media here: a pause between two publishes counts nothing, because no playlist grows in it.

use super::gop::Gop;
use super::gops::Gops;

/// Length of a playlist, in target durations.
const LISTED_TARGETS: u64 = 6;
/// Length of a playlist that a small cache shortens, in target durations (rfc8216bis, 6.2.2: at
/// least three).
const LISTED_TARGETS_MIN: u64 = 3;
/// Fewest GOPs that a relay keeps, whatever their size: the open one, and the one that readers are
/// finishing.
const KEPT_GOPS_MIN: usize = 2;

/// The part of a log that its playlist lists.
#[derive(Default)]
pub struct Window {
    listed_from: u64,
}

impl Window {
    /// The first GOP that a playlist may list. It never falls, so that EXT-X-MEDIA-SEQUENCE does
    /// not fall either.
    pub fn listed_from(&self) -> u64 {
        self.listed_from
    }

    /// Takes old GOPs out of the playlist, and drops those that need not stay. Memory comes first:
    /// a log over its limit drops GOPs even if the playlist lists them.
    pub fn slide(&mut self, gops: &mut Gops, cache_bytes_max: usize) {
        if let Some(target) = gops.target_duration_seconds() {
            let target_us = u64::from(target) * 1_000_000;
            let listed_us = listed_us(gops, target_us, cache_bytes_max);
            self.listed_from = self.listed_from.max(first_of_last(gops, listed_us));
            self.evict_spare(gops, 2 * LISTED_TARGETS * target_us);
        }
        while gops.len() > KEPT_GOPS_MIN && gops.memory_bytes() > cache_bytes_max {
            gops.evict_oldest();
        }
    }

    /// Drops the oldest GOPs while the rest lasts `kept_us` and two times the duration of the
    /// dropped one: once for its own duration, as the standard asks, and once because a playlist
    /// starts with a whole GOP, and so may be longer than it should by almost one GOP.
    fn evict_spare(&self, gops: &mut Gops, kept_us: u64) {
        let mut held_us = gops.duration_us();
        while let Some(oldest) = gops.oldest() {
            let duration_us = oldest.duration_us();
            held_us -= duration_us;
            let is_spare =
                oldest.start.gop < self.listed_from && held_us >= kept_us + 2 * duration_us;
            if !is_spare {
                return;
            }
            gops.evict_oldest();
        }
    }
}

/// How much to list, microseconds: six target durations, or less if the cache is small. At the
/// present bitrate the cache has room for `room_us`. Half of that can be listed, because what
/// leaves the playlist stays for as long again; two target durations are set aside, which
/// [`Window::evict_spare`] needs.
fn listed_us(gops: &Gops, target_us: u64, cache_bytes_max: usize) -> u64 {
    let held_us = u128::from(gops.duration_us());
    let room_us = held_us * cache_bytes_max as u128 / gops.memory_bytes().max(1) as u128;
    let room_us = u64::try_from(room_us).unwrap_or(u64::MAX);
    let half_us = room_us.saturating_sub(2 * target_us) / 2;
    half_us.clamp(LISTED_TARGETS_MIN * target_us, LISTED_TARGETS * target_us)
}

/// The first of the newest GOPs that together last `us`; 0 if all together are shorter.
fn first_of_last(gops: &Gops, us: u64) -> u64 {
    let mut after_us = 0;
    let first = gops.iter().rev().find(|gop: &&Gop| {
        after_us += gop.duration_us();
        after_us >= us
    });
    first.map_or(0, |gop| gop.start.gop)
}
