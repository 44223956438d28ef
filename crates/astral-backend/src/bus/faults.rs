//! Faults on purpose: what a network does to messages, drawn from a seed so that a run can be repeated.

use rand::{Rng, SeedableRng, rngs::StdRng};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// What happens to messages on a bus within the process. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// The same seed draws the same fates in the same order.
    pub seed: u64,
    /// How many of a hundred events, requests and answers are lost.
    pub lose_percent: u8,
    /// How many of a hundred events and requests arrive twice.
    pub repeat_percent: u8,
    /// Events and requests arrive up to this much later, each by its own delay, and so out of order.
    pub delay_max: Duration,
}

/// Draws the fate of each message.
pub(super) struct Dice {
    faults: Faults,
    random: Mutex<StdRng>,
}

impl Dice {
    pub(super) fn new(faults: Faults) -> Self {
        Self {
            faults,
            random: Mutex::new(StdRng::seed_from_u64(faults.seed)),
        }
    }

    pub(super) fn loses(&self) -> bool {
        happens(&mut self.random(), self.faults.lose_percent)
    }

    /// After how long a message arrives: no entry if it is lost, two if it is repeated.
    pub(super) fn deliveries(&self) -> Vec<Duration> {
        let mut random = self.random();
        if happens(&mut random, self.faults.lose_percent) {
            return Vec::new();
        }
        let copies = 1 + usize::from(happens(&mut random, self.faults.repeat_percent));
        (0..copies)
            .map(|_| random.random_range(Duration::ZERO..=self.faults.delay_max))
            .collect()
    }

    fn random(&self) -> MutexGuard<'_, StdRng> {
        self.random.lock().expect("nothing panics while it draws")
    }
}

fn happens(random: &mut StdRng, percent: u8) -> bool {
    random.random_range(0..100) < percent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bus;

    const FAULTS: Faults = Faults {
        seed: 7,
        lose_percent: 20,
        repeat_percent: 20,
        delay_max: Duration::from_millis(50),
    };

    /// What a subscriber gets of a hundred numbers.
    async fn received(faults: Faults) -> Vec<u32> {
        let bus = Bus::local_with_faults(faults);
        let mut numbers = bus.subscribe::<u32>("numbers", None).await.unwrap();
        for number in 0..100 {
            bus.publish("numbers", &number).await.unwrap();
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
        let received = received(FAULTS).await;
        let once = received.iter().collect::<std::collections::BTreeSet<_>>();
        assert!(once.len() < 100, "some are lost");
        assert!(once.len() < received.len(), "some are repeated");
        assert!(!received.is_sorted(), "some are late");
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_seed_gives_the_same_run() {
        assert_eq!(received(FAULTS).await, received(FAULTS).await);
        assert_ne!(
            received(FAULTS).await,
            received(Faults { seed: 8, ..FAULTS }).await
        );
    }

    #[tokio::test(start_paused = true)]
    async fn without_faults_all_arrive() {
        let mut received = received(Faults::default()).await;
        received.sort_unstable();
        assert_eq!(received, Vec::from_iter(0..100));
    }
}
