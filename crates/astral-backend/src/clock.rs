//! The clock of the shared state, and the truce after it was set.

use crate::State;
use astral_env::Env;
use astral_proto::UnixMillis;
use astral_proto::limits::LEASE;
use astral_runtime::lock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// The date by the clock of this machine. New code takes it from its [`Env`].
pub fn unix_millis() -> UnixMillis {
    Env::system().now()
}

/// If a reading differs from the expected date by more than this, the clock was set.
const STEP: Duration = Duration::from_secs(1);

/// The clock of the state, which may be on another machine: how far it is ahead of the clock of this process.
#[derive(Debug)]
pub(crate) struct Clock {
    env: Env,
    ahead_ms: AtomicI64,
    /// When a reading last showed that the clock was set.
    set_at: Mutex<Option<Instant>>,
}

impl Clock {
    /// A clock that has not been read yet. It shows the date of this process.
    pub(crate) fn new(env: Env) -> Self {
        Self {
            env,
            ahead_ms: AtomicI64::new(0),
            set_at: Mutex::default(),
        }
    }

    /// The date by this clock.
    pub(crate) fn now(&self) -> UnixMillis {
        let ahead_ms = self.ahead_ms.load(Ordering::Relaxed);
        let here = self.env.now().get();
        UnixMillis::new(here.saturating_add_signed(ahead_ms))
    }

    /// The date by the clock of this process, for [`Clock::read`].
    pub(crate) fn here(&self) -> UnixMillis {
        self.env.now()
    }

    /// Takes a reading: the clock showed `there` at some moment between `asked` and `answered`, by the clock of this process.
    pub(crate) fn read(&self, there: UnixMillis, asked: UnixMillis, answered: UnixMillis) {
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

/// How far the other clock is ahead, milliseconds. The known value changes only as far as the reading requires, because a
/// slow answer leaves a wide range.
fn ahead(known: i64, there: UnixMillis, asked: UnixMillis, answered: UnixMillis) -> i64 {
    let since = |here: UnixMillis| there.get().cast_signed() - here.get().cast_signed();
    known.clamp(since(answered), since(asked).max(since(answered)))
}

/// A time in which a missing heartbeat does not mean that a node is dead. It lasts for one lease
/// after the service started, after it may have missed heartbeats ([`Truce::renew`]), or after the
/// clock of the state was set.
#[derive(Debug)]
pub struct Truce {
    until: Mutex<Instant>,
    clock: Arc<Clock>,
}

impl Truce {
    /// A truce that starts now.
    pub fn begin(state: &State) -> Self {
        Self {
            until: Mutex::new(Instant::now() + LEASE),
            clock: state.clock(),
        }
    }

    /// Starts the truce again, because heartbeats may have been missed.
    pub fn renew(&self) {
        *lock(&self.until) = Instant::now() + LEASE;
    }

    /// Whether the truce holds now.
    pub fn holds(&self) -> bool {
        let until = *lock(&self.until);
        Instant::now() < until || self.clock.was_set_within(LEASE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Clock {
        Clock::new(Env::seeded(1))
    }

    fn at(millis: u64) -> UnixMillis {
        UnixMillis::new(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn a_truce_lasts_one_lease_and_starts_anew_after_a_gap() {
        let truce = Truce::begin(&State::local(Env::seeded(1)));
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
        let clock = Arc::new(clock());
        let truce = Truce {
            until: Mutex::new(Instant::now()),
            clock: clock.clone(),
        };
        let here = clock.here();
        clock.read(here + Duration::from_millis(900), here, here);
        assert!(!truce.holds(), "it runs a little fast");
        clock.read(here + Duration::from_secs(10), here, here);
        assert!(truce.holds());
        tokio::time::advance(LEASE).await;
        assert!(!truce.holds());
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_a_minute_ahead_or_behind_is_followed() {
        let clock = clock();
        let here = clock.here();
        let minute = Duration::from_secs(60);
        clock.read(here + minute, here, here);
        assert_eq!(clock.now(), here + minute);
        clock.read(here - minute, here, here);
        assert_eq!(clock.now(), here - minute);
    }

    #[test]
    fn a_reading_that_took_long_moves_nothing_that_it_does_not_deny() {
        assert_eq!(ahead(0, at(1_000), at(990), at(1_010)), 0);
        assert_eq!(ahead(7, at(1_000), at(900), at(1_100)), 7);
        assert_eq!(ahead(0, at(1_000), at(900), at(950)), 50, "at least");
        assert_eq!(ahead(500, at(1_000), at(900), at(950)), 100, "at most");
    }
}
