//! What a network does to messages: it loses, repeats, delays and reorders them.

use crate::injection::{FaultInjector, Observation, Process};
use rand::Rng;
use rand::rngs::StdRng;
use std::time::Duration;

/// What happens to messages on a bus within the process. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BusFaults {
    /// How many of a hundred events, requests and answers are lost.
    pub lose_percent: u8,
    /// How many of a hundred arrive twice.
    pub repeat_percent: u8,
    /// Messages arrive up to this much later, each by its own delay, and so out of order.
    pub delay_max: Duration,
    /// How many of a hundred are much later than that.
    pub late_percent: u8,
    /// How late those are at most.
    pub late_max: Duration,
}

impl BusFaults {
    /// After how long a message arrives: no entry if it is lost, two if it is repeated.
    fn deliveries(&self, random: &mut StdRng) -> Vec<Duration> {
        if happens(random, self.lose_percent) {
            return Vec::new();
        }
        let copies = 1 + usize::from(happens(random, self.repeat_percent));
        (0..copies).map(|_| self.delay(random)).collect()
    }

    fn delay(&self, random: &mut StdRng) -> Duration {
        let most = if happens(random, self.late_percent) {
            self.late_max
        } else {
            self.delay_max
        };
        random.random_range(Duration::ZERO..=most)
    }
}

/// Whether what comes so many times in a hundred comes now.
pub(crate) fn happens(random: &mut StdRng, percent: u8) -> bool {
    random.random_range(0..100) < percent
}

/// The way of one message from one process to another.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) injector: FaultInjector,
    pub(super) from: Process,
    pub(super) to: Process,
}

impl Way {
    /// The way of the answer.
    pub(super) fn back(&self) -> Self {
        Self {
            injector: self.injector.clone(),
            from: self.to,
            to: self.from,
        }
    }

    /// Has `arrive` called once for each copy of a message that arrives, at its time. A copy that reaches a frozen process
    /// waits there; `arrive` is told when it came.
    pub(super) fn carry(
        &self,
        subject: &str,
        arrive: impl Fn(tokio::time::Instant) + Clone + Send + 'static,
    ) {
        let Self { injector, from, to } = self;
        let (faults, lag, mut random) = injector.bus(*from, *to);
        let deliveries = match injector.is_parted(*from, *to) {
            true => Vec::new(),
            false => faults.deliveries(&mut random),
        };
        if deliveries.is_empty() {
            injector.tell(Observation::Lost {
                from: *from,
                to: *to,
                subject,
            });
        }
        for delay in deliveries {
            let delay = delay + lag;
            if delay.is_zero() && injector.runs(*from) && injector.runs(*to) {
                arrive(tokio::time::Instant::now());
                continue;
            }
            let way = self.clone();
            let arrive = arrive.clone();
            tokio::spawn(async move {
                if let Some(came_at) = way.travel(delay).await {
                    arrive(came_at);
                }
            });
        }
    }

    /// Waits until a message is there and its receiver takes it; when it came, None if that is never.
    async fn travel(&self, delay: Duration) -> Option<tokio::time::Instant> {
        if !self.injector.until_it_runs(self.from).await {
            return None;
        }
        tokio::time::sleep(delay).await;
        let came_at = tokio::time::Instant::now();
        self.injector
            .until_it_runs(self.to)
            .await
            .then_some(came_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backend;
    use astral_env::Env;

    const FAULTS: BusFaults = BusFaults {
        lose_percent: 20,
        repeat_percent: 20,
        delay_max: Duration::from_millis(50),
        late_percent: 0,
        late_max: Duration::ZERO,
    };

    /// What a subscriber in another process gets of a hundred numbers.
    async fn received(seed: u64, faults: BusFaults) -> Vec<u32> {
        let injector = FaultInjector::new(seed);
        injector.set_bus(faults);
        let backend = Backend::with_faults(&injector, Env::seeded(seed));
        let other = backend.as_another_process().await.unwrap();
        let mut numbers = other.bus.subscribe::<u32>("numbers", None).await.unwrap();
        for number in 0..100 {
            backend.bus.publish("numbers", &number).await.unwrap();
        }
        let mut received = Vec::new();
        while let Ok(Some(number)) =
            tokio::time::timeout(Duration::from_secs(1), numbers.next()).await
        {
            received.push(number);
        }
        received
    }

    #[tokio::test(start_paused = true)]
    async fn a_faulty_bus_loses_repeats_and_reorders() {
        let received = received(7, FAULTS).await;
        let once = received.iter().collect::<std::collections::BTreeSet<_>>();
        assert!(once.len() < 100, "some are lost");
        assert!(once.len() < received.len(), "some are repeated");
        assert!(!received.is_sorted(), "some are late");
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_seed_gives_the_same_run() {
        assert_eq!(received(7, FAULTS).await, received(7, FAULTS).await);
        assert_ne!(received(7, FAULTS).await, received(8, FAULTS).await);
    }

    #[tokio::test(start_paused = true)]
    async fn without_faults_all_arrive_in_order() {
        let received = received(7, BusFaults::default()).await;
        assert_eq!(received, Vec::from_iter(0..100));
    }
}
