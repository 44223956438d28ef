//! Limits the log lines of third-party crates: few lines, and never the data that they send.

use astral_runtime::lock;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tracing::callsite::Identifier;
use tracing::{Level, Metadata};

/// Time between two lines from the same place in another crate. Clients log each failed attempt to
/// connect, but our own lines already say what is wrong.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Decides which lines are logged.
#[derive(Default)]
pub(super) struct Foreign {
    /// When each place in the code was logged last. Its size is bounded by the code.
    last: Mutex<HashMap<Identifier, Instant>>,
}

impl Foreign {
    /// Whether a line at `now` is logged.
    ///
    /// Our own crates never log a secret. Others log at `debug` and `trace` what they send: the
    /// password of the bus, and the keys and tickets in messages. So their lines are logged from
    /// `info` on, whatever the filter says, and once a minute for each place in their code.
    pub(super) fn lets_through(&self, metadata: &Metadata<'_>, now: Instant) -> bool {
        is_ours(metadata.target())
            || (*metadata.level() <= Level::INFO && self.is_due(metadata, now))
    }

    fn is_due(&self, metadata: &Metadata<'_>, now: Instant) -> bool {
        if !metadata.is_event() {
            return true;
        }
        let mut last = lock(&self.last);
        let before = last.get(&metadata.callsite());
        let is_due =
            before.is_none_or(|before| now.saturating_duration_since(*before) >= LINE_EVERY);
        if is_due {
            last.insert(metadata.callsite(), now);
        }
        is_due
    }
}

fn is_ours(target: &str) -> bool {
    target.starts_with("astral")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tracing_subscriber::filter::dynamic_filter_fn;
    use tracing_subscriber::layer::{Context, SubscriberExt};
    use tracing_subscriber::{Layer, Registry};

    /// Counts lines.
    #[derive(Clone, Default)]
    struct Count(Arc<AtomicUsize>);

    impl Layer<Registry> for Count {
        fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, Registry>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many of the lines that `log` writes are logged.
    fn lines(log: impl FnOnce()) -> usize {
        let count = Count::default();
        let foreign = Foreign::default();
        let filter =
            dynamic_filter_fn(move |metadata, _| foreign.lets_through(metadata, Instant::now()));
        let subscriber = Registry::default().with(count.clone().with_filter(filter));
        tracing::subscriber::with_default(subscriber, log);
        count.0.load(Ordering::Relaxed)
    }

    #[test]
    fn a_place_in_another_crate_is_heard_once_a_minute_and_ours_always() {
        let again = |log: fn()| lines(|| (0..100).for_each(|_| log()));
        assert_eq!(
            again(|| tracing::error!(target: "some_client::connector", "authorization violation")),
            1
        );
        assert_eq!(
            again(|| tracing::error!(target: "astral_backend::bus", "bus lost")),
            100
        );
        let two_places = || {
            tracing::error!(target: "some_client::connector", "one");
            tracing::warn!(target: "some_client::connector", "another");
        };
        assert_eq!(again(two_places), 2);
    }

    #[test]
    fn what_other_crates_send_is_never_written() {
        assert_eq!(
            lines(|| tracing::debug!(target: "some_client", password = "hunter2", "sent")),
            0
        );
        assert_eq!(
            lines(|| tracing::trace!(target: "hyper::proto", token = "hunter2", "sent")),
            0
        );
    }
}
