//! EXT-X-PROGRAM-DATE-TIME: the wall clock where counting began, and the time on the timeline since.
//!
//! Between two anchors the dates of two segments are as far apart as what lies between them lasts, whenever it arrived.

/// Dates count anew only if they are this far behind the wall clock, milliseconds: less is how unsteadily media arrives.
const BEHIND_MS_MIN: u64 = 250;
/// Or this far ahead of it. A step back makes Shaka (5.2) list a segment twice and leave out pictures, so small ones are not
/// worth it.
const AHEAD_MS_MIN: u64 = 1_000;

/// The date of one moment, from which those of all others follow.
#[derive(Default)]
pub struct Date {
    /// Microseconds on the timeline, and Unix milliseconds.
    anchor: Option<(u64, u64)>,
}

impl Date {
    /// The date of `micros` in Unix milliseconds; `wall_clock_ms` if counting begins there.
    pub fn at(&mut self, micros: u64, wall_clock_ms: u64) -> u64 {
        let (from, date_ms) = *self.anchor.get_or_insert((micros, wall_clock_ms));
        date_ms + micros.saturating_sub(from) / 1000
    }

    /// Has counting begin anew at `micros`, where a discontinuity is, if it has left the wall clock.
    pub fn count_anew(&mut self, micros: u64, wall_clock_ms: u64) {
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
    fn dates_advance_with_the_timeline_whenever_media_arrives() {
        let mut date = Date::default();
        assert_eq!(date.at(5_000_000, NOON_MS), NOON_MS);
        assert_eq!(date.at(7_000_000, NOON_MS + 9_000), NOON_MS + 2_000);
        assert_eq!(date.at(9_002_999, NOON_MS), NOON_MS + 4_002);
    }

    #[test]
    fn at_a_discontinuity_dates_count_anew_if_they_have_left_the_wall_clock() {
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
            date.count_anew(2_000_000, NOON_MS + arrives_ms);
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
