//! Time and randomness, handed to the code that needs them.
//!
//! A program makes one [`Env`] and gives a clone, or a [split](Env::split) of it, to each of its parts. Production uses
//! [`Env::system`]. A test that must be able to repeat a run uses [`Env::seeded`]: then every date, id, key and random
//! choice follows from the seed. No other code reads a clock or draws a random number.
//!
//! Dates follow tokio's clock, so both kinds stand still and advance with paused time. To wait, or to measure how long
//! something took, use [`tokio::time`] directly.

mod clock;
mod random;

use astral_proto::{Incarnation, NodeId, TicketId, UnixMillis};
use clock::Clock;
pub use random::Random;
use random::Source;
use uuid::{Builder, Uuid};

/// The clock and the random source of one part of a program. Cheap to clone; clones share one sequence of draws.
#[derive(Clone, Debug)]
pub struct Env {
    clock: Clock,
    source: Source,
}

impl Env {
    /// The machine's clock, and random numbers from the operating system's entropy that are fit for keys.
    pub fn system() -> Self {
        Self {
            clock: Clock::system(),
            source: Source::System,
        }
    }

    /// Everything follows from `seed`, and the date is 2026-01-01 00:00 UTC at this moment of tokio's clock. For tests
    /// only: whoever knows the seed knows every key.
    pub fn seeded(seed: u64) -> Self {
        Self {
            clock: Clock::fixed(),
            source: Source::seeded(seed),
        }
    }

    /// An environment for the part of the program that is called `name`, with the same clock and its own sequence of
    /// draws, so that one part's draws do not shift another's.
    ///
    /// What a part draws depends on the seed, on the name, and on how many splits of that name this environment (with its
    /// clones) has made before. So a part that is started again draws other numbers than the first time.
    #[must_use]
    pub fn split(&self, name: &str) -> Self {
        Self {
            clock: self.clock,
            source: self.source.split(name),
        }
    }

    /// The same environment on a machine whose clock is `millis` milliseconds ahead; behind, if negative. For tests.
    #[must_use]
    pub fn with_clock_ahead(&self, millis: i64) -> Self {
        Self {
            clock: self.clock.ahead(millis),
            source: self.source.clone(),
        }
    }

    /// The date. It runs at the pace of tokio's clock from when this process first read it: setting the machine's clock
    /// later does not move it.
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// The random source, for whatever takes a [`rand::Rng`].
    pub fn random(&self) -> Random {
        Random::new(self.source.clone())
    }

    /// A new random UUID, version 4.
    pub fn uuid(&self) -> Uuid {
        Builder::from_random_bytes(self.bytes()).into_uuid()
    }

    /// A new random id for a node.
    pub fn node_id(&self) -> NodeId {
        NodeId(self.uuid())
    }

    /// A new random id for a ticket.
    pub fn ticket_id(&self) -> TicketId {
        TicketId(self.uuid())
    }

    /// A new random incarnation of a stream.
    pub fn incarnation(&self) -> Incarnation {
        Incarnation::from_bits(self.nonzero())
    }

    /// A random number that is not zero, since messages use zero for "unknown": for the generation of ledgers and the
    /// number of a process.
    pub fn nonzero(&self) -> u32 {
        u32::from_le_bytes(self.bytes()).max(1)
    }

    /// `N` random bytes, such as a key or a salt. From [`Env::system`] they are cryptographically secure.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.source.fill(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use std::time::Duration;

    fn draws(env: &Env) -> (Uuid, [u8; 32], u32, f64) {
        (
            env.uuid(),
            env.bytes(),
            env.nonzero(),
            env.random().random(),
        )
    }

    #[test]
    fn one_seed_gives_one_sequence_of_draws() {
        assert_eq!(draws(&Env::seeded(7)), draws(&Env::seeded(7)));
        assert_ne!(draws(&Env::seeded(7)), draws(&Env::seeded(8)));
        assert_ne!(draws(&Env::system()), draws(&Env::system()));
    }

    #[test]
    fn clones_share_one_sequence_of_draws() {
        let one = Env::seeded(7);
        let first = one.uuid();
        let second = one.clone().uuid();
        assert_ne!(first, second);
        let other = Env::seeded(7);
        assert_eq!([other.uuid(), other.uuid()], [first, second]);
    }

    #[test]
    fn the_draws_of_one_part_do_not_shift_those_of_another() {
        let quiet = Env::seeded(7);
        let busy = Env::seeded(7);
        let mut other = busy.split("other").random();
        for _ in 0..100 {
            busy.uuid();
            other.random::<u64>();
        }
        assert_eq!(draws(&quiet.split("relay")), draws(&busy.split("relay")));
    }

    #[test]
    fn a_part_that_is_started_again_draws_other_numbers() {
        let env = Env::seeded(7);
        let first = env.split("relay");
        let again = env.clone().split("relay");
        assert_ne!(draws(&first), draws(&again));
        assert_ne!(draws(&first.split("pull")), draws(&again.split("pull")));
    }

    #[test]
    fn ids_are_of_version_4() {
        for env in [Env::system(), Env::seeded(7)] {
            assert_eq!(env.uuid().get_version_num(), 4);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn dates_advance_with_paused_time() {
        for env in [Env::system(), Env::seeded(7)] {
            let before = env.now();
            tokio::time::advance(Duration::from_secs(90)).await;
            assert_eq!(env.now().since(before), Duration::from_secs(90));
            assert_eq!(env.split("relay").now(), env.now());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_seeded_clock_starts_at_one_date_whatever_the_time_is() {
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(Env::seeded(7).now(), UnixMillis::from_secs(1_767_225_600));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_may_be_ahead_of_or_behind_another() {
        let env = Env::seeded(7);
        let second = Duration::from_secs(1);
        assert_eq!(env.with_clock_ahead(1_000).now(), env.now() + second);
        assert_eq!(env.with_clock_ahead(-1_000).now(), env.now() - second);
    }

    #[test]
    fn the_clock_of_the_system_tells_the_date_of_the_machine() {
        let machine = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let machine = UnixMillis::new(machine.as_millis() as u64);
        assert!(Env::system().now().abs_diff(machine) < Duration::from_secs(5));
    }
}
