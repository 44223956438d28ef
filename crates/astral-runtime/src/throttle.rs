//! Fewer log lines about a problem that repeats: one at once, then one a minute with a count.

use crate::lock;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Time between two log lines about the same problem.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Different problems that are remembered. A further one replaces the one logged longest ago.
const PROBLEMS_MAX: usize = 64;

/// Decides which of many occurrences of a problem get a log line.
///
/// A problem that ends and returns within a minute counts as the same problem. So a connection that
/// is made and lost again every second does not write two lines a second.
#[derive(Debug)]
pub struct LogThrottle(Mutex<Known>);

impl Default for LogThrottle {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug)]
struct Known {
    problems: Vec<Problem>,
    /// Whether a line has reported a problem and none since has reported its end.
    is_reported: bool,
}

#[derive(Debug)]
struct Problem {
    what: String,
    logged_at: Instant,
    /// How often it has occurred since it was last logged.
    times: u64,
}

impl LogThrottle {
    /// A throttle that knows no problem yet. Put it in a `static` beside the line that it limits.
    pub const fn new() -> Self {
        Self(Mutex::new(Known {
            problems: Vec::new(),
            is_reported: false,
        }))
    }

    /// Records that `what` has happened. Returns how often it has happened since its last log line
    /// (1 the first time) if a line is due, otherwise None.
    pub fn occurred(&self, what: &str) -> Option<u64> {
        let mut known = lock(&self.0);
        let times = known.occurred(what, Instant::now())?;
        known.is_reported = true;
        Some(times)
    }

    /// Records that the problem is over. Returns whether a log line should say so, which it should
    /// only if one reported the problem.
    pub fn ended(&self) -> bool {
        std::mem::take(&mut lock(&self.0).is_reported)
    }
}

impl Known {
    fn occurred(&mut self, what: &str, now: Instant) -> Option<u64> {
        let Some(problem) = self
            .problems
            .iter_mut()
            .find(|problem| problem.what == what)
        else {
            self.remember(what, now);
            return Some(1);
        };
        problem.times += 1;
        if now.saturating_duration_since(problem.logged_at) < LOG_INTERVAL {
            return None;
        }
        problem.logged_at = now;
        Some(std::mem::take(&mut problem.times))
    }

    fn remember(&mut self, what: &str, now: Instant) {
        if self.problems.len() >= PROBLEMS_MAX {
            self.problems.sort_by_key(|problem| problem.logged_at);
            self.problems.remove(0);
        }
        self.problems.push(Problem {
            what: what.to_owned(),
            logged_at: now,
            times: 0,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn a_problem_is_logged_at_once_and_then_counted_each_minute() {
        let throttle = LogThrottle::default();
        assert_eq!(throttle.occurred("full"), Some(1));
        advance(LOG_INTERVAL - Duration::from_secs(1)).await;
        for _ in 0..1_000 {
            assert_eq!(throttle.occurred("full"), None);
        }
        advance(Duration::from_secs(1)).await;
        assert_eq!(throttle.occurred("full"), Some(1_001));
        assert_eq!(
            throttle.occurred("read-only"),
            Some(1),
            "another problem is logged at once"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_problem_that_comes_and_goes_is_not_logged_each_time() {
        let throttle = LogThrottle::default();
        let mut lines = 0;
        for _ in 0..60 {
            lines += u32::from(throttle.occurred("lost").is_some());
            lines += u32::from(throttle.ended());
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(lines, 2, "one that it is lost, one that it is back");
        assert_eq!(throttle.occurred("lost"), Some(60));
        assert!(throttle.ended());
        assert!(!throttle.ended());
    }

    #[test]
    fn problems_that_alternate_are_each_logged_once() {
        let throttle = LogThrottle::default();
        let logged = (0..100).filter(|turn| throttle.occurred(["a", "b"][turn % 2]).is_some());
        assert_eq!(logged.count(), 2);
    }

    #[test]
    fn the_memory_of_problems_is_bounded() {
        let throttle = LogThrottle::default();
        for number in 0..1_000 {
            throttle.occurred(&number.to_string());
        }
        assert_eq!(lock(&throttle.0).problems.len(), PROBLEMS_MAX);
    }
}
