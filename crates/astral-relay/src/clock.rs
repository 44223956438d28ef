//! The clock by which tickets expire: that of the control plane, because the clock of this machine
//! may be wrong.

use astral_env::Env;
use astral_proto::limits::CLOCK_TOLERANCE;
use astral_runtime::{LogThrottle, lock};
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// The clock of the control plane, by its last answer.
#[derive(Debug)]
pub struct ControlClock {
    env: Env,
    told: Mutex<Option<Told>>,
    wrong: LogThrottle,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    now: u64,
    at: Instant,
}

impl ControlClock {
    /// Follows the clock of `env` until the control plane answers.
    pub fn new(env: Env) -> Self {
        Self {
            env,
            told: Mutex::default(),
            wrong: LogThrottle::new(),
        }
    }

    /// The time there, Unix milliseconds; the time here until the first answer. The time since the
    /// last answer is measured, so setting the clock of this machine changes nothing.
    pub fn now(&self) -> u64 {
        match *lock(&self.told) {
            Some(Told { now, at }) => now + millis(at.elapsed()),
            None => self.env.now().get(),
        }
    }

    /// Learns that the control plane said `now` in the answer to a request that was sent at
    /// `asked`; 0 says nothing.
    pub fn learn(&self, now: u64, asked: Instant) {
        if now == 0 {
            return;
        }
        let took = asked.elapsed();
        // The answer was given at some moment between the request and now.
        *lock(&self.told) = Some(Told {
            now: now + millis(took / 2),
            at: Instant::now(),
        });
        self.compare(ahead_ms(self.env.now().get(), now, took));
    }

    /// Records how far the clock of this machine is ahead, and logs if that is too far.
    fn compare(&self, ahead_ms: i64) {
        let seconds = ahead_ms as f64 / 1_000.0;
        metrics::gauge!("astral_clock_ahead_seconds").set(seconds);
        if ahead_ms.unsigned_abs() <= millis(CLOCK_TOLERANCE) {
            if self.wrong.ended() {
                tracing::info!(
                    clock.ahead_seconds = seconds,
                    "this machine's clock is right again"
                );
            }
        } else if let Some(times) = self.wrong.occurred("wrong") {
            tracing::warn!(
                clock.ahead_seconds = seconds,
                times,
                "this machine's clock is wrong: set it, best by NTP; until then tickets are checked by the control plane's clock"
            );
        }
    }
}

/// How far the clock `here` is certainly ahead of one that said `there` at some moment in the last
/// `took`, milliseconds.
fn ahead_ms(here: u64, there: u64, took: Duration) -> i64 {
    let most = here.cast_signed() - there.cast_signed();
    let least = most - millis(took).cast_signed();
    if least > 0 { least } else { most.min(0) }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tickets_expire_by_the_clock_of_the_control_plane() {
        let env = Env::seeded(1);
        let clock = ControlClock::new(env.clone());
        let asked = Instant::now();
        tokio::time::advance(Duration::from_millis(200)).await;
        clock.learn(0, asked);
        assert_eq!(clock.now(), env.now().get(), "nothing was said");
        clock.learn(1_000_000, asked);
        assert_eq!(clock.now(), 1_000_100);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now(), 1_005_100);
    }

    #[test]
    fn a_slow_answer_makes_no_clock_wrong() {
        let took = Duration::from_millis(300);
        for (here, there, ahead) in [
            (1_000, 1_000, 0),
            (1_300, 1_000, 0),
            (1_200, 1_000, 0),
            (5_300, 1_000, 4_000),
            (1_000, 5_000, -4_000),
        ] {
            assert_eq!(ahead_ms(here, there, took), ahead, "{here} {there}");
        }
    }
}
