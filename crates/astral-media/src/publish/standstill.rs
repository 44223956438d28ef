//! A clock that stands still: an encoder that gives each frame of a track the same timestamp.

/// How many frames in a row have the same timestamp when the clock is said to stand: more than any encoder joins.
const FRAMES_MAX: u32 = 50;

/// Watches the timestamps of one track.
#[derive(Default)]
pub struct Standstill {
    last: Option<u32>,
    repeated: u32,
}

impl Standstill {
    /// Takes the next timestamp; whether the clock has stood for so long that it must be said.
    pub fn has_begun(&mut self, timestamp_ms: u32) -> bool {
        let stands = self.last.replace(timestamp_ms) == Some(timestamp_ms);
        self.repeated = if stands {
            self.repeated.saturating_add(1)
        } else {
            0
        };
        self.repeated >= FRAMES_MAX
    }
}
