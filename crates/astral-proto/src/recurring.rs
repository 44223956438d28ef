//! Trouble that comes again and again: a log names it once, and then says once a minute how often it has come.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time between two lines about the same trouble.
pub const TOLD_EVERY: Duration = Duration::from_secs(60);
/// Different troubles that are remembered; the one told longest ago makes room for a further one.
const TROUBLES_MAX: usize = 64;

/// Decides which of many occurrences of the same trouble are worth a line in the log.
///
/// Trouble that ends and returns within a minute counts as the same trouble, so a connection that is made and lost
/// again every second does not write two lines a second.
#[derive(Debug)]
pub struct Recurring(Mutex<Known>);

impl Default for Recurring {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug)]
struct Known {
    troubles: Vec<Trouble>,
    /// Whether a line said that there is trouble, and none since said that it is over.
    told: bool,
}

#[derive(Debug)]
struct Trouble {
    what: String,
    told_at: Instant,
    /// How often it has come since it was last told.
    times: u64,
}

impl Recurring {
    /// No trouble yet. A `static` beside the line that it limits will do.
    pub const fn new() -> Self {
        Self(Mutex::new(Known {
            troubles: Vec::new(),
            told: false,
        }))
    }

    /// `what` has happened at `now`. If a line about it is due: how often it has happened since the last one, 1 the first
    /// time.
    pub fn occurred(&self, what: &str, now: Instant) -> Option<u64> {
        let mut known = self.lock();
        let times = known.occurred(what, now)?;
        known.told = true;
        Some(times)
    }

    /// The trouble is over. Whether a line should say so: only if one said that there was trouble.
    pub fn ended(&self) -> bool {
        std::mem::take(&mut self.lock().told)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn occurred(&mut self, what: &str, now: Instant) -> Option<u64> {
        let Some(trouble) = self
            .troubles
            .iter_mut()
            .find(|trouble| trouble.what == what)
        else {
            self.remember(what, now);
            return Some(1);
        };
        trouble.times += 1;
        if now.saturating_duration_since(trouble.told_at) < TOLD_EVERY {
            return None;
        }
        trouble.told_at = now;
        Some(std::mem::take(&mut trouble.times))
    }

    fn remember(&mut self, what: &str, now: Instant) {
        if self.troubles.len() >= TROUBLES_MAX {
            self.troubles.sort_by_key(|trouble| trouble.told_at);
            self.troubles.remove(0);
        }
        self.troubles.push(Trouble {
            what: what.to_owned(),
            told_at: now,
            times: 0,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_once_and_then_counted_each_minute() {
        let recurring = Recurring::default();
        let start = Instant::now();
        assert_eq!(recurring.occurred("full", start), Some(1));
        for _ in 0..1_000 {
            assert_eq!(
                recurring.occurred("full", start + Duration::from_secs(59)),
                None
            );
        }
        assert_eq!(recurring.occurred("full", start + TOLD_EVERY), Some(1_001));
        assert_eq!(
            recurring.occurred("read-only", start + TOLD_EVERY),
            Some(1),
            "other trouble is news"
        );
    }

    #[test]
    fn trouble_that_comes_and_goes_is_not_told_each_time() {
        let recurring = Recurring::default();
        let start = Instant::now();
        let mut lines = 0;
        for second in 0..60 {
            lines += u32::from(
                recurring
                    .occurred("lost", start + Duration::from_secs(second))
                    .is_some(),
            );
            lines += u32::from(recurring.ended());
        }
        assert_eq!(lines, 2, "one that it is lost, one that it is back");
        assert_eq!(recurring.occurred("lost", start + TOLD_EVERY), Some(60));
        assert!(recurring.ended());
        assert!(!recurring.ended());
    }

    #[test]
    fn troubles_that_take_turns_are_each_told_once() {
        let recurring = Recurring::default();
        let start = Instant::now();
        let told =
            (0..100).filter(|turn| recurring.occurred(["a", "b"][turn % 2], start).is_some());
        assert_eq!(told.count(), 2);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let recurring = Recurring::default();
        for number in 0..1_000 {
            recurring.occurred(&number.to_string(), Instant::now());
        }
        assert_eq!(recurring.lock().troubles.len(), TROUBLES_MAX);
    }
}
