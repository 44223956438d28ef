//! The time of day that all who share one state go by, and the time in which nothing is revoked.

use crate::State;
use astral_proto::limits::LEASE;
use astral_runtime::lock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Milliseconds since the Unix epoch by this machine's clock; it stands still and advances with paused time.
pub fn unix_millis() -> u64 {
    static START: OnceLock<(std::time::Instant, SystemTime)> = OnceLock::new();
    let (instant, date) = *START.get_or_init(|| (std::time::Instant::now(), SystemTime::now()));
    let now = Instant::now().into_std();
    // A paused clock may have stopped before the first call in this process.
    let date = match now.checked_duration_since(instant) {
        Some(after) => date + after,
        None => date - instant.duration_since(now),
    };
    date.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// A clock that differs by more than this from what it was expected to say has been set.
const STEP: Duration = Duration::from_secs(1);

/// The clock of another machine, as last read, by how far it is ahead of this one's.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    ahead_ms: AtomicI64,
    /// When it was last found to have been set.
    set_at: Mutex<Option<Instant>>,
}

impl Clock {
    /// Milliseconds since the Unix epoch there.
    pub(crate) fn now(&self) -> u64 {
        unix_millis().saturating_add_signed(self.ahead_ms.load(Ordering::Relaxed))
    }

    /// Takes in that it said `there` at some moment between `asked` and `answered`, as of here.
    pub(crate) fn read(&self, there: u64, asked: u64, answered: u64) {
        let known = self.ahead_ms.load(Ordering::Relaxed);
        let ahead = ahead(known, there, asked, answered);
        if u128::from(ahead.abs_diff(known)) > STEP.as_millis() {
            *lock(&self.set_at) = Some(Instant::now());
        }
        self.ahead_ms.store(ahead, Ordering::Relaxed);
    }

    fn was_set_within(&self, time: Duration) -> bool {
        let set_at = *lock(&self.set_at);
        set_at.is_some_and(|at| at.elapsed() < time)
    }
}

/// How far the other clock is ahead, milliseconds: what is known of it stays as far as the reading allows, since an
/// answer that took its time says little.
fn ahead(known: i64, there: u64, asked: u64, answered: u64) -> i64 {
    let since = |here: u64| there.cast_signed() - here.cast_signed();
    known.clamp(since(answered), since(asked).max(since(answered)))
}

/// One full lease, after a service's own start, a gap in its backend, or the setting of the clock that leases go by, in
/// which it takes nobody's silence for death.
#[derive(Debug)]
pub struct Truce {
    until: Mutex<Instant>,
    clock: Arc<Clock>,
}

impl Truce {
    /// A truce from now on.
    pub fn begin(state: &State) -> Self {
        Self {
            until: Mutex::new(Instant::now() + LEASE),
            clock: state.clock(),
        }
    }

    /// Starts it anew, since heartbeats may have gone unheard until now.
    pub fn renew(&self) {
        *lock(&self.until) = Instant::now() + LEASE;
    }

    /// Whether it holds now.
    pub fn holds(&self) -> bool {
        let until = *lock(&self.until);
        Instant::now() < until || self.clock.was_set_within(LEASE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_date_moves_with_paused_time() {
        let before = unix_millis();
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(unix_millis() - before, 90_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_truce_lasts_one_lease_and_starts_anew_after_a_gap() {
        let truce = Truce::begin(&State::local());
        tokio::time::advance(LEASE - Duration::from_millis(1)).await;
        assert!(truce.holds());
        truce.renew();
        tokio::time::advance(LEASE - Duration::from_millis(1)).await;
        assert!(truce.holds());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!truce.holds());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_silent_for_a_clock_that_was_set() {
        let clock = Arc::new(Clock::default());
        let truce = Truce {
            until: Mutex::new(Instant::now()),
            clock: clock.clone(),
        };
        clock.read(unix_millis() + 900, unix_millis(), unix_millis());
        assert!(!truce.holds(), "it runs a little fast");
        clock.read(unix_millis() + 10_000, unix_millis(), unix_millis());
        assert!(truce.holds());
        tokio::time::advance(LEASE).await;
        assert!(!truce.holds());
    }

    #[test]
    fn a_clock_a_minute_ahead_or_behind_is_followed() {
        let clock = Clock::default();
        let here = unix_millis();
        clock.read(here + 60_000, here, here);
        assert!(clock.now().abs_diff(here + 60_000) < 5_000);
        clock.read(here - 60_000, here, here);
        assert!(clock.now().abs_diff(here - 60_000) < 5_000);
    }

    #[test]
    fn a_reading_that_took_long_moves_nothing_that_it_does_not_deny() {
        assert_eq!(ahead(0, 1_000, 990, 1_010), 0);
        assert_eq!(ahead(7, 1_000, 900, 1_100), 7);
        assert_eq!(ahead(0, 1_000, 900, 950), 50, "at least");
        assert_eq!(ahead(500, 1_000, 900, 950), 100, "at most");
    }
}
