//! How long nothing arrives at a leaf when the relay above it is harmed, against what is promised.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Rounds of each drill where `ASTRAL_CHAOS` does not ask for more.
const ROUNDS: usize = 3;

/// What is done to the relay above a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    Kill,
    Freeze,
    Partition,
}

impl Harm {
    /// The longest gap that is promised at the 95th percentile.
    fn promise(self) -> Duration {
        match self {
            Self::Kill => Duration::from_millis(500),
            Self::Freeze | Self::Partition => Duration::from_millis(1_500),
        }
    }
}

/// `ASTRAL_CHAOS`, if it is set.
pub fn asked_for() -> Option<usize> {
    let count = std::env::var("ASTRAL_CHAOS").ok()?;
    Some(count.parse().expect("ASTRAL_CHAOS is a number of rounds"))
}

pub fn rounds() -> usize {
    asked_for().unwrap_or(ROUNDS)
}

/// Rounds in a network that takes everything in turn.
pub fn rounds_in_turn() -> usize {
    asked_for().unwrap_or(1)
}

/// Shows what has been measured so far, as a table. What ran beside other tests decides nothing: the promise is held
/// only where `ASTRAL_CHAOS` asks for it.
pub fn report(place: &str, harm: Harm, mut gaps: Vec<Duration>) {
    gaps.sort();
    show(place, harm, &gaps);
    let p95 = percentile(&gaps, 95);
    let promise = harm.promise();
    if asked_for().is_some() {
        assert!(
            p95 <= promise,
            "{harm:?}: the gap at p95 is {p95:?}, the promise {promise:?}; all: {gaps:?}"
        );
    }
}

fn show(place: &str, harm: Harm, gaps: &[Duration]) {
    static SHOWN: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let [p50, p95, max] = [50, 95, 100].map(|percent| percentile(gaps, percent).as_millis());
    let rounds = gaps.len();
    let promise = harm.promise().as_millis();
    let name = format!("{place}, {harm:?}").to_lowercase();
    let line = format!("{name:<20} {rounds:>6} {p50:>8} {p95:>8} {max:>8} {promise:>8}");
    let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    shown.insert(name, line);
    let head = "gap, ms              rounds      p50      p95      max  promise";
    let lines: Vec<_> = shown.values().map(String::as_str).collect();
    println!("{head}\n{}", lines.join("\n"));
}

/// By nearest rank; `gaps` are sorted.
fn percentile(gaps: &[Duration], percent: usize) -> Duration {
    let rank = (gaps.len() * percent).div_ceil(100).max(1);
    gaps.get(rank - 1).copied().unwrap_or_default()
}

#[test]
fn a_percentile_is_the_smallest_value_that_so_many_do_not_exceed() {
    let gaps: Vec<_> = (1..=20).map(Duration::from_millis).collect();
    let millis = |percent| percentile(&gaps, percent).as_millis();
    assert_eq!((millis(50), millis(95), millis(100)), (10, 19, 20));
    assert_eq!(percentile(&gaps[..1], 95), Duration::from_millis(1));
}
