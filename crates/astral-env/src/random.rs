//! Random numbers, from the operating system or from a seed.

use rand::rngs::StdRng;
use rand::{CryptoRng, RngCore, SeedableRng};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where random numbers come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The generator of the thread: ChaCha12, seeded from the operating system and reseeded as it goes.
    System,
    /// A generator that repeats itself.
    Seeded(Arc<Mutex<Seeded>>),
}

/// A generator with all that follows from its seed.
#[derive(Debug)]
pub(crate) struct Seeded {
    seed: [u8; 32],
    generator: StdRng,
    /// How many splits of each name have been made.
    splits: BTreeMap<String, u64>,
}

impl Source {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self::from_seed(Sha256::digest(seed.to_le_bytes()).into())
    }

    fn from_seed(seed: [u8; 32]) -> Self {
        Self::Seeded(Arc::new(Mutex::new(Seeded {
            seed,
            generator: StdRng::from_seed(seed),
            splits: BTreeMap::new(),
        })))
    }

    /// A source whose numbers do not depend on how many this one has given.
    pub(crate) fn split(&self, name: &str) -> Self {
        match self {
            Self::System => Self::System,
            Self::Seeded(seeded) => Self::from_seed(lock(seeded).split(name)),
        }
    }

    pub(crate) fn fill(&self, bytes: &mut [u8]) {
        match self {
            Self::System => rand::rng().fill_bytes(bytes),
            Self::Seeded(seeded) => lock(seeded).generator.fill_bytes(bytes),
        }
    }
}

impl Seeded {
    /// The seed of the next part called `name`.
    fn split(&mut self, name: &str) -> [u8; 32] {
        let count = self.splits.entry(name.to_owned()).or_default();
        let seed = Sha256::new()
            .chain_update(self.seed)
            .chain_update(count.to_le_bytes())
            .chain_update(name);
        *count += 1;
        seed.finalize().into()
    }
}

/// A panic elsewhere leaves the generator usable: each draw is complete in itself.
fn lock(seeded: &Mutex<Seeded>) -> MutexGuard<'_, Seeded> {
    seeded.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The random numbers of an [`Env`](crate::Env), as a generator of the `rand` crate. Clones share one sequence.
#[derive(Clone, Debug)]
pub struct Random(Source);

impl Random {
    pub(crate) fn new(source: Source) -> Self {
        Self(source)
    }
}

impl RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        match &self.0 {
            Source::System => rand::rng().next_u32(),
            Source::Seeded(seeded) => lock(seeded).generator.next_u32(),
        }
    }

    fn next_u64(&mut self) -> u64 {
        match &self.0 {
            Source::System => rand::rng().next_u64(),
            Source::Seeded(seeded) => lock(seeded).generator.next_u64(),
        }
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}

/// Both sources are ChaCha12, which is cryptographically secure; a seeded one is so only while its seed is secret.
impl CryptoRng for Random {}
