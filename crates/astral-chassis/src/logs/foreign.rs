//! Lines of other people's crates: few, and never what they send.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::callsite::Identifier;
use tracing::{Level, Metadata};

/// Between two lines from the same place in another crate. Clients log each failed try to connect; our own lines say
/// what is wrong.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Which lines are let through.
#[derive(Default)]
pub(super) struct Foreign {
    /// When each place in the code had its last line. There are as many as the code has.
    last: Mutex<HashMap<Identifier, Instant>>,
}

impl Foreign {
    /// Whether a line at `now` goes to the log.
    ///
    /// What our own crates log never holds a secret. Others write out at `debug` and `trace` what they send: the password of
    /// the bus, keys and tickets within messages. They are heard from `info` on, whatever is asked for, and from each place
    /// in their code once a minute.
    pub(super) fn lets_through(&self, metadata: &Metadata<'_>, now: Instant) -> bool {
        is_ours(metadata.target()) || (*metadata.level() <= Level::INFO && self.is_due(metadata, now))
    }

    fn is_due(&self, metadata: &Metadata<'_>, now: Instant) -> bool {
        if !metadata.is_event() {
            return true;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.get(&metadata.callsite());
        let is_due = before.is_none_or(|before| now.saturating_duration_since(*before) >= LINE_EVERY);
        if is_due {
            last.insert(metadata.callsite(), now);
        }
        is_due
    }
}

fn is_ours(target: &str) -> bool {
    target.starts_with("astral")
}
