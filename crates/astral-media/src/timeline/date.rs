//! EXT-X-PROGRAM-DATE-TIME: the wall clock where counting began, and the time on the timeline since.

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
}
