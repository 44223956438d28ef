//! EXT-X-PROGRAM-DATE-TIME: the wall clock at an anchor, plus the time on the timeline since then.
//!
//! Arrival times jitter, and a burst moves them by seconds. If dates followed them, Shaka (5.2)
//! would shift its timeline in the middle of a GOP, and Chrome would drop pictures. So the dates of
//! two segments differ by exactly the duration of the media between them, until a discontinuity
//! allows a new anchor.

/// At a discontinuity, dates get a new anchor if they are this far behind the wall clock,
/// milliseconds. A smaller difference is jitter.
const BEHIND_MS_MIN: u64 = 250;
/// They also get one if they are this far ahead of it, milliseconds. A step back makes Shaka (5.2)
/// list a segment twice and skip pictures, so a small one is not worth it.
const AHEAD_MS_MIN: u64 = 1_000;

/// The date of one moment, from which those of all others follow.
#[derive(Default)]
pub struct Date {
    /// Microseconds on the timeline, and Unix milliseconds.
    anchor: Option<(u64, u64)>,
}

impl Date {
    /// Returns the date at `micros` on the timeline, in Unix milliseconds. The first call sets the
    /// anchor to `wall_clock_ms`.
    pub fn at(&mut self, micros: u64, wall_clock_ms: u64) -> u64 {
        let (from, date_ms) = *self.anchor.get_or_insert((micros, wall_clock_ms));
        date_ms + micros.saturating_sub(from) / 1000
    }

    /// Sets a new anchor at the discontinuity at `micros`, if dates differ too much from
    /// `wall_clock_ms`.
    pub fn adjust(&mut self, micros: u64, wall_clock_ms: u64) {
        let date_ms = self.at(micros, wall_clock_ms);
        let is_behind = date_ms + BEHIND_MS_MIN <= wall_clock_ms;
        let is_ahead = wall_clock_ms + AHEAD_MS_MIN <= date_ms;
        if is_behind || is_ahead {
            self.anchor = Some((micros, wall_clock_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_MS: u64 = 1_700_000_000_000;

    #[test]
    fn dates_advance_with_the_timeline_and_not_with_the_arrival_of_media() {
        let mut date = Date::default();
        assert_eq!(date.at(5_000_000, NOON_MS), NOON_MS);
        assert_eq!(date.at(7_000_000, NOON_MS + 9_000), NOON_MS + 2_000);
        assert_eq!(date.at(9_002_999, NOON_MS), NOON_MS + 4_002);
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
            date.at(0, NOON_MS);
            date.adjust(2_000_000, NOON_MS + arrives_ms);
            assert_eq!(
                date.at(2_000_000, NOON_MS),
                NOON_MS + expected_ms,
                "{arrives_ms}"
            );
            assert_eq!(
                date.at(3_000_000, NOON_MS),
                NOON_MS + expected_ms + 1_000,
                "{arrives_ms}"
            );
        }
    }
}
