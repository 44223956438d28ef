//! Detects encoders that give each frame of a track the same timestamp.

/// A clock counts as standing still after this many frames in a row with the same timestamp. A
/// working encoder never sends so many.
const FRAMES_MAX: u32 = 50;

/// Watches the timestamps of one track.
#[derive(Default)]
pub struct Standstill {
    last: Option<u32>,
    repeated: u32,
}

impl Standstill {
    /// Takes the next timestamp. Returns whether the clock stands still.
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
