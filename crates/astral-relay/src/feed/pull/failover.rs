//! What a pull remembers from one failing provider to the next.
//!
//! After a failure the pull excludes the providers that failed, so that the broker offers others,
//! and waits longer between requests, so that a crowd that lost its provider does not flood the
//! broker. All of this is forgotten as soon as a provider sends. There is no clock and no socket
//! here, so that the simulation can run the same rules.

use astral_proto::NodeId;
use rand::Rng;
use std::time::Duration;

/// First wait between two requests for a ticket. Doubles up to [`RETRY_MAX`], with jitter.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// Wait between two requests for a standby.
pub const STANDBY_RETRY: Duration = Duration::from_secs(2);

/// The failures of a pull since a provider last sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    excluded: Vec<NodeId>,
    retry: Duration,
    /// How many providers no longer had the frame that is due.
    gone: u32,
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            excluded: Vec::new(),
            retry: RETRY_MIN,
            gone: 0,
        }
    }
}

impl Failover {
    /// Providers that have failed.
    pub fn excluded(&self) -> &[NodeId] {
        &self.excluded
    }

    /// Excludes `provider`, whose link has ended.
    pub fn exclude(&mut self, provider: NodeId) {
        self.excluded.push(provider);
    }

    /// A provider no longer has the frame that is due. It did answer, so the next request need not
    /// wait long.
    pub fn frame_gone(&mut self) {
        self.gone += 1;
        self.retry = RETRY_MIN;
    }

    /// Whether to continue with a gap: only after two providers, or all that there are, no longer
    /// have the frame.
    pub fn accepts_gap(&self, has_standby: bool) -> bool {
        self.gone > 1 || (self.gone == 1 && !has_standby)
    }

    /// There is no ticket. Returns how long to wait before the next request. Nobody is excluded
    /// from it, because a provider that has failed may be the only one, and may have recovered.
    pub fn no_ticket(&mut self, rng: &mut impl Rng) -> Duration {
        self.excluded.clear();
        let wait = self.retry.mul_f64(rng.random_range(0.5..1.0));
        self.retry = (self.retry * 2).min(RETRY_MAX);
        wait
    }

    /// A provider sends: forgets everything.
    pub fn settled(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_two_seconds_and_start_over_once_a_provider_sends() {
        let mut failover = Failover::default();
        let mut rng = rand::rng();
        failover.exclude(NodeId::random());
        for most in [100, 200, 400, 800, 1_600, 2_000, 2_000] {
            let wait = failover.no_ticket(&mut rng).as_millis();
            assert!((most / 2..=most).contains(&wait), "{wait} ms of {most}");
        }
        assert!(failover.excluded().is_empty());
        failover.settled();
        assert_eq!(failover, Failover::default());
    }

    #[test]
    fn a_gap_is_accepted_when_nobody_has_better() {
        let mut failover = Failover::default();
        assert!(!failover.accepts_gap(false));
        failover.frame_gone();
        assert!(failover.accepts_gap(false) && !failover.accepts_gap(true));
        failover.frame_gone();
        assert!(failover.accepts_gap(true));
    }
}
