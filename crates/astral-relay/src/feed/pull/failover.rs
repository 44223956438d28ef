//! What a subscriber remembers from one failing provider to the next. Knows no clock and no socket, so that the
//! simulation runs it too.

use astral_proto::NodeId;
use rand::Rng;
use std::time::Duration;

/// First wait between two requests for a ticket; doubles up to [`RETRY_MAX`], with jitter.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// Between two tries to get a standby.
pub const STANDBY_RETRY: Duration = Duration::from_secs(2);

/// A subscriber's way from provider to provider, until one of them sends again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    excluded: Vec<NodeId>,
    retry: Duration,
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
    /// Providers that have failed since one last sent.
    pub fn excluded(&self) -> &[NodeId] {
        &self.excluded
    }

    /// The link to `provider` is over.
    pub fn parted(&mut self, provider: NodeId) {
        self.excluded.push(provider);
    }

    /// A provider does not hold the frame that is due. It answers, so the next one is soon asked for.
    pub fn frame_gone(&mut self) {
        self.gone += 1;
        self.retry = RETRY_MIN;
    }

    /// A gap is accepted only once two providers, or all there are, have nothing better.
    pub fn accepts_gap(&self, has_standby: bool) -> bool {
        self.gone > 1 || (self.gone == 1 && !has_standby)
    }

    /// There is no ticket: how long to wait before asking again. Nobody is excluded then, for lack of others.
    pub fn no_ticket(&mut self, rng: &mut impl Rng) -> Duration {
        self.excluded.clear();
        let wait = self.retry.mul_f64(rng.random_range(0.5..1.0));
        self.retry = (self.retry * 2).min(RETRY_MAX);
        wait
    }

    /// A provider sends: all is forgotten.
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
        failover.parted(NodeId::random());
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
