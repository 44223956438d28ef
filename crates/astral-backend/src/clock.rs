//! The time of day, and the time in which nothing is revoked.

use astral_proto::limits::LEASE;
use std::{
    sync::OnceLock,
    sync::atomic::{AtomicU64, Ordering},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// Milliseconds since the Unix epoch, on the runtime's clock: it stands still and advances with paused time.
pub fn unix_millis() -> u64 {
    static START: OnceLock<(Instant, SystemTime)> = OnceLock::new();
    let (instant, date) = *START.get_or_init(|| (Instant::now(), SystemTime::now()));
    let now = tokio::time::Instant::now().into_std();
    // A paused clock may have stopped before the first call in this process.
    let date = match now.checked_duration_since(instant) {
        Some(after) => date + after,
        None => date - instant.duration_since(now),
    };
    date.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// One full lease, after a service's own start or a gap in its backend, in which it takes nobody's silence for death.
#[derive(Debug)]
pub struct Truce {
    until: AtomicU64,
}

impl Truce {
    /// A truce from `now` on, in Unix milliseconds.
    pub fn from(now: u64) -> Self {
        Self { until: AtomicU64::new(now + LEASE.as_millis() as u64) }
    }

    /// Starts it anew, since heartbeats may have gone unheard until `now`.
    pub fn renew(&self, now: u64) {
        self.until.fetch_max(now + LEASE.as_millis() as u64, Ordering::Relaxed);
    }

    /// Whether it holds at `now`.
    pub fn holds(&self, now: u64) -> bool {
        now < self.until.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn the_date_moves_with_paused_time() {
        let before = unix_millis();
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(unix_millis() - before, 90_000);
    }

    #[test]
    fn a_truce_lasts_one_lease_and_starts_anew_after_a_gap() {
        let truce = Truce::from(1_000);
        assert!(truce.holds(6_999) && !truce.holds(7_000));
        truce.renew(9_000);
        assert!(truce.holds(14_999) && !truce.holds(15_000));
    }
}
