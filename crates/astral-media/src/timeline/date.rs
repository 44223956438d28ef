//! EXT-X-PROGRAM-DATE-TIME: the wall clock at an anchor, plus the time on the timeline since then.
//!
//! Arrival times jitter, and a burst moves them by seconds. If dates followed them, Shaka (5.2)
//! would shift its timeline in the middle of a GOP, and Chrome would drop pictures. So the dates of
//! two segments differ by exactly the duration of the media between them, until a discontinuity
//! allows a new anchor.

use astral_proto::UnixMillis;
use std::time::Duration;

/// At a discontinuity, dates get a new anchor if they are this far behind the wall clock. A smaller
/// difference is jitter.
const BEHIND_MIN: Duration = Duration::from_millis(250);
/// They also get one if they are this far ahead of it. A step back makes Shaka (5.2) list a segment
/// twice and skip pictures, so a small one is not worth it.
const AHEAD_MIN: Duration = Duration::from_secs(1);

/// The date of one moment (the anchor), from which all other dates are computed.
#[derive(Default)]
pub struct Date {
    /// Microseconds on the timeline, and the date there.
    anchor: Option<(u64, UnixMillis)>,
}

impl Date {
    /// Returns the date at `micros` on the timeline. The first call sets the anchor to
    /// `wall_clock`.
    pub fn at(&mut self, micros: u64, wall_clock: UnixMillis) -> UnixMillis {
        let (from, date) = *self.anchor.get_or_insert((micros, wall_clock));
        date + Duration::from_micros(micros.saturating_sub(from))
    }

    /// Sets a new anchor at the discontinuity at `micros`, if dates differ too much from
    /// `wall_clock`.
    pub fn adjust(&mut self, micros: u64, wall_clock: UnixMillis) {
        let date = self.at(micros, wall_clock);
        let is_behind = date + BEHIND_MIN <= wall_clock;
        let is_ahead = wall_clock + AHEAD_MIN <= date;
        if is_behind || is_ahead {
            self.anchor = Some((micros, wall_clock));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A date `millis` milliseconds after the first one.
    fn later(millis: u64) -> UnixMillis {
        UnixMillis::new(1_700_000_000_000 + millis)
    }

    #[test]
    fn dates_advance_with_the_timeline_and_not_with_the_arrival_of_media() {
        let mut date = Date::default();
        assert_eq!(date.at(5_000_000, later(0)), later(0));
        assert_eq!(date.at(7_000_000, later(9_000)), later(2_000));
        assert_eq!(date.at(9_002_999, later(0)), later(4_002));
    }

    #[test]
    fn dates_follow_the_wall_clock_again_at_a_discontinuity_if_they_differ_too_much() {
        for (arrives_ms, expected_ms) in [
            (2_000, 2_000),
            (2_249, 2_000),
            (2_250, 2_250),
            (9_000, 9_000),
            (1_001, 2_000),
            (1_000, 1_000),
        ] {
            let mut date = Date::default();
            date.at(0, later(0));
            date.adjust(2_000_000, later(arrives_ms));
            assert_eq!(
                date.at(2_000_000, later(0)),
                later(expected_ms),
                "{arrives_ms}"
            );
            assert_eq!(
                date.at(3_000_000, later(0)),
                later(expected_ms + 1_000),
                "{arrives_ms}"
            );
        }
    }
}
