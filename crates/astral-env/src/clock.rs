//! Dates that follow tokio's clock.

use astral_proto::UnixMillis;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// 2026-01-01 00:00:00 UTC, where the clock of a seeded environment starts.
const SEEDED_START: UnixMillis = UnixMillis::from_secs(1_767_225_600);

/// A date, the moment of tokio's clock at which it was that date, and nothing else: the clock runs with tokio's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    instant: Instant,
    /// Since the Unix epoch. More precise than what is returned, so that rounding happens once.
    date: Duration,
}

impl Clock {
    /// The machine's clock as this process read it first.
    pub(crate) fn system() -> Self {
        // One reading for the process: two environments of one process must agree, and a machine whose clock is set while
        // a process runs must not end every lease that the process judges.
        static FIRST: OnceLock<Clock> = OnceLock::new();
        *FIRST.get_or_init(|| Clock {
            instant: Instant::now(),
            date: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        })
    }

    /// A clock that shows [`SEEDED_START`] now.
    pub(crate) fn fixed() -> Self {
        Self {
            instant: tokio::time::Instant::now().into_std(),
            date: SEEDED_START.since(UnixMillis::ZERO),
        }
    }

    pub(crate) fn ahead(self, millis: i64) -> Self {
        let by = Duration::from_millis(millis.unsigned_abs());
        let date = if millis < 0 {
            self.date.saturating_sub(by)
        } else {
            self.date.saturating_add(by)
        };
        Self { date, ..self }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        let now = tokio::time::Instant::now().into_std();
        // A runtime that paused its clock before this one was first read shows an earlier moment.
        let date = match now.checked_duration_since(self.instant) {
            Some(after) => self.date + after,
            None => self.date.saturating_sub(self.instant.duration_since(now)),
        };
        UnixMillis::ZERO + date
    }
}
