//! Which GOPs a playlist lists, and which are kept after they have left it.
//!
//! A segment that has left the playlist stays available for its own duration and that of the longest playlist that
//! listed it (rfc8216bis, 6.2.2). Time is what media lasts: a pause between two publishes is none.

use super::buffer::Buffer;
use super::gop::Gop;

/// Length of a playlist, in target durations.
const LISTED_TARGETS: u64 = 6;
/// Length of a playlist that a small cache shortens, in target durations (rfc8216bis, 6.2.2: at least three).
const LISTED_TARGETS_MIN: u64 = 3;
/// Fewest GOPs a relay keeps, whatever their size.
const KEPT_GOPS_MIN: usize = 2;

impl Buffer {
    /// Takes GOPs out of the playlist, and lets go of those that need not be kept.
    pub fn slide(&mut self, cache_bytes_max: usize) {
        if let Some(target) = self.target_duration_seconds() {
            let target_us = u64::from(target) * 1_000_000;
            let listed_us = self.listed_us(target_us, cache_bytes_max);
            self.listed_from = self.listed_from.max(self.first_of_last(listed_us));
            self.evict_spare(2 * LISTED_TARGETS * target_us);
        }
        self.evict_over(cache_bytes_max);
    }

    /// How much to list: six target durations, or so much that what leaves the playlist can stay for as long again.
    fn listed_us(&self, target_us: u64, cache_bytes_max: usize) -> u64 {
        let held_us: u64 = self.gops.iter().map(Gop::duration_us).sum();
        let room_us = u128::from(held_us) * cache_bytes_max as u128 / self.bytes.max(1) as u128;
        let room_us = u64::try_from(room_us).unwrap_or(u64::MAX);
        let half_us = room_us.saturating_sub(2 * target_us) / 2;
        half_us.clamp(LISTED_TARGETS_MIN * target_us, LISTED_TARGETS * target_us)
    }

    /// The first of the newest GOPs that together last `us`.
    fn first_of_last(&self, us: u64) -> u64 {
        let mut after_us = 0;
        let first = self.gops.iter().rev().find(|gop| {
            after_us += gop.duration_us();
            after_us >= us
        });
        first.map_or(0, |gop| gop.start.gop)
    }

    fn evict_spare(&mut self, kept_us: u64) {
        let mut held_us: u64 = self.gops.iter().map(Gop::duration_us).sum();
        while let Some(front) = self.gops.front() {
            let duration_us = front.duration_us();
            held_us -= duration_us;
            let is_spare =
                front.start.gop < self.listed_from && held_us >= kept_us + 2 * duration_us;
            if !is_spare {
                return;
            }
            self.evict_front();
        }
    }

    fn evict_over(&mut self, cache_bytes_max: usize) {
        while self.gops.len() > KEPT_GOPS_MIN && self.bytes > cache_bytes_max {
            self.evict_front();
        }
    }

    fn evict_front(&mut self) {
        let gone = self.gops.pop_front();
        self.bytes -= gone.map_or(0, |gop| gop.memory_bytes());
    }
}
