//! A process that was frozen, and now finds in its sockets what was sent to it meanwhile.
//!
//! Whoever sent it has long given up, or asked another replica. Handled now, it would undo what has happened since: a
//! right to publish asked for two minutes ago would cut off the publisher who got it elsewhere.

use super::replies::Replies;
use crate::bus::replica::Asked;
use async_nats::Client;
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{OnceLock, Weak};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// How often a process notes that it runs.
const TICK: Duration = Duration::from_millis(250);
/// A process that has not noted it for this long has stood still.
const STOOD_STILL: Duration = Duration::from_secs(1);
/// How long what had been read before a message came back may wait for its subscriber.
const SETTLES: Duration = Duration::from_millis(250);
/// How long the server may take to send a message back; it is sent again until it comes.
const ROUND_TRIP_WAIT: Duration = Duration::from_secs(2);

/// Whether this process stands still, or has just done so.
#[derive(Default)]
pub(super) struct Standstill {
    /// Milliseconds after the first look.
    ran_at: AtomicU64,
    /// Whether what arrives may have waited.
    recovers: AtomicBool,
    /// For how long it stood still the last time, milliseconds.
    stood_ms: AtomicU64,
}

impl Standstill {
    /// Whether a message that is read now may have waited for longer than it is good for, since this process stood still.
    pub(super) fn may_have_swallowed(&self, asked: Option<Asked>) -> bool {
        self.may_have_waited(now_ms())
            .is_some_and(|waited| asked.is_none_or(|asked| waited >= asked.within))
    }

    /// For how long a message that is read at `now_ms` may have waited; none if it has not.
    fn may_have_waited(&self, now_ms: u64) -> Option<Duration> {
        let since =
            Duration::from_millis(now_ms.saturating_sub(self.ran_at.load(Ordering::Acquire)));
        if since >= STOOD_STILL {
            return Some(since);
        }
        let recovers = self.recovers.load(Ordering::Acquire);
        recovers.then(|| Duration::from_millis(self.stood_ms.load(Ordering::Acquire)))
    }

    /// Notes that the process runs at `now_ms`; for how long it stood still before, if it did.
    fn runs(&self, now_ms: u64) -> Option<Duration> {
        let stood = now_ms.saturating_sub(self.ran_at.load(Ordering::Acquire));
        let stood_still = Duration::from_millis(stood) >= STOOD_STILL;
        if stood_still {
            self.stood_ms.store(stood, Ordering::Release);
            self.recovers.store(true, Ordering::Release);
        }
        self.ran_at.store(now_ms, Ordering::Release);
        stood_still.then(|| Duration::from_millis(stood))
    }

    fn has_recovered(&self) {
        self.recovers.store(false, Ordering::Release);
    }
}

/// Notes that this process runs, as long as anybody may use the bus.
pub(super) async fn watch(
    client: Client,
    replies: Weak<Replies>,
    standstill: std::sync::Arc<Standstill>,
) {
    standstill.ran_at.store(now_ms(), Ordering::Release);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while replies.strong_count() > 0 {
        ticks.tick().await;
        let Some(stood) = standstill.runs(now_ms()) else {
            continue;
        };
        tracing::warn!(
            seconds = stood.as_secs_f64(),
            "this process stood still: what waited for it is left to others"
        );
        tokio::spawn(recover(
            client.clone(),
            replies.clone(),
            std::sync::Arc::clone(&standstill),
        ));
    }
}

/// Waits until all that waited has been read: a message to itself comes back after it.
async fn recover(client: Client, replies: Weak<Replies>, standstill: std::sync::Arc<Standstill>) {
    while let Some(replies) = replies.upgrade() {
        let mut expected = replies.expect();
        drop(replies);
        let sent = client.publish(expected.subject(), Bytes::new()).await;
        // A connection made anew has nothing old in it, but what was read from the last one may not be taken in yet.
        if sent.is_ok() && timeout(ROUND_TRIP_WAIT, expected.message()).await.is_ok() {
            break;
        }
    }
    sleep(SETTLES).await;
    standstill.has_recovered();
}

/// Milliseconds since the first look at the clock in this process.
fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn what_comes_after_a_standstill_may_have_waited_until_all_is_read() {
        let standstill = Standstill::default();
        assert_eq!(standstill.runs(500), None);
        assert_eq!(standstill.may_have_waited(700), None);
        let stood = Duration::from_secs(110);
        assert_eq!(
            standstill.may_have_waited(110_500),
            Some(stood),
            "it is read before the first tick"
        );
        assert_eq!(standstill.runs(110_500), Some(stood));
        assert_eq!(standstill.may_have_waited(110_600), Some(stood));
        standstill.has_recovered();
        assert_eq!(standstill.may_have_waited(110_700), None);
    }

    #[test]
    fn a_request_whose_caller_waits_for_longer_than_the_standstill_is_handled() {
        let standstill = Standstill::default();
        standstill.ran_at.store(now_ms(), Ordering::Release);
        standstill.stood_ms.store(1_500, Ordering::Release);
        standstill.recovers.store(true, Ordering::Release);
        let asked = |within| {
            Some(Asked {
                request: Uuid::nil(),
                attempt: 1,
                within,
            })
        };
        assert!(standstill.may_have_swallowed(None));
        assert!(standstill.may_have_swallowed(asked(Duration::from_millis(1_500))));
        assert!(!standstill.may_have_swallowed(asked(Duration::from_secs(6))));
    }
}
