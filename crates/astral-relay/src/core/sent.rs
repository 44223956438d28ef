//! What the readers of a stream are charged: what was sent to them in the last seconds.
//!
//! The bytes of a new reader mean nothing: it has been sent either little, or much at once to catch
//! up, and it needs room for the whole stream. So a new reader is charged the bitrate of the stream
//! for one window. Then its bytes are counted, and replace the bitrate step by step while the next
//! window fills.

use astral_runtime::lock;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Bytes are counted over this long: one segment of the longest target duration.
const WINDOW: Duration = Duration::from_secs(10);

/// Counts what readers of one kind are sent.
pub struct Sent {
    bytes: AtomicU64,
    joined: AtomicU64,
    steps: Mutex<VecDeque<Step>>,
}

/// What had been counted at one moment.
#[derive(Clone, Copy)]
struct Step {
    at: Instant,
    bytes: u64,
    joined: u64,
}

/// Whether the bytes of a reader that came at `since` are counted: not while it is new.
pub fn counts(since: Instant) -> bool {
    since.elapsed() >= WINDOW
}

impl Sent {
    /// Nothing was sent.
    pub fn new() -> Self {
        let begun = Step {
            at: Instant::now(),
            bytes: 0,
            joined: 0,
        };
        let steps = Mutex::new(VecDeque::from([begun]));
        Self {
            bytes: AtomicU64::new(0),
            joined: AtomicU64::new(0),
            steps,
        }
    }

    /// Notes that a reader has come.
    pub fn join(&self) {
        self.joined.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts bytes that were sent to a reader for which [`counts`] is true.
    pub fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes what has been counted until now. Call it once a second.
    pub fn step(&self) {
        let now = self.now();
        let mut steps = lock(&self.steps);
        // Only one step older than two windows is needed: it stands for everything before.
        while steps
            .get(1)
            .is_some_and(|second| now.at - second.at >= 2 * WINDOW)
        {
            steps.pop_front();
        }
        steps.push_back(now);
    }

    /// What `readers` readers of a stream of `whole_kbps` are charged now, kbit/s.
    pub fn kbps(&self, whole_kbps: u32, readers: u32) -> u64 {
        let now = self.now();
        let steps = lock(&self.steps);
        let new_ms = new_ms(&steps, &now).min(u64::from(readers) * millis(WINDOW));
        counted_kbps(&steps, &now) + new_ms * u64::from(whole_kbps) / millis(WINDOW)
    }

    fn now(&self) -> Step {
        Step {
            at: Instant::now(),
            bytes: self.bytes.load(Ordering::Relaxed),
            joined: self.joined.load(Ordering::Relaxed),
        }
    }
}

/// The mean of the bytes that were counted in the last window, kbit/s.
fn counted_kbps(steps: &VecDeque<Step>, now: &Step) -> u64 {
    let before = steps
        .iter()
        .rev()
        .find(|step| now.at - step.at >= WINDOW)
        .or(steps.front());
    let Some(before) = before else { return 0 };
    let bytes = now.bytes.saturating_sub(before.bytes);
    bytes * 8 / millis((now.at - before.at).max(WINDOW))
}

/// The time for which new readers are still charged the whole stream, in milliseconds: one window
/// for each that has just come, less for the others.
fn new_ms(steps: &VecDeque<Step>, now: &Step) -> u64 {
    let later = steps.iter().skip(1).chain([now]);
    let joined = steps.iter().zip(later).map(|(before, step)| {
        let age = now.at - step.at;
        let left = WINDOW.saturating_sub(age.saturating_sub(WINDOW));
        step.joined.saturating_sub(before.joined) * millis(left)
    });
    joined.sum()
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    const WHOLE_KBPS: u32 = 2_000;
    const SECOND: Duration = Duration::from_secs(1);

    /// A reader of `kbps` that has come now, for so many seconds; what it is charged after each of
    /// them.
    async fn charges(sent: &Sent, kbps: u64, seconds: usize) -> Vec<u64> {
        let since = Instant::now();
        sent.join();
        let mut charges = Vec::new();
        for _ in 0..seconds {
            for _ in 0..10 {
                sleep(SECOND / 10).await;
                if counts(since) {
                    sent.add(kbps * 125 / 10);
                }
            }
            sent.step();
            charges.push(sent.kbps(WHOLE_KBPS, 1));
        }
        charges
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_keeps_up_is_charged_the_bitrate_from_its_first_moment_on() {
        let sent = Sent::new();
        let charges = charges(&sent, 2_000, 40).await;
        assert!(
            charges.iter().all(|kbps| (1_700..=2_300).contains(kbps)),
            "{charges:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_less_is_charged_less_once_its_bytes_are_counted() {
        let sent = Sent::new();
        let charges = charges(&sent, 500, 25).await;
        assert_eq!(charges[8], 2_000, "{charges:?}");
        assert!((450..=550).contains(&charges[22]), "{charges:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_charged_one_window_after_the_last_reader_has_gone() {
        let sent = Sent::new();
        charges(&sent, 2_000, 30).await;
        for _ in 0..10 {
            sleep(SECOND).await;
            sent.step();
        }
        assert_eq!(sent.kbps(WHOLE_KBPS, 0), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn readers_that_came_and_went_are_not_charged() {
        let sent = Sent::new();
        (0..50).for_each(|_| sent.join());
        assert_eq!(sent.kbps(WHOLE_KBPS, 2), 4_000, "two of them are here");
    }
}
